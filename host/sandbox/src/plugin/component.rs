use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wasmtime::component::types::{Component as ComponentType, ComponentItem};
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime::{Engine, Store, UpdateDeadline};

use parking_lot::Mutex;

use cairn_manifest::manifest::{GrantKind, GrantKinds, Limits};
use cairn_manifest::plan::{Descriptor, Role};
use cairn_model::contract;
use cairn_model::error::TaskError;
use cairn_model::value::{Digest, Object, Value, text};

use super::PluginError;
use super::ended::{describe_error, why};
use super::engine::Sandbox;
use super::exports::{
    CallArguments, CallResult, CheckArguments, CheckResult, Functions, RawDecision, RawViolation,
    RevertArguments, RevertResult, ValidateArguments, ValidateResult, exported,
};
use crate::capability::{Http, State, from_wit};
use crate::wit::cairn::plugin::types;
use crate::wit::exports::cairn::plugin::plugin as wit;
use crate::wit::exports::cairn::plugin::task::{Disposition, Failure, Outcome};

/// The largest settings schema or description, in bytes.
const MAX_DESCRIPTION: usize = 256 << 10;

/// An import of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Its whole name, such as `cairn:plugin/quota@0.1.0`.
    pub name: String,
    /// The capability that must be granted for it; `None` if every plugin has it.
    pub capability: Option<String>,
}

/// A component that can be called.
pub struct Plugin {
    engine: Engine,
    pre: InstancePre<State>,
    /// The functions that it exports: a call looks up only its own.
    functions: Functions,
    digest: Digest,
    bytes: Arc<[u8]>,
    imports: Vec<Import>,
    exports: Vec<String>,
    /// Descriptions by the digest of the settings.
    descriptions: Mutex<HashMap<Digest, Descriptor>>,
}

impl Plugin {
    pub(super) fn new(
        sandbox: &Sandbox,
        component: Component,
        digest: Digest,
        bytes: &[u8],
        kinds: &GrantKinds,
    ) -> Result<Self, PluginError> {
        let Sandbox { engine, linker } = sandbox;
        let types = component.component_type();
        let mut exports: Vec<String> = types
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        exports.sort_unstable();
        let mut imports = Vec::new();
        for (name, item) in types.imports(engine) {
            // A type alone needs nothing from the host.
            if matches!(item.ty, ComponentItem::Type(_)) {
                continue;
            }
            imports.push(check_import(name, kinds, acts_outside(&exports))?);
        }
        let functions = Functions::of(&component, &exports)?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| PluginError::Mismatch(describe_error(&error)))?;
        Ok(Self {
            engine: engine.clone(),
            pre,
            digest,
            bytes: bytes.into(),
            imports,
            exports,
            functions,
            descriptions: Mutex::new(HashMap::new()),
        })
    }

    /// Returns the digest of the component's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the component's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn component_type(&self) -> ComponentType {
        self.pre.component().component_type()
    }

    /// Returns the imports.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Returns the names of the exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Returns the roles that it can have.
    pub fn roles(&self) -> BTreeSet<Role> {
        self.functions.roles()
    }

    /// Returns the JSON schema of its settings.
    ///
    /// # Errors
    /// [`PluginError::Describe`] when it traps, [`PluginError::Description`] when the answer is not a JSON schema.
    pub fn settings_schema(&self, limits: &Limits) -> Result<Value, PluginError> {
        let text = self.ask(limits, |instance, store| {
            let function = &self.functions.settings_schema;
            let function = instance.get_typed_func::<(), (String,)>(&mut *store, function)?;
            Ok(function.call(store, ())?.0)
        })?;
        if text.len() > MAX_DESCRIPTION {
            return Err(PluginError::Description(format!(
                "its settings schema has {} bytes",
                text.len()
            )));
        }
        let schema = cairn_model::value::parse(&text);
        schema.map_err(|error| {
            PluginError::Description(cairn_model::value::refused("its settings schema", &error))
        })
    }

    /// Returns its description for these settings. Cached by the settings.
    ///
    /// # Errors
    /// [`PluginError::Describe`] when it fails or traps, [`PluginError::Description`] when the answer breaks the contract.
    pub fn describe(&self, settings: &Object, limits: &Limits) -> Result<Descriptor, PluginError> {
        let text = text(&Value::Object(settings.clone()));
        let key = Digest::of(text.as_bytes());
        let known = self.descriptions.lock().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let descriptor = self.describe_uncached(settings, limits)?;
        let mut descriptions = self.descriptions.lock();
        descriptions.insert(key, descriptor.clone());
        Ok(descriptor)
    }

    /// Calls [`describe`](Self::describe) without the cache, to check that the answer is stable.
    ///
    /// # Errors
    /// As [`describe`](Self::describe).
    pub fn describe_uncached(
        &self,
        settings: &Object,
        limits: &Limits,
    ) -> Result<Descriptor, PluginError> {
        let text = text(&Value::Object(settings.clone()));
        let answer = self.ask(limits, |instance, store| {
            let function = instance
                .get_typed_func::<(&str,), (Result<wit::Descriptor, types::Error>,)>(
                    &mut *store,
                    &self.functions.describe,
                )?;
            Ok(function.call(store, (&text,))?.0)
        })?;
        let answer = answer.map_err(|error| PluginError::Describe(from_wit(error).to_string()))?;
        let descriptor = Descriptor {
            name: answer.name,
            version: answer.version,
            requires: answer.requires,
            optional: answer.optional,
            provides: answer.provides,
        };
        descriptor.check().map_err(PluginError::Description)?;
        Ok(descriptor)
    }

    fn ask<T>(
        &self,
        limits: &Limits,
        question: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, PluginError> {
        let state = State::for_description(limits);
        self.run(state, limits, |instance, store| {
            self.functions.check_types(instance, store)?;
            question(instance, store)
        })
        .map_err(|error| PluginError::Describe(error.with_log()))
    }

    /// Runs a task's `call`, in a fresh instance.
    pub(super) fn call(
        &self,
        state: State,
        limits: &Limits,
        inputs: &str,
    ) -> Result<Result<String, types::Error>, TaskError> {
        let function = exported(self.functions.call.as_ref(), Role::Task)?;
        self.run(state, limits, |instance, store| {
            let function =
                instance.get_typed_func::<CallArguments<'_>, CallResult>(&mut *store, function)?;
            Ok(function.call(store, (inputs,))?.0)
        })
    }

    /// Runs a task's `revert`, in a fresh instance.
    pub(super) fn revert(
        &self,
        state: State,
        limits: &Limits,
        outcome: &Outcome,
        cause: &Failure,
    ) -> Result<Result<Disposition, types::Error>, TaskError> {
        let function = exported(self.functions.revert.as_ref(), Role::Task)?;
        self.run(state, limits, |instance, store| {
            let function = instance
                .get_typed_func::<RevertArguments<'_>, RevertResult>(&mut *store, function)?;
            Ok(function.call(store, (outcome, cause))?.0)
        })
    }

    /// Runs a policy's `check`, in a fresh instance.
    pub(super) fn check(
        &self,
        state: State,
        limits: &Limits,
        action: &str,
        target: &str,
    ) -> Result<Result<RawDecision, types::Error>, TaskError> {
        let function = exported(self.functions.check.as_ref(), Role::Policy)?;
        self.run(state, limits, |instance, store| {
            let function = instance
                .get_typed_func::<CheckArguments<'_>, CheckResult>(&mut *store, function)?;
            Ok(function.call(store, (action, target))?.0)
        })
    }

    /// Runs a validator's `validate`, in a fresh instance.
    pub(super) fn validate(
        &self,
        state: State,
        limits: &Limits,
        inputs: &str,
    ) -> Result<Result<Vec<RawViolation>, types::Error>, TaskError> {
        let function = exported(self.functions.validate.as_ref(), Role::Validator)?;
        self.run(state, limits, |instance, store| {
            let function = instance
                .get_typed_func::<ValidateArguments<'_>, ValidateResult>(&mut *store, function)?;
            Ok(function.call(store, (inputs,))?.0)
        })
    }

    /// Returns the functions that it exports.
    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Creates a fresh instance, calls one function, and drops it.
    pub(super) fn run<T>(
        &self,
        state: State,
        limits: &Limits,
        ask: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, TaskError> {
        run(&self.engine, &self.pre, state, limits, ask)
    }
}

/// Creates a fresh instance, calls one function, and drops it.
pub(super) fn run<T>(
    engine: &Engine,
    pre: &InstancePre<State>,
    state: State,
    limits: &Limits,
    ask: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, TaskError> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(usize::try_from(limits.border_bytes).unwrap_or(usize::MAX));
    // At every tick the deadline is checked against the wall clock.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().alive()?;
        Ok(UpdateDeadline::Continue(1))
    });
    let result = match pre.instantiate(&mut store) {
        Ok(instance) => ask(&instance, &mut store),
        Err(error) => Err(error),
    };
    store.data_mut().flush_printed();
    store.data_mut().flush_requests(true);
    result.map_err(|error| TaskError {
        log: store.data_mut().take_log_end(),
        ..why(&error, store.data_mut(), limits)
    })
}

/// Returns whether a component with these exports may send requests: its one role is `external`, whose calls the host records
/// before it makes them. Tasks, policies and validators may not, as a crash would leave behind what they did.
fn acts_outside(exports: &[String]) -> bool {
    let has = |wanted: &str| {
        let mut exports = exports.iter().filter_map(|name| contract::interface(name));
        exports.any(|(interface, _)| interface == wanted)
    };
    let mut others = [Role::Task, Role::Policy, Role::Validator].into_iter();
    has(Role::External.interface()) && !others.any(|role| has(role.interface()))
}

/// Finds the capability that an import needs. `acts_outside` tells whether the component may import `wasi:http`.
///
/// # Errors
/// This host does not have the import.
pub(super) fn check_import(
    name: &str,
    kinds: &GrantKinds,
    acts_outside: bool,
) -> Result<Import, PluginError> {
    let import = name.to_owned();
    if name.starts_with(Http::PACKAGE) && !acts_outside {
        return Err(PluginError::Network { import });
    }
    if let Some(rest) = name.strip_prefix("wasi:") {
        // Any 0.2: later versions only add to it.
        let known = [
            "io/",
            "cli/",
            "clocks/",
            "random/",
            "filesystem/",
            "sockets/",
        ];
        if known.iter().any(|package| rest.starts_with(package)) && rest.contains("@0.2.") {
            return Ok(Import {
                name: import,
                capability: None,
            });
        }
    }
    if let Some((interface, version)) = contract::interface(name) {
        if !contract::is_compatible(version) {
            return Err(PluginError::WrongVersion {
                expected: contract::full_name(interface),
                found: import,
            });
        }
        if matches!(interface, "context" | "log" | "types") {
            return Ok(Import {
                name: import,
                capability: None,
            });
        }
    }
    // A capability's short name is not an import, nor is an interface of the contract without a version.
    let is_full = name.contains(':')
        && (!name.starts_with(contract::PACKAGE) || contract::interface(name).is_some());
    match kinds.of_interface(name).map(GrantKind::name) {
        Some(capability) if is_full => Ok(Import {
            name: import,
            capability: Some(capability.to_owned()),
        }),
        _ => Err(PluginError::UnknownImport { import }),
    }
}
