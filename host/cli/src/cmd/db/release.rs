use std::ops::Bound;

use cairn::store::view::{CAST, Listing};
use cairn::{Object, StoreError};
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::report;
use crate::session::Session;

/// The states of messages that may have left since the backup was made.
const MAY_HAVE_LEFT: [&str; 2] = ["ready", "sending"];

/// The state of messages whose flow had not ended when the backup was made. They have left if it succeeded since.
const UNFINISHED: [&str; 1] = ["held"];

/// How many of each kind are shown.
const SHOWN: usize = 1_000;

/// Release a restored database, after a list of the messages that may have left already
///
/// A restored database is as it was when the backup was made. Messages that were waiting then may have left since, and flows that were
/// running may have ended. So it is held: nothing is run, recovered, delivered or pruned. See what is listed (`cairn outbox list` and
/// `cairn flow list` show more), drop messages that must not leave again with `cairn outbox discard`, and then release the database. Messages
/// of flows that had not ended are listed apart: they cannot be dropped, and leave if their flow succeeds after the release. The list is
/// printed before the release; a list that cannot be printed prevents it. Does nothing to a database that is not held.
#[derive(Args, Debug)]
pub struct Release {
    /// List the messages, and release nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

/// What is released.
#[derive(Serialize)]
struct Document {
    /// When the database was restored; absent if it was not held.
    held_since: Option<String>,
    /// Whether the database is released once this is printed. If that fails the command does not exit with 0.
    releases: bool,
    /// The messages that may have left; at most the first thousand.
    messages: Vec<Object>,
    /// Whether there are more of them.
    more: bool,
    /// The messages of flows that had not ended; at most the first thousand.
    unfinished: Vec<Object>,
    /// Whether there are more of them.
    more_unfinished: bool,
}

impl Release {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let document = self.look(session)?;
        // Before anything can leave.
        let text = match self.format.is_json() {
            true => output::document_text(self.format, &document)?,
            false => listed(&document),
        };
        output::write(&text).map_err(|error| {
            Failure::host(format!(
                "stdout cannot be written: {error}; nothing was released"
            ))
        })?;
        if !document.releases {
            return Ok(());
        }
        let store = session.store_even_held()?;
        let released = store.admin(&session.operator(), |admin| admin.release())?;
        match released && !self.format.is_json() {
            true => output::print("released\n"),
            false => Ok(()),
        }
    }

    /// Reads what the database holds.
    fn look(&self, session: &Session) -> Result<Document, Failure> {
        let operator = session.operator();
        let reader = session.reader()?;
        let view = reader.view(&operator);
        let held_since = view.held()?;
        let page = |states: &[&str]| {
            if held_since.is_none() {
                return Ok((Vec::new(), false));
            }
            let listing = Listing {
                states,
                ids: (Bound::Unbounded, Bound::Unbounded),
                limit: SHOWN + 1,
                ..Listing::default()
            };
            let mut messages = view.page(&CAST, listing)?;
            let more = messages.len() > SHOWN;
            messages.truncate(SHOWN);
            Ok::<_, StoreError>((messages, more))
        };
        let (messages, more) = page(&MAY_HAVE_LEFT)?;
        let (unfinished, more_unfinished) = page(&UNFINISHED)?;
        Ok(Document {
            releases: held_since.is_some() && !self.dry_run,
            held_since,
            messages,
            more,
            unfinished,
            more_unfinished,
        })
    }
}

fn listed(document: &Document) -> String {
    let Some(since) = &document.held_since else {
        return "the database is not held\n".to_owned();
    };
    let mut text = String::new();
    report::line(&mut text, "restored", since);
    list(
        &mut text,
        &document.messages,
        document.more,
        "that may have left already",
    );
    if !document.unfinished.is_empty() {
        list(
            &mut text,
            &document.unfinished,
            document.more_unfinished,
            "of flows that had not ended, which have left if their flow succeeded since",
        );
    }
    text
}

fn list(text: &mut String, messages: &[Object], more: bool, about: &str) {
    let number = match more {
        true => format!("more than {SHOWN}"),
        false => messages.len().to_string(),
    };
    report::line(text, "messages", &format!("{number} {about}"));
    for message in messages {
        let cell = |name: &str| message.get(name).map_or_else(String::new, output::cell);
        text.push_str(&format!(
            "  {}  {}  {}  {}  {}\n",
            cell("id"),
            cell("state"),
            cell("created_at"),
            cell("topic"),
            cell("method")
        ));
    }
}
