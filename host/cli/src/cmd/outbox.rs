use std::collections::BTreeMap;
use std::ops::Bound;

use cairn::Diagnostic;
use cairn::outbox::UNDELIVERED;
use cairn::store::HostStore;
use cairn::store::admin::Handling;
use cairn::store::projects::Left;
use cairn::store::view::{CAST, Listing};
use cairn::{Object, Value};
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{Format, Who};
use crate::exit::Failure;
use crate::output::{self, cell, count};
use crate::page::Page;
use crate::projects;
use crate::report;
use crate::session::Session;

/// How many messages `--failed` reads at once, and changes in one transaction at most.
const PAGE: usize = 500;

/// The state of messages that could not be delivered.
const FAILED: &str = State::Failed.as_str();

/// See, take and deliver the messages to other services
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List the messages that are to be taken or delivered, or could not be
    List(List),
    /// Show a message: its state, how often it was tried, and the last error
    Show(Show),
    /// Mark messages as taken: all of them, or none if one is not ready
    Ack(Ack),
    /// Deliver messages again, at once: those that failed, wait after an attempt, or are ready
    Retry(Change),
    /// Drop messages that are not to leave: those that failed, are being delivered, or are ready. A receiver that did not answer may have them
    Discard(Change),
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Its flow has not succeeded yet
    Held,
    /// Waits until a process takes it: no transport was configured
    Ready,
    /// Is delivered by the transport
    Sending,
    /// Could not be delivered
    Failed,
    /// Was taken by a process
    Acked,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Failed => "failed",
            Self::Acked => "acked",
        }
    }
}

#[derive(Args, Debug)]
pub struct List {
    /// Also list messages that are held until their flow succeeds, and messages that were taken
    #[arg(long)]
    all: bool,
    /// Only those in this state; may be repeated
    #[arg(
        long = "state",
        value_enum,
        value_name = "STATE",
        conflicts_with = "all"
    )]
    states: Vec<State>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// The message
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Ack {
    /// Ids of messages
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Change {
    /// The messages: all of them, or none when one is not there
    #[arg(value_name = "ID", required_unless_present = "failed")]
    ids: Vec<String>,
    /// All messages that could not be delivered, in a transaction for each project; those of a project that its host does not hand over in
    /// time are left, and the exit is 6 then
    #[arg(long, conflicts_with = "ids")]
    failed: bool,
    #[command(flatten)]
    who: Who,
}

impl Outbox {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Show(show) => show.run(session),
            Self::Ack(ack) => ack.run(session),
            Self::Retry(change) => {
                let store = session.store()?;
                change.run(session, &*store, "to be delivered again", Handling::Retry)
            }
            Self::Discard(change) => {
                let store = session.store_even_held()?;
                change.run(session, &*store, "discarded", Handling::Discard)
            }
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let states: Vec<&str> = match (self.all, self.states.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => [&["ready"][..], &UNDELIVERED].concat(),
            (false, false) => self.states.iter().map(|state| state.as_str()).collect(),
        };
        let listing = Listing {
            states: &states,
            ids: (self.page.after(), Bound::Unbounded),
            limit: self.page.to_read(None),
            ..Listing::default()
        };
        let reader = session.reader()?;
        let messages = reader.view(&requester).page(&CAST, listing)?;
        let columns = [
            "id",
            "state",
            "topic",
            "method",
            "created_at",
            "attempts",
            "last_error",
        ];
        self.page.objects(session, &columns, messages)
    }
}

impl Show {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let reader = session.reader()?;
        let Some(message) = reader.view(&requester).find(&CAST, &self.id)? else {
            return Err(Diagnostic::new(format!("there is no message `{}`", self.id))
                .help("`cairn outbox list --all` shows the messages; one that was delivered is gone")
                .into());
        };
        if self.format.is_json() {
            return output::document(self.format, &message);
        }
        let mut text = String::new();
        let columns = CAST.columns.iter().map(|column| column.name);
        for name in columns {
            let value = message.get(name).unwrap_or(&Value::Null);
            report::line(&mut text, name, &cell(value));
        }
        output::print(&text)
    }
}

impl Ack {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        session.store()?.admin(&requester, |admin| {
            let mut ids = self.ids.iter();
            ids.try_for_each(|id| admin.handle_cast(id, Handling::Ack))
        })?;
        Ok(())
    }
}

impl Change {
    fn run(
        self,
        session: &Session,
        store: &dyn HostStore,
        what: &str,
        handling: Handling,
    ) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        if !self.failed {
            store.admin(&requester, |admin| {
                let mut ids = self.ids.iter();
                ids.try_for_each(|id| admin.handle_cast(id, handling))
            })?;
            return Ok(());
        }
        store.admin(&requester, |admin| {
            admin.require_admin("change all messages")?;
            admin.require_handling(handling)
        })?;
        // Some of one project in each transaction: others may want to write, and hosts hand projects over.
        let (mut changed, mut after, mut left) = (0, String::new(), Left::default());
        loop {
            let listing = Listing {
                states: &[FAILED],
                ids: (Bound::Excluded(after.as_str()), Bound::Unbounded),
                limit: PAGE,
                ..Listing::default()
            };
            let page = store.read(&requester, |view| view.page(&CAST, listing))?;
            let text = |row: &Object, name: &str| row.get(name)?.as_str().map(str::to_owned);
            let mut projects: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for row in &page {
                let project = text(row, "project_id").unwrap_or_default();
                projects.entry(project).or_default().extend(text(row, "id"));
            }
            for (project, ids) in &projects {
                let done = left.change(store, &requester, |admin| {
                    admin.own(project)?;
                    let mut changed = 0;
                    for id in ids {
                        // Its host may have done something with it before.
                        let message = admin.view().find(&CAST, id)?;
                        if message.is_some_and(|message| message["state"] == FAILED) {
                            admin.handle_cast(id, handling)?;
                            changed += 1;
                        }
                    }
                    Ok(changed)
                })?;
                changed += done.unwrap_or(0);
            }
            let last = page.last().filter(|_| page.len() == PAGE);
            let Some(last) = last.and_then(|row| text(row, "id")) else {
                break;
            };
            after = last;
        }
        session.note(&format!("{what}: {}", count(changed, "message")));
        projects::finish(left, session)
    }
}
