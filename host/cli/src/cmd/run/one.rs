//! One request, whose flow is shown as it goes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use cairn::Submission;
use cairn::history::History;
use cairn::host::Host;
use cairn::id::Identity;
use cairn::manifest::Manifest;
use cairn::report::Report;
use cairn::request;
use cairn::rows::Row as _;
use cairn::value::Value;
use cairn::volumes::QuotaUsage;
use cairn::volumes::operator::{Quota, ReadVolumes as _, kind};

use super::{Run, requested, tell_recovered};
use crate::blame;
use crate::exit::{Exit, Failure};
use crate::interrupt::{self, Interrupt};
use crate::output::{self, cell};
use crate::progress::Progress;
use crate::report;
use crate::session::Session;

/// Everything that can be wrong is found before the database is opened for writing, or made.
pub(super) fn run(run: Run, session: &Session, manifest: &Manifest) -> Result<Exit, Failure> {
    let (key, request, file) =
        requested(run.inputs.first().map(PathBuf::as_path), run.key.clone())?;
    let policy = session.policy()?;
    let requester = session.identity(&run.who, &policy);
    let planner = session.planner()?.policy(Arc::clone(&policy));
    let plan = session.plan(&planner, manifest, run.locked)?;
    let entered = session.peek(&requester, |view| {
        Ok(request::enter(
            &plan.name,
            plan.action.as_deref(),
            &request,
            key.as_deref(),
            file,
            view,
        )?)
    })?;

    let host = session.host(planner, policy)?.build()?;
    tell_recovered(session, &host.recover(false)?);
    let submission = Submission {
        plan: host.ready(&plan)?,
        requester: requester.clone(),
        request: entered.request,
        key: entered.key,
    };
    let report = watched(&run, session, &host, submission)?;

    if let Some(fault) = blame::plugin_fault(&report, &plan, manifest) {
        output::error(&session.settings.global, &fault);
    }
    let mut text = report::format(&report, run.format)?;
    if !run.format.json {
        text += &made(&host, &requester, &report)?;
    }
    report::deliver(&report, &text)?;
    Ok(Exit::of(&report))
}

/// Runs a flow, shown as it goes, until it ends or a signal interrupts it.
fn watched(
    run: &Run,
    session: &Session,
    host: &Host,
    submission: Submission,
) -> Result<Report, Failure> {
    let mut watching = None;
    let submitted = host.submit_watched(submission, |flow| {
        flow.log_transitions();
        let progress = if run.format.json {
            None
        } else {
            Progress::of(flow)?
        };
        let interrupt = Interrupt::with(&session.settings.global, {
            let flow = flow.clone();
            move || interrupt::stop(&flow)
        })?;
        watching = Some((interrupt, progress));
        Ok::<_, Failure>(())
    })?;
    let report = submitted.wait();
    drop(watching);
    Ok(report?)
}

/// The volume that a flow made, if it made one, and how the quotas stand that it used.
fn made(host: &Host, requester: &Identity, report: &Report) -> Result<String, Failure> {
    let results = report.tasks.iter().rev();
    let volume = results
        .filter_map(|task| task.result.get("volume_id")?.as_str())
        .next();
    let Some(volume) = volume.filter(|_| Exit::of(report) == Exit::Ok) else {
        return Ok(String::new());
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
