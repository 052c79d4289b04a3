//! Runs a flow with the plugin on a database in memory, and rolls it back.

use std::path::Path;
use std::sync::Arc;

use cairn::audit::Asker;
use cairn::error::{Origin, log_end};
use cairn::event::FlowState;
use cairn::flow_request::{self, RequestError};
use cairn::host::{Dispatched, Planner};
use cairn::manifest::GrantKinds;
use cairn::plan::{Descriptor, Role};
use cairn::plugin::{Plugin as Component, Plugins};
use cairn::store::operation::Operation;
use cairn::{Diagnostic, Manifest, Object, Report, Submission, Value, Verdict};

use super::list::{Broken, Checklist};
use super::{Subject, needed_grants};
use crate::exit::Failure;
use crate::output::count;
use crate::scratch::Scratch;
use crate::session::Session;

impl Subject {
    /// Runs the author's flow, or else the smallest one, and rolls it back.
    pub(super) fn trial(
        &self,
        session: &Session,
        plugins: &Arc<Plugins>,
        descriptor: &Descriptor,
        list: &mut Checklist,
    ) -> Result<Option<Broken>, Failure> {
        let plugin = plugins.load(&self.bytes)?;
        let (manifest, request) = match &self.flow {
            Some(flow) => (flow.clone(), self.inputs.clone()),
            None => self.flow_around(descriptor, &plugin, plugins.kinds())?,
        };
        let is_task = plugin.roles().contains(&Role::Task);
        let planner = Planner::new(Arc::clone(plugins), cairn_bundle::PLUGINS);
        let plan = match planner.plan(&manifest) {
            Ok(plan) => plan,
            Err(diagnostic) => return Ok(Some(refused(diagnostic))),
        };
        if plugin.roles().iter().all(|role| *role == Role::External) {
            list.pass("call", "not called: an external acts outside the database");
            return Ok(None);
        }
        let folder = Scratch::new()?;
        let host = session.trial(planner, folder.path())?;
        let requester = session.demo();
        let resolved = host.store().try_read(&requester, |view| {
            let request = Value::Object(request);
            flow_request::resolve(plan.action.as_deref(), &request, None, view)
        });
        let request = match resolved {
            Ok(request) => request,
            Err(RequestError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(Some(Broken::new("call", format!("the request: {error}")))),
        };
        let submission = Submission {
            plan: host.ready(&plan)?,
            requester,
            request: Ok(request),
            key: None,
        };
        let mut report = host.submit(submission)?.wait()?;
        match called(&report, is_task) {
            Ok(found) => list.pass("call", found),
            Err(broken) => return Ok(Some(broken)),
        }
        if !is_task {
            list.pass("revert", "nothing to revert: it changes nothing");
            return Ok(None);
        }
        if report.flow.state == FlowState::Success {
            let reason = "to see it reverted".to_owned();
            let by = Asker::from(&session.demo());
            report = match host.operate(report.flow.id, &Operation::Rollback { reason }, &by)? {
                Dispatched::Here(report) => *report,
                Dispatched::Asked { .. } => {
                    return Err(Failure::host("another process has the trial's flow"));
                }
            };
        }
        Ok(match reverted(&report) {
            Ok(found) => {
                list.pass("revert", found);
                None
            }
            Err(broken) => Some(broken),
        })
    }

    /// Builds the smallest flow with the plugin in it, and its request.
    fn flow_around(
        &self,
        descriptor: &Descriptor,
        plugin: &Component,
        kinds: &GrantKinds,
    ) -> Result<(Manifest, Object), Failure> {
        let path = std::path::absolute(&self.component)
            .map_err(|error| Failure::host(format!("{}: {error}", self.component.display())))?;
        let given = |name: &&String| self.inputs.contains_key(*name);
        let optional = descriptor.optional.iter().filter(given);
        let inputs: Object = (descriptor.requires.iter().chain(optional))
            .map(|name| {
                (
                    name.clone(),
                    self.inputs.get(name).cloned().unwrap_or_default(),
                )
            })
            .collect();
        // A JSON string is a TOML string too.
        let quoted = |text: &str| Value::from(text).to_string();
        let names: Vec<String> = inputs.keys().map(|name| quoted(name)).collect();
        let path = quoted(&path.display().to_string());
        let mut flow = format!(
            "[flow]\nname = \"check\"\naction = \"plugin:check\"\n\
             [plugins.inject]\nbuiltin = \"inject\"\nsettings = {{ provides = [{}] }}\n\
             [[task]]\nplugin = \"inject\"\n\
             [plugins.checked]\npath = {path}\n[plugins.checked.grants]\n",
            names.join(", ")
        );
        for capability in needed_grants(plugin) {
            flow += &format!("{capability} = true\n");
        }
        for role in plugin.roles() {
            if role != Role::External {
                flow += &format!("{}\nplugin = \"checked\"\n", role.table());
            }
        }
        let mut manifest = Manifest::parse(&flow, Path::new("flow.toml"), kinds)?;
        if let Some(entry) = manifest.plugins.get_mut("checked") {
            entry.settings = self.settings.clone();
            entry.limits = self.limits.clone();
        }
        Ok((manifest, inputs))
    }
}

/// Converts the error of a flow that cannot be planned.
fn refused(diagnostic: Diagnostic) -> Broken {
    let broken = Broken::new(
        "call",
        format!("its flow is refused: {}", diagnostic.message),
    );
    match diagnostic.help {
        Some(help) => broken.help(help),
        None => broken,
    }
}

/// Checks that the call ended as the contract demands: with every name that it provides, or with an error of its own.
fn called(report: &Report, is_task: bool) -> Result<String, Broken> {
    let Some(error) = &report.error else {
        if !is_task {
            return Ok("lets the request pass".to_owned());
        }
        let result = report
            .tasks
            .last()
            .map_or(&Value::Null, |task| &task.result);
        return Ok(format!("returned {result}"));
    };
    let whose = error.task.as_deref().unwrap_or("the flow");
    let what = format!("{}: {}{}", error.kind, error.message, log_end(&error.log));
    // A policy that fails is reported as a denial, with the origin of the failure in the details.
    let origin = match error.details["failure"]["origin"].as_str() {
        Some("host") => Origin::Host,
        _ => error.origin,
    };
    match origin {
        Origin::Host => {
            let help = match is_task {
                true => {
                    "a call returns JSON with every name that the plugin provides, or an error; --inputs sets other inputs"
                }
                false => "a check returns its answer or an error; --inputs sets another request",
            };
            Err(Broken::new("call", format!("{whose} failed: {what}")).help(help))
        }
        _ if !is_task => Ok(format!("refuses the request: {what}")),
        _ => Ok(format!("{whose} refused, with an error of its own: {what}")),
    }
}

/// Checks that everything could be reverted.
fn reverted(report: &Report) -> Result<String, Broken> {
    let Some(rollback) = &report.rollback else {
        return Ok("there was nothing to revert".to_owned());
    };
    match rollback.verdict {
        Verdict::Clean => Ok("leaves everything as it was".to_owned()),
        Verdict::Kept => {
            let kept = count(rollback.residue.len(), "change");
            Ok(format!("keeps {kept} on purpose"))
        }
        // A message that has left, or a change that could not be undone.
        _ if rollback.failed.is_empty() => {
            let left = count(rollback.residue.len(), "change");
            Err(Broken::new("revert", format!("it leaves {left}")))
        }
        _ => {
            let failed = rollback.failed.iter().map(|failed| match &failed.error {
                Some(error) => format!("{}: {}", failed.task, error.with_log()),
                None => failed.task.clone(),
            });
            let failed = failed.collect::<Vec<_>>().join("; ");
            Err(Broken::new("revert", format!("it failed: {failed}")))
        }
    }
}
