//! The folder of a database's locks.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cairn_model::value::Digest;

use super::beside::beside;

/// Suffix of the folder beside a database.
const BESIDE: &str = ".locks";

/// How many digits of the digest of a database's path name its folder elsewhere.
const DIGITS: usize = 16;

/// The folder in which the hosts of one database lock files.
#[derive(Clone, Debug)]
pub(super) struct LockFolder {
    pub(super) path: PathBuf,
    /// Whether it is beside the database, so that every host of the database sees it.
    pub(super) is_beside: bool,
}

impl LockFolder {
    /// Returns the folder of a database's locks: beside it, or in the folder that the operator names, under a name of its own.
    pub(super) fn of(database: &Path, named: Option<&Path>) -> Self {
        let Some(named) = named else {
            return Self {
                path: beside(database, BESIDE),
                is_beside: true,
            };
        };
        let mut digest = Digest::of(database.as_os_str().as_bytes()).to_string();
        digest.truncate(DIGITS);
        let mut name = database.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{digest}"));
        Self {
            path: named.join(name),
            is_beside: false,
        }
    }
}
