use cairn::event::FlowState;
use cairn::host::Recovered;
use cairn::id::FlowId;
use cairn::report::Verdict;
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Take up the flows that a dead process left behind, and those that could not be recovered before
///
/// What a call in hand did is undone; then each flow goes on or is rolled back, as its manifest says (`on_lost`). Exits 4 when a
/// flow cannot be recovered or its rollback is incomplete, 1 when the host failed, else 0: whether a flow succeeded or was
/// rolled back, and what a revert kept on purpose, is in the list.
#[derive(Args, Debug)]
pub struct Recover {
    #[command(flatten)]
    format: Format,
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
        if self.format.json {
            output::json(&rows)?;
        } else {
            output::print(&text(&rows))?;
        }
        let unfinished = rows.iter().any(Row::is_unfinished);
        Ok(if unfinished { Exit::Residue } else { Exit::Ok })
    }
}

impl Row {
    /// Whether an operator has to look at it.
    fn is_unfinished(&self) -> bool {
        self.stuck.is_some() || self.verdict == Some(Verdict::Incomplete)
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
        (None, Some(verdict)) => format!("{verdict:?}").to_lowercase(),
        (None, None) => "-".to_owned(),
    };
    let state = |row: &Row| {
        row.state
            .map_or_else(|| "stuck".to_owned(), |state| state.to_string())
    };
    let cells = |row: &Row| vec![row.id.to_string(), state(row), verdict(row)];
    output::table(&["id", "state", "rollback"], rows.iter().map(cells))
}
