mod deploy;
mod forward;
mod list;
mod operate;
mod prune;
mod show;
mod signal;
mod undeploy;
mod versions;

pub use list::Row;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use cairn::event::{Entry, Event, LogLevel};
use cairn::history::History;
use cairn::id::{IdPrefix, NotAPrefix};
use cairn::store::operation::Operation;
use cairn::store::view::{FlowFilter, Reader};
use cairn::{FlowId, Identity, StoreError, TaskId, Value};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, cell};
use crate::session::Session;

/// Show flows and what happened to them, and change them
#[derive(Debug, Subcommand)]
pub enum Flows {
    /// List flows, the newest first
    List(list::List),
    /// Show a flow: its state, request, tasks, results and changes
    ///
    /// As JSON, it is the document that `cairn run --json` prints.
    Show(One),
    /// List the events in a flow's journal
    Events(One),
    /// List the log of a flow's plugins
    Logs(One),
    /// Interrupt a flow: the running task finishes, the next one does not start
    Interrupt(operate::Operate),
    /// Continue an interrupted flow where it stopped
    Resume(operate::Operate),
    /// Return a flow that left no changes to its start; `resume` runs it again
    Reset(operate::Operate),
    Signal(signal::Signal),
    /// Roll a flow back, or repeat an incomplete rollback
    Rollback(operate::Rollback),
    Prune(prune::Prune),
    Deploy(deploy::Deploy),
    Versions(versions::Versions),
    Undeploy(undeploy::Undeploy),
}

#[derive(Args, Debug)]
pub struct One {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    format: Format,
}

/// One flow.
#[derive(Args, Debug)]
pub struct Which {
    /// Id of the flow, or its first characters, 8 or more
    #[arg(value_name = "ID", value_parser = prefix)]
    id: IdPrefix,
}

impl Which {
    /// Returns the id of the flow.
    ///
    /// # Errors
    /// When no flow's id begins with the given characters, or several do.
    fn id(&self, reader: &Reader) -> Result<FlowId, Failure> {
        let nobody = Identity::default();
        Ok(reader.view(&nobody).resolve_flow(&self.id)?)
    }
}

/// Parses the beginning of an id, or an id in another form of a UUID, such as in braces.
fn prefix(text: &str) -> Result<IdPrefix, NotAPrefix> {
    match text.parse::<FlowId>() {
        Ok(id) => id.to_string().parse(),
        Err(_) => text.parse(),
    }
}

#[derive(Serialize)]
struct Happened<'e> {
    at: String,
    event: &'e Event,
}

#[derive(Serialize)]
struct Said<'e> {
    at: String,
    task: &'e str,
    level: LogLevel,
    message: Cow<'e, str>,
}

impl Flows {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(session)?,
            Self::Prune(prune) => prune.run(session)?,
            Self::Deploy(deploy) => return deploy.run(session),
            Self::Versions(versions) => versions.run(session)?,
            Self::Undeploy(undeploy) => undeploy.run(session)?,
            Self::Show(one) => {
                let reader = session.reader()?;
                let id = one.which.id(&reader)?;
                let (_, history) = journal(session, &reader, id)?;
                warn_when_stuck(session, &reader, id)?;
                show::print(id, &history, one.format)?;
            }
            Self::Events(one) => {
                let reader = session.reader()?;
                let (journal, history) = journal(session, &reader, one.which.id(&reader)?)?;
                events(&journal, &names(&history), one.format)?;
            }
            Self::Logs(one) => {
                let reader = session.reader()?;
                let (journal, history) = journal(session, &reader, one.which.id(&reader)?)?;
                logs(&journal, &names(&history), one.format)?;
            }
            Self::Interrupt(operate) => return operate.run(session, Operation::Interrupt),
            Self::Resume(operate) => return operate.run(session, Operation::Resume),
            Self::Reset(operate) => return operate.run(session, Operation::Reset),
            Self::Signal(signal) => return signal.run(session),
            Self::Rollback(rollback) => return rollback.run(session),
        }
        Ok(Exit::Ok)
    }
}

fn journal(
    session: &Session,
    reader: &Reader,
    id: FlowId,
) -> Result<(Vec<Entry>, History), Failure> {
    let nobody = Identity::default();
    let journal = reader.view(&nobody).journal(id)?;
    let history = History::fold(
        &journal,
        &session.domains(cairn::keyring::KeySource::Memory)?,
    )
    .ok_or(StoreError::UnknownFlow(id))?;
    Ok((journal, history))
}

/// Warns if a flow is stuck, which its journal does not record.
fn warn_when_stuck(session: &Session, reader: &Reader, id: FlowId) -> Result<(), Failure> {
    let nobody = Identity::default();
    let filter = FlowFilter {
        stuck: true,
        ids: Some((id, id)),
        ..FlowFilter::default()
    };
    let found = reader.view(&nobody).flows(filter, 1)?.pop();
    if let Some(reason) = found.and_then(|flow| flow.stuck) {
        session.warn(&format!(
            "the flow is stuck, and does not continue: {reason}"
        ));
    }
    Ok(())
}

fn names(history: &History) -> BTreeMap<TaskId, String> {
    history
        .tasks
        .iter()
        .map(|task| (task.id, task.name.clone()))
        .collect()
}

fn events(
    journal: &[Entry],
    names: &BTreeMap<TaskId, String>,
    format: Format,
) -> Result<(), Failure> {
    if format.is_json() {
        let events = journal.iter().map(|entry| Happened {
            at: entry.at.to_string(),
            event: &entry.event,
        });
        return output::document(format, &events.collect::<Vec<_>>());
    }
    // Only a terminal gets shortened lines.
    let longest = io::stdout().is_terminal().then_some(LONGEST);
    let mut rows = Vec::with_capacity(journal.len());
    for entry in journal {
        let event =
            serde_json::to_value(&entry.event).map_err(|error| Failure::host(error.to_string()))?;
        let (what, details) = split(event);
        rows.push(vec![
            entry.at.to_string(),
            what,
            brief(details, names, longest),
        ]);
    }
    output::print(&output::table(&["at", "event", "details"], rows))
}

/// Splits an event into its name and its details.
fn split(event: Value) -> (String, Value) {
    match event {
        Value::Object(object) => object.into_iter().next().unwrap_or_default(),
        other => (cell(&other), Value::Null),
    }
}

/// How much of an event's details a terminal shows, in characters.
const LONGEST: usize = 160;

/// Formats details on one line, with the task's name instead of its id, cut to `longest` characters if given.
fn brief(mut details: Value, names: &BTreeMap<TaskId, String>, longest: Option<usize>) -> String {
    let Some(fields) = details.as_object_mut() else {
        return String::new();
    };
    let task = fields
        .get("task")
        .and_then(Value::as_str)
        .and_then(|id| id.parse().ok());
    if let Some(name) = task.and_then(|task| names.get(&task)) {
        fields.insert("task".to_owned(), name.as_str().into());
    }
    let words: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", cell(value)))
        .collect();
    let text = words.join(" ");
    match longest.and_then(|longest| text.char_indices().nth(longest)) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn logs(
    journal: &[Entry],
    names: &BTreeMap<TaskId, String>,
    format: Format,
) -> Result<(), Failure> {
    let said = journal.iter().filter_map(|entry| match &entry.event {
        Event::Log {
            task,
            level,
            message,
        } => Some(Said {
            at: entry.at.to_string(),
            task: names.get(task).map_or("-", String::as_str),
            level: *level,
            message: message.into(),
        }),
        Event::CheckLog {
            plugin,
            level,
            message,
        } => Some(Said {
            at: entry.at.to_string(),
            task: plugin,
            level: *level,
            message: message.into(),
        }),
        Event::WouldDeny { policy, error } => Some(Said {
            at: entry.at.to_string(),
            task: policy,
            level: LogLevel::Warn,
            message: format!("would have denied: {error}").into(),
        }),
        _ => None,
    });
    let said: Vec<Said<'_>> = said.collect();
    if format.is_json() {
        return output::document(format, &said);
    }
    let rows = said.into_iter().map(|said| {
        let level = format!("{:?}", said.level).to_lowercase();
        vec![
            said.at,
            level,
            said.task.to_owned(),
            said.message.into_owned(),
        ]
    });
    output::print(&output::table(&["at", "level", "task", "message"], rows))
}
