//! Where a secret comes from: never from a settings file itself, nor from an argument.

use std::collections::BTreeMap;
use std::path::Path;

use cairn_model::error::Diagnostic;
use cairn_model::secret::{SecretSource, is_name};

use crate::document::{Item, Table};

/// The sources of a secret.
const SOURCES: [&str; 3] = ["file", "variable", "command"];

/// The most words of a command.
const WORDS: usize = 64;

/// The keys of a secret called `name`, beside other keys.
pub(super) fn keys(name: &str) -> [String; 3] {
    SOURCES.map(|source| format!("{name}_{source}"))
}

/// Reads the one of the keys of `name` that is there.
///
/// # Errors
/// When two are there, or one is empty or of a wrong type.
pub(super) fn read(
    table: &Table<'_>,
    name: &str,
    folder: &Path,
) -> Result<Option<SecretSource>, Diagnostic> {
    one_of(table, name, &keys(name), folder)
}

/// Reads `[secrets]`: secrets by name, such as `pdns = { file = "pdns.key" }`.
///
/// # Errors
/// A name that no secret can have, or one without a source or with two.
pub(super) fn read_all(
    item: &Item<'_>,
    folder: &Path,
) -> Result<BTreeMap<String, SecretSource>, Diagnostic> {
    const EXAMPLE: &str = "write where its value comes from, as in `pdns = { file = \"pdns.key\" }`, with `file`, `variable` or `command`; \
                           a secret itself does not belong here";
    let mut secrets = BTreeMap::new();
    for (name, item) in item.table()?.items() {
        if !is_name(name) {
            return Err(item
                .error("has a name that no secret can have")
                .help("use at most 128 letters, digits, `-`, `_` and `.`"));
        }
        // The value of a wrong type may be the secret itself: it is not shown.
        let Some(table) = item.as_table() else {
            return Err(item.error("names no source").help(EXAMPLE));
        };
        let table = table.only(&SOURCES)?;
        let source = one_of(&table, name, &SOURCES.map(str::to_owned), folder)?;
        let source = source.ok_or_else(|| item.error("names no source").help(EXAMPLE))?;
        secrets.insert(name.to_owned(), source);
    }
    Ok(secrets)
}

fn one_of(
    table: &Table<'_>,
    name: &str,
    keys: &[String; 3],
    folder: &Path,
) -> Result<Option<SecretSource>, Diagnostic> {
    let [file, variable, command] = keys;
    let mut found = Vec::new();
    if let Some(path) = table.text(file)? {
        found.push((file, SecretSource::File(folder.join(path))));
    }
    if let Some(text) = table.text(variable)? {
        found.push((variable, SecretSource::Variable(text.to_owned())));
    }
    if let Some(item) = table.get(command) {
        found.push((command, SecretSource::Command(words(&item, folder)?)));
    }
    match found.as_slice() {
        [_, (second, _), ..] => {
            let item = table.get(second);
            let message = format!("is a second source of `{name}`");
            let error = item.map_or_else(|| table.error(&message), |item| item.error(&message));
            Err(error.help(format!("keep one of {}", keys.join(", "))))
        }
        _ => Ok(found.pop().map(|(_, source)| source)),
    }
}

/// Reads a command. A program with a relative path starts at `folder`; one without a slash is looked up in PATH.
pub(super) fn words(item: &Item<'_>, folder: &Path) -> Result<Vec<String>, Diagnostic> {
    let words = item.array()?.map(|word| Ok(word.text()?.to_owned()));
    let mut words: Vec<String> = words.collect::<Result<_, Diagnostic>>()?;
    let is_long = words.len() > WORDS;
    match words.first_mut() {
        None => {}
        Some(program) if program.is_empty() => {}
        Some(_) if is_long => {
            return Err(item.error(format!("has more than {WORDS} words")));
        }
        Some(program) => {
            if program.contains('/') {
                let path = folder.join(&*program);
                // Both parts were text.
                *program = path.to_string_lossy().into_owned();
            }
            return Ok(words);
        }
    }
    Err(item
        .error("names no program")
        .help("write the program and its arguments, as in [\"pass\", \"show\", \"cairn\"]; no shell reads them"))
}
