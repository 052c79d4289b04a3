use cairn::StoreError;
use cairn::store::admin::Admin;
use cairn::volumes::operator::{check_usages, sync_usages};
use cairn::volumes::quota::{Counters, Drift};
use clap::Args;
use serde::Serialize;

use crate::args::{Format, Who};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::projects;
use crate::session::Session;

/// Compare usages with bookings and reservations; exit 6 if one differs
///
/// A usage's `in_use` must equal the sum of the volumes whose quota was committed and of the snapshots. Its `reserved` must equal the
/// sum of the open reservations. A missing usage is a difference if one of these sums is not zero. The command changes no usage, and changes
/// by running flows are not differences. `cairn quota sync` repairs the differences.
///
/// With --admin it checks every project, unless --project names one; without, the requester's own.
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

/// Recompute the usages of every project from its volumes, snapshots and open reservations
///
/// Repairs the differences that `cairn quota check --admin` finds, in a transaction for each project, and prints the old and the new value
/// of each usage that it changed. Flows may run meanwhile. A project that its host does not hand over in time is left; exit 6 then.
#[derive(Args, Debug)]
pub struct Sync {
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Found<'a> {
    drift: &'a [Drift],
}

#[derive(Serialize)]
struct Mended<'a> {
    mended: &'a [Drift],
}

impl Check {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let requester = session.requester(&self.who)?;
        let everybody = requester.is_admin && self.who.project.is_none();
        let project = (!everybody).then_some(&*requester.project_id);
        let reader = session.reader()?;
        let checked = check_usages(&reader.view(&requester), project)?;
        drop(reader);
        if let Some(result) = checked.result {
            note(session, |admin| admin.note_checks(&[result]));
        }
        let drift = checked.drift;
        if self.format.is_json() {
            output::document(self.format, &Found { drift: &drift })?;
        } else {
            output::print(&text(&drift, "no difference was found\n"))?;
        }
        Ok(if drift.is_empty() {
            Exit::Ok
        } else {
            Exit::Refused
        })
    }
}

impl Sync {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let store = session.store()?;
        let synced = sync_usages(&*store, &operator, None, None)?;
        let mended = &synced.mended;
        if self.format.is_json() {
            output::document(self.format, &Mended { mended })?;
        } else {
            output::print(&text(mended, "there was nothing to repair\n"))?;
        }
        projects::finish(synced.left, session)
    }
}

/// Notes something for `cairn status`, if the database can be written to.
fn note(session: &Session, work: impl FnOnce(&mut Admin<'_>) -> Result<(), StoreError>) {
    if let Err(failure) = session.note_facts(work) {
        tracing::debug!(error = %failure.diagnostic, "the result of the check could not be noted");
    }
}

fn text(drift: &[Drift], nothing: &str) -> String {
    if drift.is_empty() {
        return nothing.to_owned();
    }
    let rows = drift.iter().map(|drift| {
        let found = |counter: fn(Counters) -> i64| match drift.found {
            Some(found) => counter(found).to_string(),
            None => "missing".to_owned(),
        };
        vec![
            drift.project.clone(),
            drift.resource.clone(),
            found(|counters| counters.in_use),
            drift.expected.in_use.to_string(),
            found(|counters| counters.reserved),
            drift.expected.reserved.to_string(),
        ]
    });
    output::table(
        &[
            "project", "resource", "in use", "expected", "reserved", "expected",
        ],
        rows,
    )
}
