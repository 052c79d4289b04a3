use std::collections::BTreeSet;
use std::fmt;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::TaskId;
use cairn_model::value::Object;

use super::table::{RowId, State, Table};
use super::view::{Rows, Stop};
use crate::event::FlowState;

/// A table as a domain registers it: with the rules that the host runs by itself, without an effect that asks for it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// The table.
    pub table: &'static Table,
    /// Decides on the inverse of a change of a row; [`Inverse::compare`] unless the table says more.
    pub undo: UndoRule,
    /// Settles the rows that a flow made or changed when it ends, in the batch that records the end. It runs again when a rollback is
    /// repeated, and when an incomplete one is accepted.
    pub settle: Option<Settle>,
}

/// See [`Registered::undo`].
pub type UndoRule = fn(&mut Rows<'_>, &Inverse<'_>) -> Result<Undo, Stop>;

/// See [`Registered::settle`]. [`Rows::of_flow`] has the rows.
pub type Settle = fn(&mut Rows<'_>, End<'_>) -> Result<(), Stop>;

/// How a flow ends.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// `Success` or `Failure`.
    pub state: FlowState,
    /// The tasks that could not be reverted; none once an operator accepted that.
    pub unreverted: &'a BTreeSet<TaskId>,
}

/// A table about whose rows there is nothing more to know.
impl From<&'static Table> for Registered {
    fn from(table: &'static Table) -> Self {
        Self {
            table,
            undo: |_, inverse| inverse.compare(),
            settle: None,
        }
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
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
    /// The rule has taken the change back itself.
    Done,
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
