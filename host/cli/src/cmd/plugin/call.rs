//! `cairn plugin call`.

use std::path::{Path, PathBuf};

use cairn::plan::Role;
use cairn::value;
use cairn::{Diagnostic, Object, TaskError, Value};
use cairn_laws::{Asked, Called, Difference, Fakes, Requester, State, Subject};
use clap::Args;

use super::{BUILTIN, object};
use crate::args::{Format, Placement, QuotaClass, Who};
use crate::cases;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::output::{self, printable};
use crate::scratch::Scratch;
use crate::session::Session;

/// Call a task once and show its host calls; exit 0 if it returned, 3 if it failed
///
/// The task is called on a temporary database, which holds what --state describes and nothing else.
/// --fake replaces the answers of a capability's functions by those of a JSON file:
/// `--fake quota=quota.json`, with
///
///   {"reserve": {"answer": ["r1"]},
///    "commit": [{"error": {"kind": "Busy"}}, {"answer": null}]}
///
/// A list has one answer per call, and the last one is repeated. The answers of
/// `quota.with-volume-type` and `zones.default` cannot be replaced.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Call {
    /// File of a component, or builtin:NAME
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Inputs, a JSON object: a file, - for stdin, or the object itself; required inputs that it leaves out are null
    #[arg(long, alias = "input", value_name = "FILE|JSON", default_value = "{}")]
    inputs: Input,
    /// Settings, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    settings: Object,
    /// Answers of a capability: its name, and a JSON file
    #[arg(long = "fake", value_name = "CAPABILITY=FILE", value_parser = fake)]
    fakes: Vec<(String, PathBuf)>,
    /// Content of the database: TOML like `state` of a case, see `cairn plugin test --help`
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Also revert the task, as when a later task fails
    #[arg(long)]
    revert: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
    #[command(flatten)]
    quota_class: QuotaClass,
}

fn fake(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((capability, file)) if !capability.is_empty() && !file.is_empty() => {
            Ok((capability.to_owned(), PathBuf::from(file)))
        }
        _ => Err("write CAPABILITY=FILE, such as quota=quota.json".to_owned()),
    }
}

impl Call {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let subject = match self.plugin.strip_prefix(BUILTIN) {
            Some(name) => Subject::builtin(name),
            None => Subject::file(&self.plugin),
        };
        self.check_is_task(session)?;
        let identity = session.requester(&self.who)?;
        let mut fakes = Fakes::default();
        for (capability, path) in &self.fakes {
            let answers = read_fake(path)?;
            fakes
                .add(capability, &answers, &session.settings.kinds)
                .map_err(|error| error.at(path, None))?;
        }
        let state = match &self.state {
            Some(path) => State::parse(&input::text(path, "the state")?, path)?,
            None => State::default(),
        };
        let call = cairn_laws::Call {
            inputs: input::object(&self.inputs, "the inputs")?,
            settings: self.settings,
            requester: Requester::from(&identity),
            state,
            fakes,
            ..cairn_laws::Call::default()
        };
        let scratch = Scratch::new()?;
        let tools = cases::tools(session, &scratch)?;
        let called = cairn_laws::call(&tools, &subject, &call, self.revert)?;
        if self.format.is_json() {
            output::document(self.format, &called)?;
        } else {
            output::print(&text(&called))?;
        }
        let reverted = called.revert.as_ref();
        let is_ok = called.error.is_none() && reverted.is_none_or(|revert| revert.error.is_none());
        Ok(if is_ok { Exit::Ok } else { Exit::Failed })
    }
}

impl Call {
    /// Refuses a component that is not a task. The call itself reports other problems better.
    fn check_is_task(&self, session: &Session) -> Result<(), Failure> {
        let roles = super::load(session, &self.plugin)?.roles();
        if roles.contains(&Role::Task) {
            return Ok(());
        }
        let nouns: Vec<&str> = roles.into_iter().map(Role::with_article).collect();
        let nouns = nouns.join(" and ");
        let message = format!("only tasks can be called, and this component is {nouns}");
        Err(Diagnostic::new(message)
            .at(Path::new(&self.plugin), None)
            .help("use a test case: `cairn plugin test --help` shows one of each kind")
            .into())
    }
}

fn read_fake(path: &Path) -> Result<Object, Diagnostic> {
    let help = r#"write {"FUNCTION": {"answer": …}} or {"FUNCTION": {"error": {"kind": "…"}}}"#;
    match value::parse(&input::text(path, "what a capability answers")?) {
        Ok(Value::Object(answers)) => Ok(answers),
        Ok(_) => Err(Diagnostic::new("this is not a JSON object")
            .at(path, None)
            .help(help)),
        Err(error) => Err(Diagnostic::new(value::refused("this", &error))
            .at(path, error.line())
            .help(help)),
    }
}

fn text(called: &Called) -> String {
    let mut text = asked("call", &called.asked);
    text += &result(&called.result, called.error.as_ref());
    text += &differences("effects", &called.effects);
    if let Some(revert) = &called.revert {
        text += "\n";
        text += &asked("revert", &revert.asked);
        match (&revert.error, revert.answer) {
            (Some(error), _) => text += &failed(error),
            (None, answer) => text += &format!("answer  {}\n", answer.unwrap_or("none")),
        }
        text += &differences("left", &revert.left);
    }
    text
}

fn asked(what: &str, asked: &[Asked]) -> String {
    let lines = asked
        .iter()
        .enumerate()
        .map(|(index, asked)| format!("  {}. {}\n", index + 1, printable(&asked.to_string())));
    match asked.is_empty() {
        true => format!("{what}  no host calls\n"),
        false => format!("{what}\n{}", lines.collect::<String>()),
    }
}

fn result(result: &Value, error: Option<&TaskError>) -> String {
    match error {
        Some(error) => failed(error),
        None => format!("result  {}\n", printable(&result.to_string())),
    }
}

/// Formats an error and the end of its log.
fn failed(error: &TaskError) -> String {
    let mut text = format!("error  {}\n", printable(&error.to_string()));
    for line in &error.log {
        text += &format!("log    {}\n", printable(line));
    }
    text
}

fn differences(what: &str, differences: &[Difference]) -> String {
    let lines = differences
        .iter()
        .map(|difference| format!("  - {}\n", printable(&difference.to_string())));
    match differences.is_empty() {
        true => format!("{what}  none\n"),
        false => format!("{what}\n{}", lines.collect::<String>()),
    }
}
