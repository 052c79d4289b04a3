//! Rows as JSON.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use cairn_model::clock::Timestamp;
use cairn_model::value::{Object, Value};

/// What a column holds, besides what its SQL type says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// As SQLite has it.
    Plain,
    /// 0 or 1.
    Bool,
    /// Microseconds, written as RFC 3339.
    Time,
    /// A JSON document.
    Json,
}

/// A table's columns as its rows are shown.
pub(super) type Columns = &'static [(&'static str, As)];

pub(super) const VOLUME: Columns = &[
    ("id", As::Plain),
    ("project_id", As::Plain),
    ("user_id", As::Plain),
    ("size", As::Plain),
    ("status", As::Plain),
    ("attach_status", As::Plain),
    ("availability_zone", As::Plain),
    ("display_name", As::Plain),
    ("display_description", As::Plain),
    ("volume_type_id", As::Plain),
    ("snapshot_id", As::Plain),
    ("source_volid", As::Plain),
    ("encryption_key_id", As::Plain),
    ("host", As::Plain),
    ("scheduled_at", As::Time),
    ("bootable", As::Bool),
    ("deleted", As::Bool),
    ("created_at", As::Time),
];

pub(super) const SNAPSHOT: Columns = &[
    ("id", As::Plain),
    ("project_id", As::Plain),
    ("user_id", As::Plain),
    ("volume_id", As::Plain),
    ("volume_size", As::Plain),
    ("volume_type_id", As::Plain),
    ("status", As::Plain),
    ("display_name", As::Plain),
    ("display_description", As::Plain),
    ("encryption_key_id", As::Plain),
    ("deleted", As::Bool),
    ("created_at", As::Time),
];

pub(super) const VOLUME_TYPE: Columns = &[
    ("id", As::Plain),
    ("name", As::Plain),
    ("extra_specs", As::Json),
    ("qos_specs_id", As::Plain),
    ("deleted", As::Bool),
];

pub(super) const QOS_SPECS: Columns = &[
    ("id", As::Plain),
    ("name", As::Plain),
    ("consumer", As::Plain),
    ("specs", As::Json),
];

pub(super) const IMAGE: Columns = &[
    ("id", As::Plain),
    ("project_id", As::Plain),
    ("name", As::Plain),
    ("size", As::Plain),
    ("checksum", As::Plain),
    ("min_disk", As::Plain),
    ("status", As::Plain),
    ("created_at", As::Time),
];

/// `SELECT` of these columns from `table`, with `rest` after it.
pub(super) fn select(columns: Columns, table: &str, rest: &str) -> String {
    format!("SELECT {} FROM {table} {rest}", names(columns))
}

/// Their names, as SQL lists them.
pub(super) fn names(columns: Columns) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The rows of a [`select`].
pub(super) fn rows(
    connection: &Connection,
    columns: Columns,
    statement: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Object>> {
    connection
        .prepare_cached(statement)?
        .query_map(params, |row| to_object(row, columns))?
        .collect()
}

/// The first row of a [`select`].
pub(super) fn first(
    connection: &Connection,
    columns: Columns,
    statement: &str,
    params: impl Params,
) -> rusqlite::Result<Option<Object>> {
    Ok(rows(connection, columns, statement, params)?
        .into_iter()
        .next())
}

fn to_object(row: &Row<'_>, columns: Columns) -> rusqlite::Result<Object> {
    let mut object = Object::new();
    for (index, (name, kind)) in columns.iter().enumerate() {
        object.insert((*name).to_owned(), to_value(row.get_ref(index)?, *kind));
    }
    Ok(object)
}

fn to_value(value: ValueRef<'_>, kind: As) -> Value {
    match (value, kind) {
        (ValueRef::Integer(number), As::Bool) => Value::from(number != 0),
        (ValueRef::Integer(number), As::Time) => Value::from(Timestamp(number).to_string()),
        (ValueRef::Text(text), As::Json) => serde_json::from_slice(text).unwrap_or(Value::Null),
        (value, _) => plain(value),
    }
}

/// A value of SQLite's as JSON; a blob in hexadecimal.
pub(super) fn plain(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::from(number),
        ValueRef::Real(number) => Value::from(number),
        ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::from(to_hex(bytes)),
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
