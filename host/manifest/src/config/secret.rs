//! Where a secret comes from: never from a settings file itself, nor from an argument.

use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;

use crate::document::Table;

/// Where a secret is read from when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds nothing else.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A program that prints it, with its arguments. No shell is involved.
    Command(Vec<String>),
}

/// The keys of a secret called `name`.
pub(super) fn keys(name: &str) -> [String; 3] {
    ["file", "variable", "command"].map(|source| format!("{name}_{source}"))
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
    let [file, variable, command] = keys(name);
    let mut found = Vec::new();
    if let Some(path) = table.text(&file)? {
        found.push((&file, SecretSource::File(folder.join(path))));
    }
    if let Some(text) = table.text(&variable)? {
        found.push((&variable, SecretSource::Variable(text.to_owned())));
    }
    if let Some(item) = table.get(&command) {
        let words = item.array().map_err(|error| {
            error.help("write the program and its arguments: [\"program\", \"argument\"]")
        })?;
        let words: Vec<String> = words
            .map(|word| Ok(word.text()?.to_owned()))
            .collect::<Result<_, Diagnostic>>()?;
        if words.first().is_none_or(String::is_empty) {
            return Err(item.error("names no program"));
        }
        found.push((&command, SecretSource::Command(words)));
    }
    match found.as_slice() {
        [_, (second, _), ..] => {
            let item = table.get(second);
            let message = format!("is a second source of `{name}`");
            let error = item.map_or_else(|| table.error(&message), |item| item.error(&message));
            Err(error.help(format!("keep one of {}", keys(name).join(", "))))
        }
        _ => Ok(found.pop().map(|(_, source)| source)),
    }
}
