//! Applying a change backwards: an inverse is a change like any other.

use std::sync::Arc;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Object;

use super::reservation::is_given_back;
use super::tables::{Message, Reservation, Volume, VolumeKey};
use super::usage::shift;
use super::volume::dependent;
use cairn_effects::effect::{Change, Table};
use cairn_effects::rows::{AnyRow, Cell, Key, Row as _, RowId, Rows, Stop, typed};

/// Applies an inverse: moves counters, and changes a row only while it is what the flow wrote.
///
/// # Errors
/// `UndoRefused` when a row changed since, or another row depends on it; `QuotaOutOfRange`; [`Stop::Missing`].
pub fn restore(rows: &mut Rows<'_>, inverse: &Change) -> Result<(), Stop> {
    match inverse {
        Change::Usage {
            project,
            resource,
            in_use,
            reserved,
        } => shift(
            rows,
            &project.as_str().into(),
            &resource.as_str().into(),
            *in_use,
            *reserved,
        ),
        Change::Row {
            table,
            id,
            before,
            after,
        } => row(rows, *table, id, before.as_ref(), after.as_ref()),
        Change::Elsewhere(_) => Ok(()),
    }
}

/// Names the row that a change is of.
pub fn row_id(table: Table, id: &str) -> RowId {
    RowId {
        table: match table {
            Table::Volumes => Volume::TABLE,
            Table::Reservations => Reservation::TABLE,
            Table::Keys => VolumeKey::TABLE,
            Table::Outbox => Message::TABLE,
        },
        key: Key::from(id),
    }
}

/// Whether a change did nothing but to count as a write: its version alone differs.
fn confirmed(wrote: &Object, found: Option<&Object>) -> bool {
    found.is_some_and(|found| {
        let mut columns = wrote.iter().filter(|(column, _)| *column != "version");
        wrote.contains_key("version")
            && columns.all(|(column, value)| found.get(column) == Some(value))
    })
}

fn row(
    rows: &mut Rows<'_>,
    table: Table,
    id: &str,
    before: Option<&Object>,
    after: Option<&Object>,
) -> Result<(), Stop> {
    let row = row_id(table, id);
    let found = rows.get_any(&row)?;
    let noun = table.noun();
    if let Some(expected) = before {
        let Some(found) = &found else {
            // A message that was held when its flow failed is withdrawn already.
            if table == Table::Outbox {
                return Ok(());
            }
            return Err(refused(format!("{noun} `{id}` is gone")));
        };
        if let Some((column, found)) = found.differs(expected) {
            // It found what it would write: others went on from there, and there is nothing to take back.
            if confirmed(expected, after) {
                return Ok(());
            }
            let wrote = &expected[column.as_str()];
            // The flow's own success made a held message ready; nobody has taken it yet.
            let settled = table == Table::Outbox && found == "ready" && *wrote == "held";
            if !settled {
                return Err(refused(format!(
                    "{noun} `{id}` was changed since: `{column}` is {found}, and this flow wrote {wrote}"
                )));
            }
        }
    }
    let committed = before.and_then(|before| before.get("state"));
    if table == Table::Reservations
        && committed.is_some_and(|state| state == "committed")
        && is_given_back(rows, id)?
    {
        let message = format!("what reservation `{id}` committed was given back since");
        return Err(refused(message));
    }
    let booked = after.and_then(|after| after.get("booked"));
    let volume = found.as_ref().and_then(typed::<Volume>);
    if table == Table::Volumes
        && booked == Some(&true.into())
        && volume.as_ref().is_none_or(|volume| volume.deleted)
    {
        return Err(refused(format!("volume `{id}` was deleted since")));
    }
    match (before, after) {
        (None, None) => Ok(()),
        (Some(_), None) => {
            if let Some(volume) = &volume
                && let Some((noun, other)) = dependent(rows, volume)?
            {
                return Err(refused(format!(
                    "{noun} `{other}` depends on volume `{id}`"
                )));
            }
            rows.set(row, found, None);
            Ok(())
        }
        (_, Some(columns)) => put(rows, row, found, columns),
    }
}

/// Writes columns of a row, which is made when it is not there.
fn put(
    rows: &mut Rows<'_>,
    id: RowId,
    found: Option<Arc<dyn AnyRow>>,
    columns: &Object,
) -> Result<(), Stop> {
    let wrong = |column: String| {
        refused(format!(
            "{} `{}`: `{column}` cannot be what it was",
            id.table.noun,
            id.key.first()
        ))
    };
    let mut row = match &found {
        Some(found) => found.copy(),
        None => {
            let mut row = (id.table.blank)();
            for (at, text) in id.key.0.iter().enumerate() {
                row.set(at, Cell::Text(Arc::clone(text)))
                    .map_err(|error| wrong(error.column.to_owned()))?;
            }
            row
        }
    };
    row.set_plain(columns).map_err(wrong)?;
    if let Some(at) = id
        .table
        .updated_at
        .and_then(|column| id.table.position(column))
    {
        row.set(at, Cell::Int(rows.now().0))
            .map_err(|error| wrong(error.column.to_owned()))?;
    }
    rows.set(id, found, Some(row.into()));
    Ok(())
}

fn refused(message: String) -> Stop {
    TaskError::host(HostErrorKind::UndoRefused, message).into()
}
