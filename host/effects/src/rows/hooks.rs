use std::fmt;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Object;

use crate::key::Key;

/// Properties of a table's rows that the host needs besides their columns.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// The column that grows with each change. A change that differs from its before-image only in this column has nothing to undo.
    pub version: Option<&'static str>,
    /// The column of the project that a row belongs to; `None` for rows of the host.
    pub owner: Option<&'static str>,
    /// The column of the flow that created a row.
    pub flow: Option<&'static str>,
    /// The column by which people name a row, if rows of the table are what flows are about; else `None`. A list shows of a flow the first
    /// such row that it changed.
    pub title: Option<&'static str>,
    /// Columns that a report omits.
    pub hidden: &'static [&'static str],
    /// Returns whether a row, given the columns of its changes, counts as absent.
    pub is_absent: fn(&Object) -> bool,
    /// Returns the error for a counter whose row is missing or that cannot hold a sum.
    pub out_of_range: fn(&Key) -> TaskError,
    /// What happens to rows whose flow is pruned.
    pub pruned: Pruned,
    /// Columns that a dump reduces.
    pub dumped: &'static [(&'static str, Dumped)],
    /// Returns whether a row has no content, such as a counter at zero, and is omitted from a dump.
    pub is_idle: fn(&Object) -> bool,
}

/// What happens to rows whose flow is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// They stay unchanged.
    Stay,
    /// They stay, and their flow column is cleared.
    Forget,
    /// Rows that meet an SQL condition are removed.
    Remove {
        /// The condition.
        closed: &'static str,
        /// Their name in the JSON of what was pruned.
        name: &'static str,
        /// The noun for one row.
        called: &'static str,
    },
}

/// How a dump reduces a column, so that two runs of the same flow can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumped {
    /// The column is omitted.
    LeftOut,
    /// The dump shows only whether it is set.
    WhetherSet,
}

impl Hooks {
    /// The hooks of a table without special properties.
    pub const NONE: Self = Self {
        version: None,
        owner: None,
        flow: None,
        title: None,
        hidden: &[],
        is_absent: |_| false,
        out_of_range: |key| {
            let message = format!("the counter `{key}` does not exist, or cannot hold the sum");
            TaskError::host(HostErrorKind::UndoRefused, message)
        },
        pruned: Pruned::Stay,
        dumped: &[],
        is_idle: |_| false,
    };
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
