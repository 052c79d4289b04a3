use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use cairn::event::FlowState;
use cairn::host::Recovered;
use cairn::{FlowId, Host, Verdict};
use clap::Args;
use serde::Serialize;

use crate::args::{Format, Placement};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output;
use crate::session::Session;

/// Recover the flows of dead processes and stuck flows, and wake flows that are due
///
/// The unfinished call is undone; then each flow continues or is rolled back, as its manifest says (`on_lost`). Exits with 4 if the
/// rollback of a flow is incomplete, with 6 if a flow is stuck, with 1 if the host failed, else with 0: the list shows whether a flow
/// succeeded or was rolled back, and with which verdict.
#[derive(Args, Debug)]
pub struct Recover {
    /// Stay, and wake each flow when it is due, until a signal ends the process
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

/// Interval between two looks whether flows still run.
const LOOK: Duration = Duration::from_millis(10);

/// A recovered flow.
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
            .share(self.watch)
            .wake(self.watch)
            .build()?;
        let host = Arc::new(host);
        let mut recovered = host.recover(true)?;
        recovered.extend(host.wake_due(true)?);
        let rows: Vec<Row> = recovered.into_iter().map(Row::from).collect();
        if self.format.is_json() {
            output::document(self.format, &rows)?;
        } else {
            output::print(&text(&rows))?;
        }
        if self.watch {
            watch(session, &host)?;
        }
        session.settle(&host);
        Ok(rows.iter().map(Row::exit).fold(Exit::Ok, Exit::worse))
    }
}

/// Waits for a signal to the process, while the host wakes flows.
fn watch(session: &Session, host: &Arc<Host>) -> Result<(), Failure> {
    let (ended, end) = channel();
    let interrupt = Interrupt::with(&session.settings.global, {
        let host = Arc::clone(host);
        move || {
            host.drain();
            // The receiver waits below.
            let _ = ended.send(());
        }
    })?;
    // An error means that no signal can come any more.
    let _ = end.recv();
    drop(interrupt);
    while host.unfinished() > 0 {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

impl Row {
    /// Returns the exit code, which tells whether an operator has to act.
    fn exit(&self) -> Exit {
        match (&self.stuck, self.verdict) {
            (Some(_), _) => Exit::Refused,
            (None, Some(Verdict::Unknown)) => Exit::Residue,
            // It is tried again.
            (None, _) if self.state == Some(FlowState::Reverting) => Exit::Interrupted,
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
        return "there was nothing to recover\n".to_owned();
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
