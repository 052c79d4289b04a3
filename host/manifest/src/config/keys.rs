use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;

use super::secret::words;
use crate::document::Table;

/// `[keys]`: where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysConfig {
    /// The file that holds its 32 bytes.
    File(PathBuf),
    /// The output of a command, a word each: the 32 bytes, or their base64.
    Command(Vec<String>),
}

impl KeysConfig {
    /// Reads `[keys]`, or `master_key`, its older name for a file. Relative paths start at `folder`.
    ///
    /// # Errors
    /// An unknown key, a value of a wrong type, or not exactly one of `file` and `command`.
    pub(super) fn read(root: &Table<'_>, folder: &Path) -> Result<Option<Self>, Diagnostic> {
        let old = root.get("master_key");
        let Some(item) = root.get("keys") else {
            let file = old.map(|item| item.text().map(|path| Self::File(folder.join(path))));
            return file.transpose();
        };
        if let Some(old) = old {
            return Err(old
                .error("is given beside [keys], which replaces it")
                .help("remove it"));
        }
        let table = item.table()?.only(&["file", "command"])?;
        match (table.text("file")?, table.get("command")) {
            (Some(""), None) => Err(table
                .error("[keys] names an empty file")
                .help("name a file")),
            (Some(file), None) => Ok(Some(Self::File(folder.join(file)))),
            (None, Some(command)) => Ok(Some(Self::Command(words(&command, folder)?))),
            (Some(_), Some(command)) => Err(command
                .error("is given beside `keys.file`")
                .help("keep one of the two")),
            (None, None) => Err(table
                .error("[keys] names neither `file` nor `command`")
                .help("name one of them, or leave [keys] out")),
        }
    }
}
