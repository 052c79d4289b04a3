use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;

use crate::document::Table;

/// `[postgres]`: how to connect to a database whose `db` is a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where the password comes from; `None`: from the environment.
    pub password: Option<PostgresPassword>,
    /// The file of the certificate authorities that are trusted, in PEM; `None`: those that the system trusts.
    pub root_certificate: Option<PathBuf>,
    /// Starts on a server that may lose what it has committed, with a warning.
    pub unsafe_server: bool,
}

/// Where the password of a database comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresPassword {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a program writes: its name and its arguments.
    Command(Vec<String>),
}

const KEYS: &[&str] = &[
    "password_file",
    "password_command",
    "root_certificate",
    "unsafe_server",
];

impl PostgresSettings {
    /// Reads the table. Relative paths start at `folder`.
    ///
    /// # Errors
    /// An unknown key, a value of a wrong type, or two sources of the password.
    pub(super) fn read(table: Table<'_>, folder: &Path) -> Result<Self, Diagnostic> {
        let table = table.only(KEYS)?;
        let path = |key| -> Result<Option<PathBuf>, Diagnostic> {
            Ok(table.text(key)?.map(|path| folder.join(path)))
        };
        let file = path("password_file")?;
        let command = match table.get("password_command") {
            None => None,
            Some(item) => {
                let words = item.array()?.map(|word| Ok(word.text()?.to_owned()));
                let words: Vec<String> = words.collect::<Result<_, Diagnostic>>()?;
                if words.first().is_none_or(String::is_empty) {
                    return Err(item
                        .error("names no program")
                        .help("write the program and its arguments, as in [\"pass\", \"show\", \"cairn\"]"));
                }
                if file.is_some() {
                    return Err(item
                        .error("is given beside `postgres.password_file`")
                        .help("keep one of the two"));
                }
                Some(words)
            }
        };
        Ok(Self {
            password: match (file, command) {
                (Some(file), _) => Some(PostgresPassword::File(file)),
                (None, Some(command)) => Some(PostgresPassword::Command(command)),
                (None, None) => None,
            },
            root_certificate: path("root_certificate")?,
            unsafe_server: match table.get("unsafe_server") {
                Some(item) => item.flag()?,
                None => false,
            },
        })
    }
}
