use std::fmt;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Object;

use super::table::{RowId, State, Table};
use super::view::{Rows, Stop};
use crate::event::FlowState;
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
    /// Decides on the inverse of a change of a row; [`Inverse::compare`] unless the table says more.
    pub undo: fn(&mut Rows<'_>, &Inverse<'_>) -> Result<Undo, Stop>,
    /// The error of a counter that is gone, or cannot hold a sum.
    pub out_of_range: fn(&Key) -> TaskError,
    /// Settles the rows that a flow made or changed when it ends, in the batch that records the end.
    pub settle: Option<Settle>,
    /// What becomes of rows whose flow is pruned.
    pub pruned: Pruned,
    /// Columns of which a dump shows less than they hold.
    pub dumped: &'static [(&'static str, Dumped)],
    /// Whether a dump leaves a row out that says nothing, such as a counter at zero.
    pub is_idle: fn(&Object) -> bool,
}

/// Settles the rows of a flow that ends in this state: see [`Rows::of_flow`].
pub type Settle = fn(&mut Rows<'_>, FlowState) -> Result<(), Stop>;

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
        undo: |_, inverse| inverse.compare(),
        out_of_range: |key| {
            let message = format!("the counter `{key}` is gone, or cannot hold the sum");
            TaskError::host(HostErrorKind::UndoRefused, message)
        },
        settle: None,
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

/// The inverse of a change of one row, before it is applied.
#[derive(Clone, Copy, Debug)]
pub struct Inverse<'a> {
    /// The row.
    pub id: &'a RowId,
    /// What it is.
    pub found: &'a State,
    /// The columns that the flow wrote; `None` when it removed the row.
    pub wrote: Option<&'a Object>,
    /// The columns that the inverse restores; `None` when it removes the row.
    pub restores: Option<&'a Object>,
}

/// What an inverse does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It is applied.
    Apply,
    /// There is nothing to take back.
    Nothing,
}

impl Inverse<'_> {
    /// Compares the row with what the flow wrote.
    ///
    /// # Errors
    /// `UndoRefused` when it was changed since, or is gone.
    pub fn compare(&self) -> Result<Undo, Stop> {
        let Some(wrote) = self.wrote else {
            return Ok(Undo::Apply);
        };
        let Some(found) = self.found else {
            return Err(self.refused("is gone"));
        };
        let Some((column, found)) = found.differs(wrote) else {
            return Ok(Undo::Apply);
        };
        // It found what it would write: others went on from there, and there is nothing to take back.
        if self.is_confirmation(wrote) {
            return Ok(Undo::Nothing);
        }
        let wrote = &wrote[column.as_str()];
        Err(self.refused(format_args!(
            "was changed since: `{column}` is {found}, and this flow wrote {wrote}"
        )))
    }

    /// Whether the change did nothing but to count as a write: its version alone differs.
    fn is_confirmation(&self, wrote: &Object) -> bool {
        let (Some(version), Some(restores)) = (self.table().hooks.version, self.restores) else {
            return false;
        };
        let mut columns = wrote.iter().filter(|(column, _)| *column != version);
        wrote.contains_key(version)
            && columns.all(|(column, value)| restores.get(column) == Some(value))
    }

    /// The refusal that says something of this row.
    pub fn refused(&self, what: impl fmt::Display) -> Stop {
        let message = format!("{} `{}` {what}", self.table().noun, self.id.key);
        TaskError::host(HostErrorKind::UndoRefused, message).into()
    }

    fn table(&self) -> &'static Table {
        self.id.table
    }
}
