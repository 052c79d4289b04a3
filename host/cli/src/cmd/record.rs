use std::path::Path;

use cairn::error::Diagnostic;
use cairn::id::FlowId;
use cairn::records::Expect;
use cairn::records::operator::{OperateRecords as _, ReadRecords as _, RecordListing};
use cairn::value::{self, Object, Value};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::{Format, Who, word, words};
use crate::exit::Failure;
use crate::input::{self, Input};
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// See and change the project's records, and see its counters
#[derive(Debug, Subcommand)]
pub enum Record {
    /// List the records of a collection, and which flows hold some of them
    List(List),
    /// Show a record, and the flow that holds its key
    Show(Show),
    /// Put a value under a key; refused while a flow holds the key
    Put(Put),
    /// Remove a record; refused while a flow holds its key
    Remove(Remove),
    /// Take a key from a flow that cannot go on; what the flow has put there is gone
    Release(Release),
    /// Show the counters of a collection
    Counters(Counters),
}

#[derive(Args, Debug)]
pub struct List {
    /// A collection of cairn.toml
    #[arg(value_parser = word)]
    collection: String,
    /// Only those whose keys begin so
    #[arg(long, value_name = "TEXT", value_parser = words, default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

/// Which record is meant.
#[derive(Args, Debug)]
struct Place {
    /// A collection of cairn.toml
    #[arg(value_parser = word)]
    collection: String,
    /// The key
    #[arg(value_parser = word)]
    key: String,
}

#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Put {
    #[command(flatten)]
    place: Place,
    /// The value, as JSON
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    value: Option<String>,
    /// The value, as JSON: a file, `-` for stdin, or an object itself
    #[arg(long, value_name = "FILE|JSON")]
    input: Option<Input>,
    /// Only if this is there: `absent`, or a version
    #[arg(long, value_name = "VERSION", value_parser = expect)]
    expect: Option<Expect>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Remove {
    #[command(flatten)]
    place: Place,
    /// Only if it is in this version
    #[arg(long, value_name = "VERSION", value_parser = expect)]
    expect: Option<Expect>,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Release {
    #[command(flatten)]
    place: Place,
    /// The flow that holds the key
    #[arg(long, value_name = "ID")]
    flow: FlowId,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT", value_parser = word)]
    reason: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Counters {
    /// A collection of cairn.toml
    #[arg(value_parser = word)]
    collection: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

impl Record {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Show(show) => show.run(session),
            Self::Put(put) => put.run(session),
            Self::Remove(remove) => remove.run(session),
            Self::Release(release) => release.run(session),
            Self::Counters(counters) => counters.run(session),
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let listing = RecordListing {
            collection: &self.collection,
            prefix: &self.prefix,
            after: self.page.after(),
            limit: self.page.to_read(None),
        };
        let reader = session.reader()?;
        let records = reader.view(&requester).records(listing)?;
        let key = |record: &Object| output::cell(record.get("key").unwrap_or(&Value::Null));
        self.page.show(session, records, None, key, table)
    }
}

impl Show {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let Place { collection, key } = &self.place;
        let reader = session.reader()?;
        let record = reader.view(&requester).record(collection, key)?;
        output::object(&record, self.format)
    }
}

impl Put {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let value = match (&self.value, &self.input) {
            (Some(text), _) => parse(text, None)?,
            (None, Some(source)) => parse(&input::document(source, "the value")?, source.path())?,
            (None, None) => Value::Null,
        };
        let Place { collection, key } = &self.place;
        let expect = self.expect.unwrap_or_default();
        let version = session.change(&requester, |admin| {
            admin.put_record(collection, key, &value, expect)
        })?;
        let put = json!({"collection": collection, "key": key, "version": version});
        output::value(&put, self.format)
    }
}

impl Remove {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let Place { collection, key } = &self.place;
        let expect = self.expect.unwrap_or_default();
        session.store()?.admin(&requester, |admin| {
            admin.remove_record(collection, key, expect)
        })?;
        Ok(())
    }
}

impl Release {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let Place { collection, key } = &self.place;
        session.store()?.admin(&requester, |admin| {
            admin.release_record(collection, key, self.flow, &self.reason)
        })?;
        Ok(())
    }
}

impl Counters {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let reader = session.reader()?;
        let counters = reader.view(&requester).counters(&self.collection)?;
        if self.format.is_json() {
            return output::document(self.format, &counters);
        }
        let columns = [
            "counter",
            "value",
            "pending_up",
            "pending_down",
            "min",
            "max",
        ];
        output::print(&output::columns(&columns, &counters))
    }
}

/// Writes records under their titles.
fn table(records: &[Object]) -> String {
    let titles = ["key", "version", "value", "held by"];
    let rows = records.iter().map(|record| {
        let cell = |name| output::cell(record.get(name).unwrap_or(&Value::Null));
        let held = record
            .get("held")
            .map_or(&Value::Null, |held| &held["flow"]);
        vec![
            cell("key"),
            cell("version"),
            cell("value"),
            output::cell(held),
        ]
    });
    output::table(&titles, rows)
}

fn parse(text: &str, path: Option<&Path>) -> Result<Value, Diagnostic> {
    value::parse(text).map_err(|error| {
        let wrong = Diagnostic::new(value::refused("the value", &error))
            .help(r#"a value is one JSON document, such as {"address": "::1"}; a text is in quotes: '"a"'"#);
        match path {
            Some(path) => wrong.at(path, Some(error.line()).filter(|&line| line > 0)),
            None => wrong,
        }
    })
}

/// Reads `absent`, or a version.
fn expect(text: &str) -> Result<Expect, String> {
    match text.parse() {
        _ if text == "absent" => Ok(Expect::Absent),
        Ok(version) => Ok(Expect::Version(version)),
        Err(_) => Err("write `absent`, or the version that `cairn record show` says".to_owned()),
    }
}
