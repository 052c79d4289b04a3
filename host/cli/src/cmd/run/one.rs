//! Runs one request, and shows its flow's progress.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use cairn::event::FlowState;
use cairn::history::History;
use cairn::rows::Row as _;
use cairn::volumes::QuotaUsage;
use cairn::volumes::operator::{Quota, ReadVolumes as _, kind};
use cairn::{Flow, Host, Identity, Manifest, Report, Submission, Value, flow_request};

use super::{Run, requested, tell_recovered};
use crate::args::{Format, Who};
use crate::blame;
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::message;
use crate::output::cell;
use crate::progress::Progress;
use crate::report;
use crate::session::Session;

/// One request to a flow, and how its report is printed.
pub(crate) struct Job<'j> {
    /// The flow.
    pub(crate) manifest: &'j Manifest,
    /// The request.
    pub(crate) request: Value,
    /// The idempotency key.
    pub(crate) key: Option<String>,
    /// The file that the request is in.
    pub(crate) file: Option<&'j Path>,
    /// The requester.
    pub(crate) who: &'j Who,
    /// Whether the plugins must be those of the lock file.
    pub(crate) locked: bool,
    /// Whether a flow that waits is left asleep.
    pub(crate) no_wait: bool,
    /// How the report is printed.
    pub(crate) format: Format,
}

pub(super) fn run(run: Run, session: &Session, manifest: &Manifest) -> Result<Exit, Failure> {
    let input = run.inputs.first();
    let (key, request) = requested(input, run.key)?;
    let job = Job {
        manifest,
        request,
        key,
        file: input.and_then(Input::path),
        who: &run.who,
        locked: run.locked,
        no_wait: run.no_wait,
        format: run.format,
    };
    job.run(session)
}

impl Job<'_> {
    /// Runs the flow, and prints its report. The plan and the request are checked before the database is opened for writing or created.
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let policy = session.policy()?;
        let requester = session.identity(self.who, &policy);
        let planner = session.planner()?.policy(Arc::clone(&policy));
        let plan = session.plan(&planner, self.manifest, self.locked)?;
        let entered = session.peek(&requester, |view| {
            Ok(flow_request::enter(
                &plan.name,
                plan.action.as_deref(),
                &self.request,
                self.key.as_deref(),
                self.file,
                view,
            )?)
        })?;

        let host = Arc::new(session.host(planner, policy)?.build()?);
        if self.no_wait {
            host.leave_waiting();
        }
        tell_recovered(session, &host.recover(false)?);
        let submission = Submission {
            plan: host.ready(&plan)?,
            requester: requester.clone(),
            request: entered.request,
            key: entered.key,
        };
        let report = watched(self.format, session, &host, submission)?;

        if let Some(fault) = blame::plugin_fault(&report, &plan, self.manifest) {
            message::error(&session.settings.global, &fault);
        }
        let mut text = report::format(&report, self.format)?;
        if !self.format.is_json() {
            text += &made(&host, &requester, &report)?;
        }
        report::deliver(&report, &text)?;
        session.settle(&host);
        Ok(Exit::of(&report))
    }
}

/// Runs a flow and shows its progress, until it ends or a signal interrupts it. A request for another host is withdrawn by a signal, unless
/// that host has begun it.
fn watched(
    format: Format,
    session: &Session,
    host: &Arc<Host>,
    submission: Submission,
) -> Result<Report, Failure> {
    let runs_here = Arc::<OnceLock<Flow>>::default();
    let has_ended = Arc::<AtomicBool>::default();
    let interrupt = Interrupt::with(&session.settings.global, {
        let (runs_here, has_ended) = (Arc::clone(&runs_here), Arc::clone(&has_ended));
        let host = Arc::downgrade(host);
        move || {
            let Some(host) = host.upgrade() else { return };
            host.stop();
            // The signal came just before the flow starts.
            let is_pending = |flow: &Flow| flow.state() == FlowState::Pending;
            while runs_here.get().is_some_and(is_pending) && !has_ended.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
                host.stop();
            }
        }
    })?;
    let mut progress = None;
    let submitted = host.submit_watched(submission, |flow| {
        flow.log_transitions();
        if !format.is_json() {
            progress = Progress::of(flow)?;
        }
        // Empty until now: a host watches one flow.
        let _ = runs_here.set(flow.clone());
        Ok::<_, Failure>(())
    })?;
    let report = submitted.wait();
    has_ended.store(true, Ordering::SeqCst);
    drop((interrupt, progress));
    Ok(report?)
}

/// Formats the volume that a flow created, if any, and the quotas that it used.
fn made(host: &Host, requester: &Identity, report: &Report) -> Result<String, Failure> {
    let results = report.tasks.iter().rev();
    let volume = results
        .filter_map(|task| task.result.get("volume_id")?.as_str())
        .next();
    if Exit::of(report) != Exit::Ok || report.pruned {
        return Ok(String::new());
    }
    let Some(volume) = volume else {
        return made_otherwise(host, requester, report);
    };
    let text = host.store().read(requester, |view| {
        let mut text = String::new();
        if let Some(row) = view.find(&kind::VOLUME, volume)? {
            let shown = |column: &str| cell(row.get(column).unwrap_or(&Value::Null));
            let about = format!(
                "{volume}  {}  {} GiB  {}",
                shown("display_name"),
                shown("size"),
                shown("status")
            );
            report::line(&mut text, "volume", &about);
        }
        let history = History::fold(&view.journal(report.flow.id)?, host.store().domains());
        let counted = history.iter().flat_map(History::counted);
        let project = requester.project_id.as_str();
        let used: BTreeSet<&str> = counted
            .filter(|(table, _)| *table == QuotaUsage::TABLE.name)
            .filter_map(|(_, key)| match key.0.as_slice() {
                [whose, resource] if **whose == *project => Some(&**resource),
                _ => None,
            })
            .collect();
        for (resource, quota) in view.project_quotas(project, None, true, true)? {
            if used.contains(resource.as_str()) {
                usage(&mut text, &resource, quota);
            }
        }
        Ok(text)
    })?;
    Ok(text)
}

/// Formats the changes of a flow that created no volume.
fn made_otherwise(host: &Host, requester: &Identity, report: &Report) -> Result<String, Failure> {
    let journal = host
        .store()
        .read(requester, |view| view.journal(report.flow.id))?;
    let mut text = String::new();
    if let Some(history) = History::fold(&journal, host.store().domains()) {
        report::made(&mut text, &history);
    }
    Ok(text)
}

fn usage(text: &mut String, resource: &str, quota: Quota) {
    let usage = quota.usage.unwrap_or_default();
    let limit = match quota.limit {
        Some(limit) if limit >= 0 => format!("of {limit}"),
        _ => "without limit".to_owned(),
    };
    let mut line = format!("{resource}: {} {limit} in use", usage.in_use);
    if usage.reserved != 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, ", {} reserved", usage.reserved);
    }
    report::line(text, "quota", &line);
}
