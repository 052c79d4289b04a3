//! `cairn plugin test`.

use std::fs;
use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use cairn_laws::{Broken, Case, Checked, Law, Subject, Tested, Tools};
use clap::Args;

use super::BUILTIN;
use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::input;
use crate::output;
use crate::session::Session;

/// Run a plugin's cases, and hold it to the laws of call and revert: exit 0 kept, 3 broken
///
/// Each case is run on a database of its own, in the state that the case describes. It is read
/// from `cases/*.toml` beside the component:
///
///   [[case]]
///   name   = "a volume of 10 GiB"
///   inputs = { size = 10 }
///   state  = { volumes = [{ id = "v1", size = 1 }], quotas = { gigabytes = 20 } }
///   keep   = ["volumes/v1.status"]          # what a revert leaves on purpose
///   expect = { result = { size = 10 } }     # or { error = "KIND" }
///
/// The SDK's page `cairn_plugin::tutorial` has every key. The laws:
///
///   revert         a call and its revert leave everything as it was, but for what `keep` names
///   twice          a revert done twice leaves what it leaves when done once
///   failure        a call that fails at any of its host calls, and is reverted, leaves nothing
///   cut-off        nor does one whose time is over after any of its host calls
///   interrupted    nor one whose host dies after any of them
///   same-requests  the same inputs give the same requests to the host
///
/// For a law that is broken, the shortest sequence of host calls that breaks it is shown.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// A plugin's folder, with its component and `cases` in it; a component's file; or builtin:NAME
    #[arg(value_name = "PLUGIN", default_value = ".")]
    plugin: String,
    /// A file of cases, or a folder of such [default: `cases` beside the component]
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,
    /// Try the laws as well, not only what the cases expect
    #[arg(long)]
    laws: bool,
    #[command(flatten)]
    format: Format,
}

impl Test {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (subject, cases) = self.find()?;
        let tools = tools(session)?;
        let laws = if self.laws { &Law::ALL[..] } else { &[] };
        let tested = cairn_laws::test(&tools, &subject, &cases, laws)?;
        if self.format.json {
            output::json(&tested)?;
        } else {
            output::print(&text(&tested, laws))?;
        }
        Ok(match tested.is_ok() {
            true => Exit::Ok,
            false => Exit::Failed,
        })
    }

    /// The plugin, and its cases.
    fn find(&self) -> Result<(Subject, Vec<Case>), Diagnostic> {
        if let Some(name) = self.plugin.strip_prefix(BUILTIN) {
            super::read(&self.plugin)?;
            let subject = Subject::builtin(name);
            let cases = match (&self.cases, cairn_bundle::cases(name)) {
                (None, Some(text)) => Case::parse(text, Path::new(&self.plugin))?,
                (path, _) => read_cases(path.as_deref().unwrap_or(Path::new("cases")))?,
            };
            return Ok((subject, cases));
        }
        let given = Path::new(&self.plugin);
        let component = if given.is_dir() {
            component_in(given)?
        } else {
            given.to_owned()
        };
        let beside = component.with_file_name("cases");
        let cases = read_cases(self.cases.as_deref().unwrap_or(&beside))?;
        Ok((Subject::file(component), cases))
    }
}

/// The sandbox, and the built-in plugins.
pub(super) fn tools(session: &Session) -> Result<Tools, Failure> {
    Ok(Tools {
        plugins: session.plugins()?,
        builtins: cairn_bundle::PLUGINS.to_vec(),
    })
}

/// The one component in a folder.
fn component_in(folder: &Path) -> Result<PathBuf, Diagnostic> {
    let mut found = files(folder, "wasm")?;
    match (found.pop(), found.pop()) {
        (Some(component), None) => Ok(component),
        (None, _) => Err(
            Diagnostic::new("there is no component (*.wasm) in this folder")
                .at(folder, None)
                .help("`cairn plugin build` makes it; or name the component's file"),
        ),
        (Some(_), Some(_)) => Err(
            Diagnostic::new("there are several components in this folder")
                .at(folder, None)
                .help("name the file of one of them"),
        ),
    }
}

/// The cases of a file, or of every file of a folder in order of their names.
fn read_cases(path: &Path) -> Result<Vec<Case>, Diagnostic> {
    let paths = if path.is_dir() {
        files(path, "toml")?
    } else {
        vec![path.to_owned()]
    };
    let mut cases = Vec::new();
    for path in &paths {
        cases.extend(Case::parse(&input::text(path, "a file of cases")?, path)?);
    }
    if cases.is_empty() {
        return Err(
            Diagnostic::new("there are no cases (*.toml) in this folder")
                .at(path, None)
                .help("`cairn plugin test --help` shows what a case looks like"),
        );
    }
    Ok(cases)
}

/// The files of a folder with this extension, in order of their names.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Diagnostic> {
    let entries = fs::read_dir(folder).map_err(|error| {
        Diagnostic::new(format!("the folder cannot be read: {error}")).at(folder, None)
    })?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|other| other == extension))
        .collect();
    paths.sort();
    Ok(paths)
}

fn text(tested: &Tested, laws: &[Law]) -> String {
    let mut titles = vec!["case", "expected"];
    titles.extend(laws.iter().map(|law| law.name()));
    let cell = |is_ok: bool| if is_ok { "ok" } else { "BROKEN" }.to_owned();
    let rows = tested.cases.iter().map(|case| {
        let mut row = vec![case.case.clone(), cell(case.unexpected.is_none())];
        let is_kept = |law: &Law| case.broken.iter().all(|broken| broken.law != *law);
        row.extend(laws.iter().map(|law| cell(is_kept(law))));
        row
    });
    let mut text = output::table(&titles, rows);
    for case in &tested.cases {
        if let Some(unexpected) = &case.unexpected {
            text += &format!("\ncase `{}`: {unexpected}\n", case.case);
        }
        for broken in &case.broken {
            text += &explained(case, broken);
        }
    }
    text
}

/// A broken law, with the host calls that break it.
fn explained(case: &Checked, broken: &Broken) -> String {
    let mut text = format!(
        "\ncase `{}` breaks the law `{}`: {}\n  {}\n",
        case.case,
        broken.law,
        broken.law.sentence(),
        broken.message
    );
    for (index, asked) in broken.sequence.iter().enumerate() {
        text += &format!("  {}. {asked}\n", index + 1);
    }
    for difference in &broken.differences {
        text += &format!("  - {difference}\n");
    }
    text
}
