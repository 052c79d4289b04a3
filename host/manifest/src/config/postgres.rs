use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;
use cairn_model::secret::SecretSource;

use super::secret;
use crate::document::Table;

/// `[postgres]`: how to connect to a database whose `db` is a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where the password comes from; `None`: from the environment.
    pub password: Option<SecretSource>,
    /// The file of the certificate authorities that are trusted, in PEM; `None`: those that the system trusts.
    pub root_certificate: Option<PathBuf>,
    /// Starts on a server that may lose what it has committed, with a warning.
    pub unsafe_server: bool,
}

const KEYS: &[&str] = &["root_certificate", "unsafe_server"];

impl PostgresSettings {
    /// Reads the table. Relative paths start at `folder`.
    ///
    /// # Errors
    /// An unknown key, a value of a wrong type, or two sources of the password.
    pub(super) fn read(table: Table<'_>, folder: &Path) -> Result<Self, Diagnostic> {
        let passwords = secret::keys("password");
        let passwords: Vec<&str> = passwords.iter().map(String::as_str).collect();
        let table = table.only(&[&passwords, KEYS].concat())?;
        let root = table.text("root_certificate")?;
        Ok(Self {
            password: secret::read(&table, "password", folder)?,
            root_certificate: root.map(|path| folder.join(path)),
            unsafe_server: match table.get("unsafe_server") {
                Some(item) => item.flag()?,
                None => false,
            },
        })
    }
}
