//! Undoes a change by applying its inverse to the rows.

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Object;

use super::registered::{Inverse, Registered, Undo};
use super::table::{AnyRow, RowId};
use super::tables::Tables;
use super::view::{Rows, Stop};
use super::{Cell, Text};
use crate::effect::Change;

/// Undoes a change: subtracts from counters, and restores a row only while it equals what the flow wrote (compare-and-set).
///
/// # Errors
/// `UndoRefused` when a row changed since or the table's rule refuses; the table's own error for a counter that cannot hold the
/// sum; [`Stop::Missing`].
pub fn undo(rows: &mut Rows<'_>, tables: &Tables, change: &Change) -> Result<(), Stop> {
    match change {
        Change::Count { table, key, by } => {
            let id = RowId {
                table: registered(tables, table)?.table,
                key: key.clone(),
            };
            let by = by
                .iter()
                .map(|(column, by)| (&**column, by.saturating_neg()));
            rows.count_by(&id, by)
        }
        Change::Row {
            table,
            id,
            before,
            after,
        } => {
            let registered = registered(tables, table)?;
            let id = RowId {
                table: registered.table,
                key: id.clone(),
            };
            row(rows, registered, &id, after.as_ref(), before.as_ref())
        }
        Change::Elsewhere(_) => Ok(()),
    }
}

fn registered<'t>(tables: &'t Tables, table: &str) -> Result<&'t Registered, Stop> {
    tables.registered(table).ok_or_else(|| {
        let message = format!("no domain of this program has the table `{table}`");
        TaskError::host(HostErrorKind::UndoRefused, message).into()
    })
}

fn row(
    rows: &mut Rows<'_>,
    registered: &Registered,
    id: &RowId,
    wrote: Option<&Object>,
    restores: Option<&Object>,
) -> Result<(), Stop> {
    let found = rows.get_any(id)?;
    let inverse = Inverse {
        id,
        found: &found,
        wrote,
        restores,
    };
    if (registered.undo)(rows, &inverse)? != Undo::Apply {
        return Ok(());
    }
    match (wrote, restores) {
        (None, None) => Ok(()),
        (Some(_), None) => {
            rows.set(id.clone(), found, None);
            Ok(())
        }
        (_, Some(columns)) => put(rows, &inverse, columns),
    }
}

/// Writes columns of a row, which is created when it does not exist.
fn put(rows: &mut Rows<'_>, inverse: &Inverse<'_>, columns: &Object) -> Result<(), Stop> {
    let (id, table) = (inverse.id, inverse.id.table);
    let wrong = |column: &str| {
        inverse.refused(format_args!(
            "cannot be restored: the column `{column}` does not exist, or cannot hold its old value"
        ))
    };
    let mut row = match inverse.found {
        Some(found) => found.copy(),
        None => blank(id).map_err(&wrong)?,
    };
    row.set_plain(columns).map_err(|column| wrong(&column))?;
    if let Some(at) = table.updated_at.and_then(|column| table.position(column)) {
        row.set(at, Cell::Int(rows.now().0))
            .map_err(|error| wrong(error.column))?;
    }
    rows.set(id.clone(), inverse.found.clone(), Some(row.into()));
    Ok(())
}

/// Creates an empty row with a key.
fn blank(id: &RowId) -> Result<Box<dyn AnyRow>, &'static str> {
    let mut row = (id.table.blank)();
    for (at, text) in id.key.0.iter().enumerate() {
        row.set(at, Cell::Text(Text::clone(text)))
            .map_err(|error| error.column)?;
    }
    Ok(row)
}
