//! Names of files beside a database.

use std::path::{Path, PathBuf};

/// Returns `<path><suffix>`, as in `cairn.db.key`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
