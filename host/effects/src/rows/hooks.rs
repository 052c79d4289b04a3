use std::fmt;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Object;

use crate::key::Key;

/// What the host has to know about the rows of a table, besides their columns.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// The column that grows with each change: an inverse whose other columns are what it restores anyway takes nothing back.
    pub version: Option<&'static str>,
    /// The column that names the project that a row belongs to; `None` where rows are the host's own.
    pub owner: Option<&'static str>,
    /// The column that names the flow that made a row.
    pub flow: Option<&'static str>,
    /// Columns that a report leaves out.
    pub hidden: &'static [&'static str],
    /// Whether a row, as far as its changes name it, counts as absent.
    pub is_absent: fn(&Object) -> bool,
    /// The error of a counter that is gone, or cannot hold a sum.
    pub out_of_range: fn(&Key) -> TaskError,
    /// What becomes of rows whose flow is pruned.
    pub pruned: Pruned,
    /// Columns of which a dump shows less than they hold.
    pub dumped: &'static [(&'static str, Dumped)],
    /// Whether a dump leaves a row out that says nothing, such as a counter at zero.
    pub is_idle: fn(&Object) -> bool,
}

/// What becomes of rows whose flow is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// They stay as they are.
    Stay,
    /// They stay, and no longer name the flow.
    Forget,
    /// Those that meet an SQL condition are removed.
    Remove {
        /// The condition.
        closed: &'static str,
        /// Their name in the JSON of what was pruned.
        name: &'static str,
        /// What one is called.
        called: &'static str,
    },
}

/// How a dump shows a column, so that two runs of the same can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumped {
    /// Not at all.
    LeftOut,
    /// Only whether it is set.
    WhetherSet,
}

impl Hooks {
    /// A table about which there is nothing to know.
    pub const NONE: Self = Self {
        version: None,
        owner: None,
        flow: None,
        hidden: &[],
        is_absent: |_| false,
        out_of_range: |key| {
            let message = format!("the counter `{key}` is gone, or cannot hold the sum");
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
