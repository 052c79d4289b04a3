//! How large a database is, and which schema it has.

use serde::Serialize;

/// How large a database is, and which schema it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The database's program and its version, such as `SQLite 3.50.4`.
    pub engine: String,
    /// The bytes of the database, without its log.
    pub bytes: u64,
    /// The bytes of the file of SQLite's write-ahead log; `None` on a server, which keeps one log for all of its databases.
    pub log_bytes: Option<u64>,
    /// The schema's version.
    pub schema_version: usize,
    /// The newest version that this program knows.
    pub newest_version: usize,
}
