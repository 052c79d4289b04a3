//! Cases of plugins: finds them, and runs them with the laws.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cairn::plan::Role;
use cairn::{Diagnostic, volumes};
use cairn_laws::{Broken, Case, Checked, Law, Subject, Tested, Tools};

use crate::exit::Failure;
use crate::input;
use crate::output::{self, printable};
use crate::scratch::Scratch;
use crate::session::Session;

/// A file of cases, and its text.
pub type CaseFile = (PathBuf, String);

/// Returns the folder of the cases of a component.
pub fn beside(component: &Path) -> PathBuf {
    component.with_file_name("cases")
}

/// Parses the cases of a plugin with these roles.
///
/// # Errors
/// The first mistake, with its line.
pub fn parse(files: &[CaseFile], roles: &BTreeSet<Role>) -> Result<Vec<Case>, Diagnostic> {
    let mut cases = Vec::new();
    for (path, text) in files {
        cases.extend(Case::parse(text, path, roles)?);
    }
    Ok(cases)
}

/// Runs the cases of a plugin, and checks these laws.
///
/// # Errors
/// When a case cannot be run.
pub fn run(
    session: &Session,
    subject: &Subject,
    cases: &[Case],
    laws: &[Law],
) -> Result<Tested, Failure> {
    let scratch = Scratch::new()?;
    Ok(cairn_laws::test(
        &tools(session, &scratch)?,
        subject,
        cases,
        laws,
    )?)
}

/// Returns the sandbox, the built-in plugins, and a folder for databases.
///
/// # Errors
/// When the sandbox cannot be made.
pub fn tools(session: &Session, scratch: &Scratch) -> Result<Tools, Failure> {
    Ok(Tools {
        folder: scratch.path().to_owned(),
        plugins: session.plugins()?,
        builtins: cairn_bundle::PLUGINS.to_vec(),
        // A case sets up block storage itself.
        domains: (session.domains(cairn::keyring::KeySource::Memory)?.iter())
            .filter(|domain| domain.name != volumes::NAME)
            .cloned()
            .collect(),
    })
}

/// Reads a file of cases, or every such file of a folder in order of their names.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn files(path: &Path) -> Result<Vec<CaseFile>, Diagnostic> {
    let paths = if path.is_dir() {
        files_in(path, "toml")?
    } else {
        vec![path.to_owned()]
    };
    if paths.is_empty() {
        return Err(
            Diagnostic::new("there are no cases (*.toml) in this folder")
                .at(path, None)
                .help("`cairn plugin test --help` shows what a case looks like"),
        );
    }
    let texts = paths.into_iter().map(|path| {
        let text = input::text(&path, "a file of cases")?;
        Ok((path, text))
    });
    texts.collect()
}

/// Lists the files of a folder with this extension, in order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Diagnostic> {
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

/// Formats the outcomes of cases, and explains those that did not pass.
pub fn text(tested: &Tested) -> String {
    let is_tried = |law: &Law| tested.cases.iter().any(|case| case.laws.contains(law));
    let laws: Vec<Law> = Law::ALL.into_iter().filter(is_tried).collect();
    let mut titles = vec!["case", "expected"];
    titles.extend(laws.iter().map(|law| law.name()));
    let cell = |is_ok: bool| if is_ok { "ok" } else { "BROKEN" }.to_owned();
    let rows = tested.cases.iter().map(|case| {
        let mut row = vec![case.case.clone(), cell(case.unexpected.is_none())];
        let of_law = |law: &Law| match case.laws.contains(law) {
            true => cell(case.broken.iter().all(|broken| broken.law != *law)),
            false => "-".to_owned(),
        };
        row.extend(laws.iter().map(of_law));
        row
    });
    let mut text = output::table(&titles, rows);
    for case in &tested.cases {
        if let Some(unexpected) = &case.unexpected {
            let name = printable(&case.case);
            text += &format!("\ncase `{name}` has another result than expected\n");
            text += &lines("expected", &unexpected.expected);
            text += &lines("found", &unexpected.found);
        }
        for broken in &case.broken {
            text += &explained(case, broken);
        }
    }
    text
}

/// Formats lines under a word, which precedes the first.
fn lines(word: &str, text: &str) -> String {
    let mut word = word;
    let mut lines = String::new();
    for line in text.lines() {
        lines += &format!("  {word:<10}{}\n", printable(line));
        word = "";
    }
    lines
}

/// Formats a broken law, with the host calls that break it.
fn explained(case: &Checked, broken: &Broken) -> String {
    let mut text = format!(
        "\ncase `{}` breaks the law `{}`: {}\n",
        printable(&case.case),
        broken.law,
        broken.law.sentence(),
    );
    for line in broken.message.lines() {
        text += &format!("  {}\n", printable(line));
    }
    for (index, asked) in broken.sequence.iter().enumerate() {
        text += &format!("  {}. {}\n", index + 1, printable(&asked.to_string()));
    }
    for difference in &broken.differences {
        text += &format!("  - {}\n", printable(&difference.to_string()));
    }
    text
}
