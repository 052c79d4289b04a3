//! The exported functions of a component and their types.

use std::collections::BTreeSet;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower};

use cairn_manifest::plan::Role;
use cairn_model::contract::full_name;
use cairn_model::error::{HostErrorKind, TaskError};

use super::PluginError;
use crate::capability::State;
use crate::wit::cairn::plugin::types;
use crate::wit::exports::cairn::plugin::plugin::Descriptor;
use crate::wit::exports::cairn::plugin::task::{Disposition, Failure, Outcome};

pub(super) type CallArguments<'a> = (&'a str,);
pub(super) type CallResult = (Result<String, types::Error>,);
pub(super) type RevertArguments<'a> = (&'a Outcome, &'a Failure);
pub(super) type RevertResult = (Result<Disposition, types::Error>,);
pub(super) type CheckArguments<'a> = (&'a str, &'a str);
pub(super) type CheckResult = (Result<RawDecision, types::Error>,);
pub(super) type ValidateArguments<'a> = (&'a str,);
pub(super) type ValidateResult = (Result<Vec<RawViolation>, types::Error>,);
pub(super) type LookArguments<'a> = (RawObject<'a>,);
pub(super) type LookResult = (Result<RawPresence, types::Error>,);
pub(super) type MakeArguments<'a> = (RawObject<'a>, &'a str);
pub(super) type MakeResult = (Result<String, RawFailure>,);
pub(super) type RemoveArguments<'a> = (RawObject<'a>,);
pub(super) type RemoveResult = (Result<(), RawFailure>,);
pub(super) type ListArguments<'a> = (&'a str, Option<&'a str>);
pub(super) type ListResult = (Result<Vec<String>, types::Error>,);

/// `policy-check.decision` as the component returns it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum RawDecision {
    #[component(name = "allow")]
    Allow,
    #[component(name = "deny")]
    Deny(String),
}

/// `validator.violation` as the component returns it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct RawViolation {
    pub(super) pointer: String,
    pub(super) kind: String,
    pub(super) message: String,
}

/// `external.object` as it is passed to the component.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct RawObject<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) token: u64,
}

/// `external.presence` as the component returns it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum RawPresence {
    #[component(name = "absent")]
    Absent,
    #[component(name = "partial")]
    Partial,
    #[component(name = "whole")]
    Whole(String),
}

/// `external.failure` as the component returns it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum RawFailure {
    #[component(name = "refused")]
    Refused(types::Error),
    #[component(name = "unsure")]
    Unsure(types::Error),
}

/// The exported functions of a component. Each role has all of its functions, or none.
pub(super) struct Functions {
    pub(super) settings_schema: ComponentExportIndex,
    pub(super) describe: ComponentExportIndex,
    pub(super) call: Option<ComponentExportIndex>,
    pub(super) revert: Option<ComponentExportIndex>,
    pub(super) check: Option<ComponentExportIndex>,
    pub(super) validate: Option<ComponentExportIndex>,
    pub(super) look: Option<ComponentExportIndex>,
    pub(super) make: Option<ComponentExportIndex>,
    pub(super) remove: Option<ComponentExportIndex>,
    pub(super) list: Option<ComponentExportIndex>,
}

impl Functions {
    /// Finds the functions of a component with these exports.
    ///
    /// # Errors
    /// [`PluginError::WrongVersion`] when it exports another version of an interface;
    /// [`PluginError::MissingExport`] when it is not a plugin, has no role, or an interface lacks a function.
    pub(super) fn of(component: &Component, exports: &[String]) -> Result<Self, PluginError> {
        let missing = |export: String| {
            let interface = export.split_inclusive('@').next().unwrap_or(&export);
            let mut others = exports.iter().filter(|name| name.starts_with(interface));
            match others.find(|name| !export.starts_with(name.as_str())) {
                Some(found) => PluginError::WrongVersion {
                    found: found.clone(),
                    expected: export,
                },
                None => PluginError::MissingExport {
                    export,
                    exports: exports.to_vec(),
                },
            }
        };
        let interface = |name: &str| component.get_export_index(None, full_name(name));
        let function = |of: &str, interface: &ComponentExportIndex, name: &str| {
            component
                .get_export_index(Some(interface), name)
                .ok_or_else(|| missing(format!("{}.{name}", full_name(of))))
        };
        let of_role = |role: Role, name: &str| {
            let of = role.interface();
            interface(of)
                .map(|interface| function(of, &interface, name))
                .transpose()
        };
        let plugin = interface("plugin").ok_or_else(|| missing(full_name("plugin")))?;
        let mut roles = [Role::Task, Role::Policy, Role::Validator, Role::External].into_iter();
        if roles.all(|role| interface(role.interface()).is_none()) {
            return Err(missing(full_name(Role::Task.interface())));
        }
        Ok(Self {
            settings_schema: function("plugin", &plugin, "settings-schema")?,
            describe: function("plugin", &plugin, "describe")?,
            call: of_role(Role::Task, "call")?,
            revert: of_role(Role::Task, "revert")?,
            check: of_role(Role::Policy, "check")?,
            validate: of_role(Role::Validator, "validate")?,
            look: of_role(Role::External, "look")?,
            make: of_role(Role::External, "make")?,
            remove: of_role(Role::External, "remove")?,
            list: of_role(Role::External, "list")?,
        })
    }

    pub(super) fn roles(&self) -> BTreeSet<Role> {
        let roles = [
            (Role::Task, &self.call),
            (Role::Policy, &self.check),
            (Role::Validator, &self.validate),
            (Role::External, &self.make),
        ];
        let roles = roles.into_iter().filter(|(_, function)| function.is_some());
        roles.map(|(role, _)| role).collect()
    }

    /// Checks the type of every function, before any is called.
    pub(super) fn check_types(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<()> {
        instance.get_typed_func::<(), (String,)>(&mut *store, &self.settings_schema)?;
        instance.get_typed_func::<(&str,), (Result<Descriptor, types::Error>,)>(
            &mut *store,
            &self.describe,
        )?;
        if let Some(call) = &self.call {
            instance.get_typed_func::<CallArguments<'_>, CallResult>(&mut *store, call)?;
        }
        if let Some(revert) = &self.revert {
            instance.get_typed_func::<RevertArguments<'_>, RevertResult>(&mut *store, revert)?;
        }
        if let Some(check) = &self.check {
            instance.get_typed_func::<CheckArguments<'_>, CheckResult>(&mut *store, check)?;
        }
        if let Some(validate) = &self.validate {
            instance
                .get_typed_func::<ValidateArguments<'_>, ValidateResult>(&mut *store, validate)?;
        }
        if let Some(look) = &self.look {
            instance.get_typed_func::<LookArguments<'_>, LookResult>(&mut *store, look)?;
        }
        if let Some(make) = &self.make {
            instance.get_typed_func::<MakeArguments<'_>, MakeResult>(&mut *store, make)?;
        }
        if let Some(remove) = &self.remove {
            instance.get_typed_func::<RemoveArguments<'_>, RemoveResult>(&mut *store, remove)?;
        }
        if let Some(list) = &self.list {
            instance.get_typed_func::<ListArguments<'_>, ListResult>(store, list)?;
        }
        Ok(())
    }
}

/// Returns a function of a role. Plans use a component only in its roles; this guards against a damaged one.
pub(super) fn exported(
    function: Option<&ComponentExportIndex>,
    role: Role,
) -> Result<&ComponentExportIndex, TaskError> {
    function.ok_or_else(|| {
        TaskError::host(
            HostErrorKind::Instantiation,
            format!(
                "the component does not export `{}`",
                full_name(role.interface())
            ),
        )
    })
}
