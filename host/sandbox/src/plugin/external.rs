//! Plugins as providers of objects outside the database. Every call has its own instance.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use cairn_effects::external::{ActError, ActLog, External, ExternalObject, Presence, is_name};
use cairn_manifest::manifest::{LimitKey, Limits};
use cairn_manifest::plan::Role;
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::Identity;
use cairn_model::value::{Value, text};

use super::Plugin;
use super::bystander::Bystander;
use super::document::document;
use super::ended::exceeded;
use super::exports::{
    ListArguments, ListResult, LookArguments, LookResult, MakeArguments, MakeResult, RawFailure,
    RawObject, RawPresence, RemoveArguments, RemoveResult, exported,
};
use crate::capability::{Active, Denied, Granted, RequestFaults, Services, State, from_wit};

/// Maximum number of ids in an answer of `list`.
const MOST_IDS: usize = 1_000;

/// A plugin as a provider of objects outside the database.
///
/// A trap, a missed deadline, an instance that cannot be made and an answer that breaks the contract have the kind `ProviderFailed`; for
/// `make` and `remove` they are [`ActError::Unsure`], as the plugin may have acted before that.
pub struct PluginExternal {
    name: String,
    plugin: Arc<Plugin>,
    granted: Arc<Granted>,
    /// The same for acts: the deadline is that of an act.
    acting: Arc<Granted>,
    services: Arc<Services>,
    fences: bool,
    request_faults: Option<Arc<RequestFaults>>,
}

impl PluginExternal {
    /// Creates a provider from `plugin`, called `name` in the plan. The limits in `granted` are those of each call, except that the limit
    /// `act` takes the place of `deadline` for `make` and `remove`.
    pub fn new(name: &str, plugin: Arc<Plugin>, granted: Granted, services: Arc<Services>) -> Self {
        let acting = Granted {
            limits: Limits {
                deadline: granted.limits.act,
                ..granted.limits.clone()
            },
            settings: granted.settings.clone(),
            grants: granted.grants.clone(),
            sees_request: granted.sees_request,
        };
        Self {
            acting: Arc::new(acting),
            name: name.to_owned(),
            plugin,
            granted: Arc::new(granted),
            services,
            fences: false,
            request_faults: None,
        }
    }

    /// Sets what [`fences`](External::fences) returns: what the manifest says of the provider.
    #[must_use]
    pub fn fencing(mut self, fences: bool) -> Self {
        self.fences = fences;
        self
    }

    /// Lets `faults` decide what becomes of the plugin's requests over HTTP: see [`RequestFaults`]. For tests.
    #[must_use]
    pub fn with_request_faults(mut self, faults: Arc<RequestFaults>) -> Self {
        self.request_faults = Some(faults);
        self
    }

    /// Calls a function in a fresh instance. Its messages, its output and a line for each request over HTTP go to `log`.
    fn ask<A, R>(
        &self,
        (function, export): (&'static str, Option<&ComponentExportIndex>),
        arguments: A,
        log: &ActLog,
    ) -> Result<R, TaskError>
    where
        A: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        let is_act = matches!(function, "make" | "remove");
        let granted = if is_act { &self.acting } else { &self.granted };
        let (log, name) = (log.clone(), self.name.clone());
        let bystander = Bystander::new(
            Identity {
                trace: log.trace(),
                ..Identity::default()
            },
            "an external is called for no flow: it is offered `context` and `log`, and `http` and `secrets` by name",
            move |level, message| log.write(level, format!("{name}.{function}: {message}")),
        );
        let state = State::for_call(Active {
            context: Arc::new(bystander),
            granted: Arc::clone(granted),
            services: Arc::clone(&self.services),
            denied: Denied::default(),
        })
        .with_request_faults(self.request_faults.clone());
        let answer = exported(export, Role::External).and_then(|function| {
            self.plugin.run(state, &granted.limits, |instance, store| {
                let function = instance.get_typed_func::<A, (R,)>(&mut *store, function)?;
                Ok(function.call(store, arguments)?.0)
            })
        });
        answer.map_err(|error| {
            let was_late = error.kind == HostErrorKind::DeadlineExceeded.as_str();
            self.failed(match is_act && was_late {
                true => exceeded(LimitKey::Act, &granted.limits),
                false => error,
            })
        })
    }

    /// Parses a result of `make`.
    fn result(&self, text: &str) -> Result<Value, TaskError> {
        document(text, &self.granted.limits).map_err(|error| self.failed(error))
    }

    /// Converts an error of the host about this plugin. The task that waits for the provider has not caused it, and may handle it.
    fn failed(&self, error: TaskError) -> TaskError {
        let message = format!("the provider `{}` failed: {error}", self.name);
        let failure = json!({
            "kind": error.kind,
            "message": error.message,
            "details": error.details,
        });
        let failed = TaskError::new("ProviderFailed", message)
            .with("provider", self.name.as_str())
            .with("failure", failure);
        TaskError {
            log: error.log,
            ..failed
        }
    }
}

impl External for PluginExternal {
    fn look(&self, object: &ExternalObject, log: &ActLog) -> Result<Presence, TaskError> {
        let arguments: LookArguments<'_> = (raw(object),);
        let function = ("look", self.plugin.functions().look.as_ref());
        let (found,): LookResult = (self.ask(function, arguments, log)?,);
        match found.map_err(from_wit)? {
            RawPresence::Absent => Ok(Presence::Absent),
            RawPresence::Partial => Ok(Presence::Partial),
            RawPresence::Whole(result) => self.result(&result).map(Presence::Whole),
        }
    }

    fn make(&self, object: &ExternalObject, spec: &Value, log: &ActLog) -> Result<Value, ActError> {
        let spec = text(spec);
        let arguments: MakeArguments<'_> = (raw(object), &spec);
        let function = ("make", self.plugin.functions().make.as_ref());
        let made = self.ask(function, arguments, log);
        let (made,): MakeResult = (made.map_err(ActError::Unsure)?,);
        let result = made.map_err(act_error)?;
        self.result(&result).map_err(ActError::Unsure)
    }

    fn remove(&self, object: &ExternalObject, log: &ActLog) -> Result<(), ActError> {
        let arguments: RemoveArguments<'_> = (raw(object),);
        let function = ("remove", self.plugin.functions().remove.as_ref());
        let removed = self.ask(function, arguments, log);
        let (removed,): RemoveResult = (removed.map_err(ActError::Unsure)?,);
        removed.map_err(act_error)
    }

    fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        log: &ActLog,
    ) -> Result<Vec<String>, TaskError> {
        let arguments: ListArguments<'_> = (kind, after);
        let function = ("list", self.plugin.functions().list.as_ref());
        let (ids,): ListResult = (self.ask(function, arguments, log)?,);
        let ids = ids.map_err(from_wit)?;
        match check_ids(&ids, after) {
            Ok(()) => Ok(ids),
            Err(problem) => {
                Err(self.failed(TaskError::host(HostErrorKind::ResultInvalid, problem)))
            }
        }
    }

    fn fences(&self) -> bool {
        self.fences
    }
}

impl fmt::Debug for PluginExternal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginExternal")
            .field("name", &self.name)
            .field("digest", &self.plugin.digest())
            .finish_non_exhaustive()
    }
}

fn raw(object: &ExternalObject) -> RawObject<'_> {
    RawObject {
        kind: &object.kind,
        id: &object.id,
        token: object.token,
    }
}

fn act_error(failure: RawFailure) -> ActError {
    match failure {
        RawFailure::Refused(error) => ActError::Refused(from_wit(error)),
        RawFailure::Unsure(error) => ActError::Unsure(from_wit(error)),
    }
}

/// Checks a page of ids. As each is greater than the one before it, a list always ends.
fn check_ids(ids: &[String], after: Option<&str>) -> Result<(), String> {
    if ids.len() > MOST_IDS {
        return Err(format!(
            "`list` returned {} ids; the most is {MOST_IDS}",
            ids.len()
        ));
    }
    let mut last = after.unwrap_or_default();
    for id in ids {
        if !is_name(id) {
            let shown: String = id.chars().take(64).collect();
            return Err(format!(
                "`list` returned `{}`, which is not a UUID as the host writes it; it must return objects that the host named, and no others",
                shown.escape_debug()
            ));
        }
        if id.as_str() <= last {
            return Err(format!(
                "`list` returned `{id}` after `{last}`; ids must be sorted by their bytes, each once, and come after the `after` that was asked for"
            ));
        }
        last = id;
    }
    Ok(())
}
