//! Applying a change backwards: an inverse is a change like any other.

use rusqlite::ToSql;
use rusqlite::types::Value as Sql;

use super::quota::is_given_back;
use super::tx::{Fault, Tx, scalar};
use super::volumes::dependent;
use crate::effect::{Change, Table};
use crate::error::{HostErrorKind, TaskError};
use crate::store::sqlite::row::plain;
use crate::value::{Object, Value};

/// Applies an inverse: moves counters, and changes a row only while it is what the flow wrote.
pub(in crate::store::sqlite) fn apply(tx: &mut Tx<'_>, inverse: &Change) -> Result<(), Fault> {
    match inverse {
        Change::Usage {
            project,
            resource,
            in_use,
            reserved,
        } => {
            // A sum that an integer cannot hold moves nothing: SQLite compares it exactly.
            let moved = tx
                .connection
                .prepare_cached(
                    "UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5
                     WHERE project_id = ?1 AND resource = ?2 AND deleted = 0
                         AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807
                         AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807",
                )?
                .execute(rusqlite::params![
                    project, resource, in_use, reserved, tx.now.0
                ])?;
            if moved == 0 {
                return Err(out_of_range(project, resource));
            }
            Ok(())
        }
        Change::Row {
            table,
            id,
            before,
            after,
        } => {
            if let Some(expected) = before {
                check_unchanged(tx, *table, id, expected)?;
            }
            let committed = before.as_ref().and_then(|before| before.get("state"));
            if *table == Table::Reservations
                && committed.is_some_and(|state| state == "committed")
                && is_given_back(tx.connection, id)?
            {
                let message = format!("what reservation `{id}` committed was given back since");
                return Err(refused(message));
            }
            let booked = after.as_ref().and_then(|after| after.get("booked"));
            if *table == Table::Volumes && booked == Some(&true.into()) && is_deleted(tx, id)? {
                return Err(refused(format!("volume `{id}` was deleted since")));
            }
            match (before, after) {
                (Some(_), Some(columns)) => update(tx, *table, id, columns),
                (Some(_), None) => remove(tx, *table, id),
                (None, Some(columns)) => insert(tx, *table, id, columns),
                (None, None) => Ok(()),
            }
        }
        Change::Elsewhere(_) => Ok(()),
    }
}

/// A counter that would grow too large for its column.
pub(in crate::store::sqlite) fn out_of_range(project: &str, resource: &str) -> Fault {
    let message = format!(
        "the usage of `{resource}` of project `{project}` is gone, or cannot grow that far"
    );
    TaskError::new("QuotaOutOfRange", message).into()
}

fn name(table: Table) -> &'static str {
    match table {
        Table::Volumes => "volumes",
        Table::Reservations => "reservations",
        Table::Keys => "keys",
        Table::Outbox => "outbox",
    }
}

/// Compare-and-set: every column still holds what this flow wrote.
fn check_unchanged(tx: &Tx<'_>, table: Table, id: &str, expected: &Object) -> Result<(), Fault> {
    let columns: Vec<&str> = expected.keys().map(String::as_str).collect();
    let statement = format!(
        "SELECT {} FROM {} WHERE id = ?",
        columns.join(", "),
        name(table)
    );
    let mut statement = tx.connection.prepare_cached(&statement)?;
    let mut rows = statement.query([id])?;
    let noun = table.noun();
    let Some(row) = rows.next()? else {
        // A message that was held when its flow failed is withdrawn already.
        if table == Table::Outbox {
            return Ok(());
        }
        return Err(refused(format!("{noun} `{id}` is gone")));
    };
    for (index, (column, expected)) in expected.iter().enumerate() {
        let found = plain(row.get_ref(index)?);
        // The flow's own success made a held message ready; nobody has taken it yet.
        let settled = table == Table::Outbox && found == "ready" && *expected == "held";
        if found != stored(expected) && !settled {
            return Err(refused(format!(
                "{noun} `{id}` was changed since: `{column}` is {found}, and this flow wrote {expected}"
            )));
        }
    }
    Ok(())
}

fn is_deleted(tx: &Tx<'_>, volume: &str) -> rusqlite::Result<bool> {
    let deleted = scalar(
        tx.connection,
        "SELECT deleted FROM volumes WHERE id = ?",
        [volume],
    )?;
    Ok(deleted.unwrap_or(true))
}

/// Writes columns of a row that is there.
pub(in crate::store::sqlite) fn update(
    tx: &Tx<'_>,
    table: Table,
    id: &str,
    columns: &Object,
) -> Result<(), Fault> {
    let mut statement = format!("UPDATE {} SET ", name(table));
    let mut values = Vec::with_capacity(columns.len() + 2);
    for (column, value) in columns {
        statement.push_str(column);
        statement.push_str(" = ?, ");
        values.push(to_sql(value));
    }
    if table == Table::Volumes {
        statement.push_str("updated_at = ?, ");
        values.push(Sql::Integer(tx.now.0));
    }
    statement.truncate(statement.len() - 2);
    statement.push_str(" WHERE id = ?");
    values.push(Sql::Text(id.to_owned()));
    tx.connection
        .prepare_cached(&statement)?
        .execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn insert(tx: &Tx<'_>, table: Table, id: &str, columns: &Object) -> Result<(), Fault> {
    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
    let marks = vec!["?"; names.len() + 1];
    let statement = format!(
        "INSERT INTO {} (id, {}) VALUES ({})",
        name(table),
        names.join(", "),
        marks.join(", ")
    );
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(id.to_owned())];
    for (column, value) in columns {
        values.push(Box::new(match (column.as_str(), value) {
            ("sealed" | "flow", Value::String(hex)) => Sql::Blob(from_hex(hex)),
            _ => to_sql(value),
        }));
    }
    tx.connection
        .prepare_cached(&statement)?
        .execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn remove(tx: &Tx<'_>, table: Table, id: &str) -> Result<(), Fault> {
    if table == Table::Volumes
        && let Some((noun, other)) = dependent(tx, id)?
    {
        return Err(refused(format!(
            "{noun} `{other}` depends on volume `{id}`"
        )));
    }
    let statement = format!("DELETE FROM {} WHERE id = ?", name(table));
    tx.connection.prepare_cached(&statement)?.execute([id])?;
    Ok(())
}

/// A JSON value as the column that holds it reads back.
fn stored(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => Value::from(i64::from(*flag)),
        other => other.clone(),
    }
}

pub(in crate::store::sqlite) fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(flag) => Sql::Integer(i64::from(*flag)),
        Value::Number(number) => number.as_i64().map_or_else(
            || Sql::Real(number.as_f64().unwrap_or_default()),
            Sql::Integer,
        ),
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn refused(message: String) -> Fault {
    Fault::Refused(TaskError::host(HostErrorKind::UndoRefused, message))
}
