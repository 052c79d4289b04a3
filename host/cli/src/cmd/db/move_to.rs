use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::Diagnostic;
use cairn::clock::SystemClock;
use cairn::keyring::KeySource;
use cairn::store::{Copied, Location, postgres};
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::report;
use crate::session::Session;
use crate::settings::Settings;

/// Copy the database to an empty one on a PostgreSQL server
///
/// End all processes that work on the database first: the command is refused while there is one, and keeps others from it until it is
/// done. It makes the tables on the server, copies everything but the master key in one transaction, reads it back and compares it.
/// If anything fails, nothing of it stays on the server. The file stays as it is.
///
/// How to connect is set in [postgres] of cairn.toml, as for a database on a server.
#[derive(Args, Debug)]
pub struct Move {
    /// The empty database: postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    format: Format,
}

/// What was copied.
#[derive(Serialize)]
struct Document<'a> {
    from: String,
    to: &'a str,
    #[serde(flatten)]
    copied: Copied,
    /// The file of the master key that [keys] must name from now on; absent if [keys] says what it must.
    keys: Option<PathBuf>,
}

impl Move {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let settings = &session.settings;
        let Location::Server(to) = Location::named(Path::new(&self.to)) else {
            let message = format!(
                "`{}` names no database on a server",
                output::printable(&self.to)
            );
            return Err(Diagnostic::new(message)
                .help("write --to postgres://USER@HOST/DATABASE; `cairn db backup` copies a database to a file")
                .into());
        };
        let Location::File(from) = &settings.db else {
            return Err(Diagnostic::new("the database is on a server already")
                .help("`cairn db backup` copies it to a file, and `cairn db restore` copies that to another database")
                .into());
        };
        session.require_database()?;
        let copied = postgres::move_from(
            &session.server(&to)?,
            from.path(),
            &settings.old_components(),
            session.config()?,
            Arc::new(SystemClock),
        )?;
        super::warn_of_damage(session, &copied);
        let document = Document {
            from: settings.db_name.display().to_string(),
            to: &to,
            copied,
            keys: unset_key(settings),
        };
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        output::print(&text(&document))
    }
}

/// Returns the key beside the database, which a database on a server is not found with.
fn unset_key(settings: &Settings) -> Option<PathBuf> {
    match &settings.keys {
        KeySource::NewFile(file) if file.exists() => {
            Some(std::path::absolute(file).unwrap_or_else(|_| file.clone()))
        }
        _ => None,
    }
}

fn text(document: &Document<'_>) -> String {
    let mut text = String::new();
    let rows = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    report::line(&mut text, "from", &document.from);
    report::line(&mut text, "to", document.to);
    let copied = &document.copied;
    let about = format!(
        "{}, {}; read back and compared",
        count(rows(copied.rows("flows")), "flow"),
        count(rows(copied.total()), "row")
    );
    report::line(&mut text, "copied", &about);
    text.push_str("\nnow set in cairn.toml:\n\n");
    text.push_str(&format!("    db = {}\n", quoted(document.to)));
    if let Some(file) = &document.keys {
        text.push_str(&format!(
            "\n    [keys]\n    file = {}\n",
            quoted(&file.display().to_string())
        ));
    }
    text.push_str(&format!(
        "\nand keep {} as it is until the new database has worked\n",
        output::printable(&document.from)
    ));
    text
}

/// Writes a string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
