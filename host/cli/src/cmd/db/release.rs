use std::ops::Bound;

use cairn::Object;
use cairn::store::view::{CAST, Listing};
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::report;
use crate::session::Session;

/// The states of messages that may have left since the backup was made.
const MAY_HAVE_LEFT: [&str; 2] = ["ready", "sending"];

/// How many of them are shown.
const SHOWN: usize = 1_000;

/// Release a restored database, after a list of the messages that may have left already
///
/// A restored database is as it was when the backup was made. Messages that were waiting then may have left since, and flows that were
/// running may have ended. So it is held: nothing is run, recovered, delivered or pruned. See what is listed (`cairn outbox list` and
/// `cairn flow list` show more), drop messages that must not leave again with `cairn outbox discard`, and then release the database. Does
/// nothing to a database that is not held.
#[derive(Args, Debug)]
pub struct Release {
    /// List the messages, and release nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

/// What was released.
#[derive(Serialize)]
struct Document {
    /// When the database was restored; absent if it was not held.
    held_since: Option<String>,
    released: bool,
    /// The messages that may have left; at most the first thousand.
    messages: Vec<Object>,
    /// Whether there are more of them.
    more: bool,
}

impl Release {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let operator = session.operator();
        let listing = Listing {
            states: &MAY_HAVE_LEFT,
            ids: (Bound::Unbounded, Bound::Unbounded),
            limit: SHOWN + 1,
            ..Listing::default()
        };
        let (held_since, mut messages) = {
            let reader = session.reader()?;
            let view = reader.view(&operator);
            match view.held()? {
                None => (None, Vec::new()),
                since => (since, view.page(&CAST, listing)?),
            }
        };
        let more = messages.len() > SHOWN;
        messages.truncate(SHOWN);
        let mut document = Document {
            released: false,
            held_since,
            messages,
            more,
        };
        // Printed before anything can leave.
        if !self.format.is_json() {
            output::print(&listed(&document))?;
        }
        if document.held_since.is_some() && !self.dry_run {
            let store = session.store_even_held()?;
            document.released = store.admin(&operator, |admin| admin.release())?;
        }
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        match document.released {
            true => output::print("released\n"),
            false => Ok(()),
        }
    }
}

fn listed(document: &Document) -> String {
    let Some(since) = &document.held_since else {
        return "the database is not held\n".to_owned();
    };
    let mut text = String::new();
    report::line(&mut text, "restored", since);
    let number = match document.more {
        true => format!("more than {SHOWN}"),
        false => document.messages.len().to_string(),
    };
    report::line(
        &mut text,
        "messages",
        &format!("{number} that may have left already"),
    );
    for message in &document.messages {
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
    text
}
