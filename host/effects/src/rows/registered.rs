use std::collections::BTreeSet;
use std::fmt;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::TaskId;
use cairn_model::value::Object;

use super::table::{RowId, State, Table};
use super::view::{Rows, Stop};
use crate::event::FlowState;

/// A table as a domain registers it, with the rules that the host runs without a request from an effect.
#[derive(Clone, Copy)]
pub struct Registered {
    /// The table.
    pub table: &'static Table,
    /// Decides whether the inverse of a row's change is applied; [`Inverse::compare`] by default.
    pub undo: UndoRule,
    /// Settles the rows that a flow created or changed when it ends, in the batch that records the end. It runs again when a rollback is
    /// repeated, and when an incomplete rollback is accepted.
    pub settle: Option<Settle>,
}

/// The function of [`Registered::undo`].
pub type UndoRule = fn(&mut Rows<'_>, &Inverse<'_>) -> Result<Undo, Stop>;

/// The function of [`Registered::settle`]. [`Rows::of_flow`] returns the rows.
pub type Settle = fn(&mut Rows<'_>, End<'_>) -> Result<(), Stop>;

/// The end of a flow.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// `Success` or `Failure`.
    pub state: FlowState,
    /// The tasks whose revert failed; empty once an operator has accepted that.
    pub unreverted: &'a BTreeSet<TaskId>,
}

/// Registers a table without special rules.
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
    /// Its current state.
    pub found: &'a State,
    /// The columns that the flow wrote; `None` when it removed the row.
    pub wrote: Option<&'a Object>,
    /// The columns that the inverse restores; `None` when it removes the row.
    pub restores: Option<&'a Object>,
}

/// The decision on an inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Apply it.
    Apply,
    /// There is nothing to undo.
    Nothing,
    /// The rule has undone the change itself.
    Done,
}

impl Inverse<'_> {
    /// Compares the row with the columns that the flow wrote.
    ///
    /// # Errors
    /// `UndoRefused` when it was changed since or no longer exists.
    pub fn compare(&self) -> Result<Undo, Stop> {
        let Some(wrote) = self.wrote else {
            return Ok(Undo::Apply);
        };
        let Some(found) = self.found else {
            return Err(self.refused("no longer exists"));
        };
        let Some((column, found)) = found.differs(wrote) else {
            return Ok(Undo::Apply);
        };
        // The change only confirmed the values it found, and others have changed them since: nothing to undo.
        if self.is_confirmation(wrote) {
            return Ok(Undo::Nothing);
        }
        let wrote = &wrote[column.as_str()];
        Err(self.refused(format_args!(
            "was changed since: `{column}` is {found}, and this flow wrote {wrote}"
        )))
    }

    /// Returns whether the change only counted as a write: nothing but the version differs.
    fn is_confirmation(&self, wrote: &Object) -> bool {
        let (Some(version), Some(restores)) = (self.table().hooks.version, self.restores) else {
            return false;
        };
        let mut columns = wrote.iter().filter(|(column, _)| *column != version);
        wrote.contains_key(version)
            && columns.all(|(column, value)| restores.get(column) == Some(value))
    }

    /// Returns a refusal whose message is the row followed by `what`.
    pub fn refused(&self, what: impl fmt::Display) -> Stop {
        let message = format!("{} `{}` {what}", self.table().noun, self.id.key);
        TaskError::host(HostErrorKind::UndoRefused, message).into()
    }

    fn table(&self) -> &'static Table {
        self.id.table
    }
}
