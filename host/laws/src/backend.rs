//! An external with its backend, as the laws ask it: each call in a fresh instance, with faults in its requests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn::capability::{Granted, RequestFault, Services, Surroundings};
use cairn::external::{ActError, ActLog, External as _, ExternalObject, Presence, name_of};
use cairn::host::Planner;
use cairn::plan::PlannedExternal;
use cairn::plugin::{Plugin, PluginExternal};
use cairn::policy::Policy;
use cairn::{FlowId, TaskError, TaskId, Value};
use serde_json::json;

use crate::asked::Asked;
use crate::case::{ExternalCase, told_error};
use crate::error::LawsError;
use crate::manifest::{self, SUBJECT};
use crate::scene::case_secrets;
use crate::state::BEGINNING;
use crate::subject::{Subject, Tools};

/// The most pages of a list that are read.
const PAGES: usize = 100;

/// How long an act may take that is cut off.
const CUT: Duration = Duration::from_millis(400);

/// In which surroundings a call runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// At another time, and with other randomness.
    pub(crate) elsewhen: bool,
    /// What goes wrong with the request of this number, from 1.
    pub(crate) fault: Option<(usize, RequestFault)>,
}

impl How {
    pub(crate) const USUAL: Self = Self {
        elsewhen: false,
        fault: None,
    };

    pub(crate) const ELSEWHEN: Self = Self {
        elsewhen: true,
        fault: None,
    };

    pub(crate) const fn fault(request: usize, fault: RequestFault) -> Self {
        Self {
            elsewhen: false,
            fault: Some((request, fault)),
        }
    }
}

/// The external of a case.
pub(crate) struct Backend<'a> {
    pub(crate) case: &'a ExternalCase,
    plugin: Arc<Plugin>,
    planned: PlannedExternal,
}

impl<'a> Backend<'a> {
    pub(crate) fn new(
        tools: &Tools,
        subject: &Subject,
        case: &'a ExternalCase,
    ) -> Result<Self, LawsError> {
        let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
        let planned = || {
            let manifest = manifest::of_external(tools, subject, case)?;
            let mut plan = planner.plan(&manifest)?;
            let planned = plan.externals.remove(SUBJECT);
            let planned = planned.ok_or_else(manifest::not_in_plan)?;
            let plugin = tools.plugins.loaded(planned.digest);
            Ok((planned, plugin.ok_or_else(manifest::not_in_plan)?))
        };
        let (planned, plugin) =
            planned().map_err(|error| told_error(&case.name, &case.file, error))?;
        Ok(Self {
            case,
            plugin,
            planned,
        })
    }

    /// Makes a provider for one call, which counts its requests.
    fn external(&self, how: How, requests: &Arc<AtomicUsize>) -> PluginExternal {
        let mut limits = self.planned.limits.clone();
        if let Some((_, RequestFault::Stuck)) = how.fault {
            limits.act = CUT;
        }
        let granted = Granted {
            settings: Value::Object(self.planned.settings.clone()).to_string(),
            grants: self.planned.grants.clone(),
            limits,
            sees_request: false,
        };
        let beginning = Duration::from_micros(BEGINNING.unsigned_abs());
        let services = Services {
            enforcer: Arc::new(Policy::default()),
            domains: Default::default(),
            surroundings: Some(match how.elsewhen {
                true => Surroundings {
                    now: beginning + Duration::from_secs(100_000),
                    seed: 2,
                },
                false => Surroundings {
                    now: beginning,
                    seed: 1,
                },
            }),
            rule_plugins: Default::default(),
            secrets: Arc::new(case_secrets(&self.case.host)),
        };
        let requests = Arc::clone(requests);
        let faults = move || {
            let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
            let (at, fault) = how.fault?;
            (number == at).then_some(fault)
        };
        PluginExternal::new(
            SUBJECT,
            Arc::clone(&self.plugin),
            granted,
            Arc::new(services),
        )
        .with_request_faults(Arc::new(faults))
    }
}

/// A trial of a law: what the external was asked, and what it may have left.
pub(crate) struct Trial<'a> {
    backend: &'a Backend<'a>,
    /// What was asked since the trial began.
    pub(crate) asked: Vec<Asked>,
    /// The requests of the last call.
    pub(crate) requests: usize,
    objects: Vec<ExternalObject>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(backend: &'a Backend<'a>) -> Self {
        Self {
            backend,
            asked: Vec::new(),
            requests: 0,
            objects: Vec::new(),
        }
    }

    /// Returns the case.
    pub(crate) fn case(&self) -> &'a ExternalCase {
        self.backend.case
    }

    /// Begins a sequence of calls.
    pub(crate) fn begin(&mut self) {
        self.asked.clear();
    }

    /// Names an object that was never named before.
    pub(crate) fn fresh(&mut self) -> ExternalObject {
        let object = ExternalObject {
            kind: self.backend.case.kind.clone(),
            id: name_of(FlowId::new(), TaskId::new(), "case"),
            token: 1,
        };
        self.objects.push(object.clone());
        object
    }

    /// Asks for an object; the token grows with each act.
    pub(crate) fn make(
        &mut self,
        object: &mut ExternalObject,
        how: How,
    ) -> Result<Value, ActError> {
        let spec = self.backend.case.spec.clone();
        let made = self.ask(how, |external| external.make(object, &spec, &silent()));
        let told = made.clone().map_err(|error| told_act(&error));
        let arguments = json!({"id": object.id, "token": object.token, "spec": spec});
        self.asked.push(Asked::new("make", arguments, told));
        object.token += 1;
        made
    }

    pub(crate) fn remove(&mut self, object: &mut ExternalObject, how: How) -> Result<(), ActError> {
        let removed = self.ask(how, |external| external.remove(object, &silent()));
        let told = removed.clone().map(|()| Value::Null);
        let told = told.map_err(|error| told_act(&error));
        let arguments = json!({"id": object.id, "token": object.token});
        self.asked.push(Asked::new("remove", arguments, told));
        object.token += 1;
        removed
    }

    pub(crate) fn look(
        &mut self,
        object: &ExternalObject,
        how: How,
    ) -> Result<Presence, TaskError> {
        let found = self.ask(how, |external| external.look(object, &silent()));
        let told = found.as_ref().map(|found| Value::from(said(found)));
        let told = told.map_err(TaskError::clone);
        let arguments = json!({"id": object.id, "token": object.token});
        self.asked.push(Asked::new("look", arguments, told));
        found
    }

    /// Returns all ids of the kind.
    pub(crate) fn list(&mut self) -> Result<BTreeSet<String>, String> {
        let kind = self.backend.case.kind.clone();
        let mut all = BTreeSet::new();
        for _ in 0..PAGES {
            let after = all.last().cloned();
            let page = self.ask(How::USUAL, |external| {
                external.list(&kind, after.as_deref(), &silent())
            });
            let told = page.clone().map(Value::from);
            let arguments = json!({"kind": kind, "after": after});
            self.asked.push(Asked::new("list", arguments, told));
            let page = page.map_err(|error| format!("`list` failed: {error}"))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
        Err(format!("`list` does not end within {PAGES} pages"))
    }

    fn ask<T>(&mut self, how: How, ask: impl FnOnce(&PluginExternal) -> T) -> T {
        let requests = Arc::default();
        let answer = ask(&self.backend.external(how, &requests));
        self.requests = requests.load(Ordering::SeqCst);
        answer
    }
}

impl Drop for Trial<'_> {
    /// Takes away what the trial may have left at the backend.
    fn drop(&mut self) {
        for mut object in std::mem::take(&mut self.objects) {
            object.token = u64::MAX;
            let requests = Arc::default();
            let external = self.backend.external(How::USUAL, &requests);
            if external.look(&object, &silent()) != Ok(Presence::Absent) {
                // There is nobody to tell; the law was broken before.
                let _ = external.remove(&object, &silent());
            }
        }
    }
}

/// Drops the log.
fn silent() -> ActLog {
    ActLog::new(|_, _| {})
}

/// Returns what there is of an object, on one line.
pub(crate) fn said(presence: &Presence) -> String {
    match presence {
        Presence::Absent => "absent".to_owned(),
        Presence::Partial => "partial".to_owned(),
        Presence::Whole(result) => format!("whole {result}"),
    }
}

/// Converts the failure of an act to an error, whose kind says whether something may have changed.
pub(crate) fn told_act(error: &ActError) -> TaskError {
    match error {
        ActError::Refused(error) => error.clone(),
        ActError::Unsure(error) => TaskError::new("Unsure", error.to_string()),
    }
}
