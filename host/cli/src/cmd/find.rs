use std::time::Duration;

use cairn::FlowId;
use cairn::store::view::{Match, Searched, Within};
use clap::Args;
use serde::Serialize;

use super::flows::Row;
use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// How long journals are searched unless `--all` is given.
const TIME: Duration = Duration::from_secs(5);

/// How many flows are found at most.
const MOST: usize = 100;

/// Find the flows that have to do with an id or a key
///
/// The text is the id of a flow, an idempotency key, the id of a request, a trace, a message or an object outside the database, or any id that
/// an effect touched: of a volume, a snapshot, a reservation, a key, or the key of a record. Of ids of flows, and of rows that name the flow that
/// made them, the first 8 characters will do.
///
/// Indexes are asked first. Then journals are searched for the whole text, from the newest flow back, for at most five seconds.
#[derive(Args, Debug)]
pub struct Find {
    /// What to look for
    #[arg(value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    text: String,
    /// Search the journals of all flows, however long that takes
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    flows: Vec<Hit>,
    searched: Option<Searched>,
}

/// A flow that was found; times are in RFC 3339.
#[derive(Serialize)]
struct Hit {
    id: FlowId,
    /// Null of a flow that was pruned.
    flow: Option<Row>,
    why: Vec<String>,
}

impl From<Match> for Hit {
    fn from(found: Match) -> Self {
        Self {
            id: found.id,
            flow: found.flow.map(Row::from),
            why: found.why,
        }
    }
}

impl Find {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let reader = session.reader()?;
        let within = Within {
            time: (!self.all).then_some(TIME),
            flows: MOST,
        };
        let found = reader.view(&operator).search(&self.text, within)?;
        if let Some(searched) = &found.searched {
            note(session, searched);
        }
        if self.format.is_json() {
            let document = Document {
                flows: found.flows.into_iter().map(Hit::from).collect(),
                searched: found.searched,
            };
            return output::document(self.format, &document);
        }
        output::print(&table(&found.flows))
    }
}

/// Says how far a search went that did not look at all flows.
fn note(session: &Session, searched: &Searched) {
    if searched.unreadable > 0 {
        session.warn(&format!(
            "{} of journals cannot be read and were not searched",
            output::count(
                usize::try_from(searched.unreadable).unwrap_or(usize::MAX),
                "row"
            )
        ));
    }
    if let (false, Some(back_to)) = (searched.is_complete, searched.back_to) {
        session.note(&format!(
            "the journals of the newest {} were searched, back to {back_to}; --all searches all",
            output::count(
                usize::try_from(searched.flows).unwrap_or(usize::MAX),
                "flow"
            )
        ));
    }
}

fn table(found: &[Match]) -> String {
    if found.is_empty() {
        return "no flow was found\n".to_owned();
    }
    let rows = found.iter().map(|found| {
        let (name, state, project) = match &found.flow {
            Some(flow) => (&*flow.name, flow.state.as_str(), &*flow.project_id),
            None => ("-", "pruned", "-"),
        };
        let id = found.id.to_string();
        vec![
            id,
            name.into(),
            state.into(),
            project.into(),
            found.why.join("; "),
        ]
    });
    output::table(&["id", "name", "state", "project", "why"], rows)
}
