//! A host that may still be in an act outside the database.

use std::fmt;

use cairn_model::id::HostId;

/// A host whose process is not known to be dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its id.
    pub id: HostId,
    /// The name of its machine; `None` where it is not recorded.
    pub name: Option<String>,
    /// Its process; `None` where it is not recorded.
    pub pid: Option<i64>,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host {}", self.id)?;
        match (&self.name, self.pid) {
            (Some(name), Some(pid)) => write!(f, " (`{}`, process {pid})", name.escape_debug()),
            (None, Some(pid)) => write!(f, " (process {pid})"),
            (_, None) => Ok(()),
        }
    }
}
