use std::fmt::Write as _;
use std::time::Duration;

use cairn::store::view::Pruned;
use clap::Args;

use crate::args::{Format, duration};
use crate::exit::Failure;
use crate::output::{self, count};
use crate::session::Session;

/// Remove the journals of flows that ended long ago
///
/// A flow's closed reservations and taken messages are removed with its journal. Usages, volumes, plans, ready messages and open
/// reservations stay. A flow whose rollback is incomplete is never removed, nor one whose journal cannot be read. Flows can run
/// meanwhile, because the removal is done in small steps. The database file keeps its size: `cairn db vacuum` shrinks it.
///
/// The idempotency key of a removed flow keeps the flow's id, its state and a short report: a repeat of the request returns that
/// report until the key lapses. A key lapses 30 days after the flow's end, or after the time `keep` of [idempotency] in cairn.toml;
/// --older-than does not change that. Lapsed keys are removed, and rows of the audit that were kept long enough.
#[derive(Args, Debug)]
pub struct Prune {
    /// Minimum age of a flow's last event, such as 30d or 12h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Duration,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

impl Prune {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let pruned = if self.dry_run {
            session
                .reader()?
                .view(&operator)
                .would_prune(self.older_than)?
        } else {
            session.store()?.prune_flows(&operator, self.older_than)?
        };
        if self.format.is_json() {
            return output::document(self.format, &pruned);
        }
        output::print(&text(&pruned, self.dry_run))
    }
}

fn text(pruned: &Pruned, dry_run: bool) -> String {
    let done = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let rows: Vec<String> = pruned
        .rows
        .iter()
        .map(|rows| count(rows.count, rows.called))
        .collect();
    let mut text = format!(
        "{} {done}, with {}\n",
        count(pruned.flows, "flow"),
        rows.join(" and ")
    );
    // Writing to a string cannot fail.
    if pruned.keys > 0 {
        let _ = writeln!(text, "{} {done}", count(pruned.keys, "lapsed key"));
    }
    if pruned.audit > 0 {
        let _ = writeln!(text, "{} {done}", count(pruned.audit, "audit row"));
    }
    if pruned.kept > 0 {
        let _ = writeln!(
            text,
            "{} kept: the rollback is incomplete, or the journal cannot be read",
            count(pruned.kept, "flow")
        );
    }
    if pruned.busy > 0 {
        let _ = writeln!(
            text,
            "{} left: hosts are working on their projects; run the command again",
            count(pruned.busy, "flow")
        );
    }
    text
}
