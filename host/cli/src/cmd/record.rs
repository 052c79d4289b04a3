use std::path::Path;

use cairn::records::Expect;
use cairn::records::operator::{OperateRecords as _, ReadRecords as _, RecordListing};
use cairn::value;
use cairn::{Diagnostic, FlowId, Identity, Object, StoreError, Value};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::{Format, Who, word, words};
use crate::exit::Failure;
use crate::input::{self, Input};
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Show and change a project's records, and show its counters
#[derive(Debug, Subcommand)]
pub enum Record {
    /// List the records of a collection, and the flows that hold them
    List(List),
    /// Show a record, and the flow that holds its key
    Show(Show),
    /// Put a value under a key; refused while a flow holds the key
    Put(Put),
    /// Remove a record; refused while a flow holds its key
    Remove(Remove),
    /// Free a key that is held by a flow that cannot continue; discards the flow's pending value
    Release(Release),
    /// Show the counters of a collection
    Counters(Counters),
}

#[derive(Args, Debug)]
pub struct List {
    /// Collection, as named in cairn.toml
    #[arg(value_parser = word)]
    collection: String,
    /// Only records whose keys begin with this
    #[arg(long, value_name = "TEXT", value_parser = words, default_value = "", hide_default_value = true)]
    prefix: String,
    /// List the records of every project; needs --admin
    #[arg(long)]
    all_projects: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

/// The place of a record.
#[derive(Args, Debug)]
struct Place {
    /// Collection, as named in cairn.toml
    #[arg(value_parser = word)]
    collection: String,
    /// Key of the record
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
    /// Value, as JSON
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    value: Option<String>,
    /// Value, as JSON: a file, - for stdin, or an object itself
    #[arg(long, value_name = "FILE|JSON")]
    input: Option<Input>,
    /// Only if the record has this version, or if there is none (`absent`)
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
    /// Only if the record has this version
    #[arg(long, value_name = "VERSION", value_parser = expect)]
    expect: Option<Expect>,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Release {
    #[command(flatten)]
    place: Place,
    /// Id of the flow that holds the key
    #[arg(long, value_name = "ID")]
    flow: FlowId,
    /// Reason, which is recorded
    #[arg(long, value_name = "TEXT", value_parser = word)]
    reason: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Counters {
    /// Collection, as named in cairn.toml
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
        if self.all_projects {
            return self.all(session, &requester);
        }
        let listing = RecordListing {
            collection: &self.collection,
            prefix: &self.prefix,
            after: self.page.after(),
            limit: self.page.to_read(None),
        };
        let reader = session.reader()?;
        let records = reader.view(&requester).records(listing)?;
        let key = |record: &Object| text_of(record, "key").to_owned();
        let table = |records: &[Object]| table(records, &["key"]);
        self.page.show(session, records, None, key, table)
    }

    fn all(&self, session: &Session, requester: &Identity) -> Result<(), Failure> {
        let after = self.page.cursor().map(cursor_place).transpose()?;
        let after = after.as_ref().map(|(project, key)| (&**project, *key));
        let limit = self.page.to_read(None);
        let reader = session.reader()?;
        let view = reader.view(requester);
        let records = view
            .records_of_all_projects(&self.collection, &self.prefix, after, limit)
            .map_err(|error| {
                let is_for_admins = matches!(&error, StoreError::Refused(refused) if refused.kind == "NotAuthorized");
                let mut failure = Failure::from(error);
                if is_for_admins {
                    failure.diagnostic = failure.diagnostic.help("add --admin");
                }
                failure
            })?;
        let table = |records: &[Object]| table(records, &["project_id", "key"]);
        self.page.show(session, records, None, cursor, table)
    }
}

/// Returns the cursor after a record in a list of all projects: `PROJECT/KEY`, with `%` and `/` of the project escaped as in URLs.
fn cursor(record: &Object) -> String {
    let project = text_of(record, "project_id");
    let project = project.replace('%', "%25").replace('/', "%2F");
    format!("{project}/{}", text_of(record, "key"))
}

/// Parses a [`cursor`] to its project and its key.
fn cursor_place(text: &str) -> Result<(String, &str), Diagnostic> {
    let (project, key) = text.split_once('/').ok_or_else(|| {
        Diagnostic::new(format!(
            "`{text}` is not a cursor of a list of all projects"
        ))
        .help("write PROJECT/KEY, as the end of the previous page says")
    })?;
    Ok((project.replace("%2F", "/").replace("%25", "%"), key))
}

fn text_of<'r>(record: &'r Object, name: &str) -> &'r str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
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

/// Formats records as a table whose first columns are `names`.
fn table(records: &[Object], names: &[&str]) -> String {
    let columns = [names, &["version", "value"]].concat();
    let rows = records.iter().map(|record| {
        let cell = |name: &&str| output::cell(record.get(*name).unwrap_or(&Value::Null));
        let held = record
            .get("held")
            .map_or(&Value::Null, |held| &held["flow"]);
        let mut row: Vec<String> = columns.iter().map(cell).collect();
        row.push(output::cell(held));
        row
    });
    output::table(&[&columns[..], &["held by"]].concat(), rows)
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
        Err(_) => Err("write `absent`, or the version that `cairn record show` prints".to_owned()),
    }
}
