use cairn::event::FlowState;
use cairn::host::Recovered;
use cairn::id::FlowId;
use cairn::report::Verdict;
use clap::Args;
use serde::Serialize;

use crate::args::{Format, Placement};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Take up the flows that a dead process left behind, and those that could not be recovered before
///
/// What a call in hand did is undone; then each flow goes on or is rolled back, as its manifest says (`on_lost`). Exits 4 when the
/// rollback of a flow is incomplete, 6 when a flow cannot be recovered, 1 when the host failed, else 0: whether a flow succeeded
/// or was rolled back, and what a revert kept on purpose, is in the list.
#[derive(Args, Debug)]
pub struct Recover {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

/// A flow that was taken up.
#[derive(Serialize)]
struct Row {
    id: FlowId,
    state: Option<FlowState>,
    verdict: Option<Verdict>,
    stuck: Option<String>,
}

impl Recover {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.any_reader()?;
        let host = session
            .host(session.planner()?, session.policy()?)?
            .build()?;
        let rows: Vec<Row> = host.recover(true)?.into_iter().map(Row::from).collect();
        if self.format.is_json() {
            output::document(self.format, &rows)?;
        } else {
            output::print(&text(&rows))?;
        }
        session.settle(&host);
        Ok(rows.iter().map(Row::exit).fold(Exit::Ok, Exit::worse))
    }
}

impl Row {
    /// What it comes to: whether an operator has to look at it.
    fn exit(&self) -> Exit {
        match (&self.stuck, self.verdict) {
            (Some(_), _) => Exit::Refused,
            (None, Some(Verdict::Incomplete)) => Exit::Residue,
            (None, _) => Exit::Ok,
        }
    }
}

impl From<Recovered> for Row {
    fn from(recovered: Recovered) -> Self {
        let (state, verdict, stuck) = match recovered.outcome {
            Ok((state, verdict)) => (Some(state), verdict, None),
            Err(reason) => (None, None, Some(reason)),
        };
        Self {
            id: recovered.id,
            state,
            verdict,
            stuck,
        }
    }
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing was left behind\n".to_owned();
    }
    let verdict = |row: &Row| match (&row.stuck, row.verdict) {
        (Some(reason), _) => reason.clone(),
        (None, Some(verdict)) => verdict.as_str().to_owned(),
        (None, None) => "-".to_owned(),
    };
    let state = |row: &Row| {
        row.state
            .map_or_else(|| "stuck".to_owned(), |state| state.to_string())
    };
    let cells = |row: &Row| vec![row.id.to_string(), state(row), verdict(row)];
    output::table(&["id", "state", "rollback"], rows.iter().map(cells))
}
