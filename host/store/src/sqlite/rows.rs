//! Reads the rows that rules need from SQLite, and writes the rows of a batch.

use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row as SqlRow, Statement};

use cairn_effects::rows::{
    AnyRow, Cell, CellRef, Counted, Fetched, Mark, RowId, State, Table, Wants, Written,
};

use super::statement::{execute, scalar};
use crate::statements::{NotWritten, RowChange, Statements, key_condition, select};

/// A cell as a parameter of a statement.
struct Parameter<'a>(CellRef<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            CellRef::Null => ValueRef::Null,
            CellRef::Int(number) => ValueRef::Integer(number),
            CellRef::Text(text) => ValueRef::Text(text.as_bytes()),
            CellRef::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

// ---- Reading -------------------------------------------------------------------------------------------------------

/// Returns the database's mark, the journal's last row: every batch with an entry of a flow adds one. After a batch without entries the
/// writer clears its row cache instead.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<Mark> {
    let last: Option<Option<i64>> = scalar(connection, "SELECT MAX(rowid) FROM journal", [])?;
    Ok(Mark(last.flatten().unwrap_or(0)))
}

/// Runs [`fetch`] in a transaction, so that it sees one snapshot of the database.
pub(super) fn fetch_alone(connection: &Connection, wants: Wants) -> rusqlite::Result<Fetched> {
    execute(connection, "BEGIN")?;
    let fetched = fetch(connection, wants);
    let ended = execute(connection, "COMMIT");
    let fetched = fetched?;
    ended?;
    Ok(fetched)
}

/// Reads the wanted rows, selections and counts. The connection must see one snapshot of the database while this runs.
pub(super) fn fetch(connection: &Connection, wants: Wants) -> rusqlite::Result<Fetched> {
    let mut fetched = Fetched {
        seen: mark(connection)?,
        ..Fetched::default()
    };
    for id in wants.rows {
        let row = row(connection, &id)?;
        fetched.rows.push((id, row));
    }
    for table in wants.whole {
        let statement = select(table, "TRUE");
        let rows = read_all(connection, table, &statement, &[])?;
        fetched.whole.push((table, rows.into()));
    }
    for wanted in wants.selects {
        let statement = select(wanted.of.table(), wanted.of.condition());
        let found = read_all(
            connection,
            wanted.of.table(),
            &statement,
            &wanted.parameters,
        )?;
        fetched.selects.insert(wanted, found);
    }
    for wanted in wants.counts {
        let mut statement = connection.prepare_cached(wanted.of.query())?;
        bind(&mut statement, &wanted.parameters)?;
        let groups = statement.column_count().saturating_sub(1);
        let mut counted = Counted::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let group = (0..groups)
                .map(|at| cell(row, at))
                .collect::<rusqlite::Result<_>>()?;
            counted.insert(group, row.get(groups)?);
        }
        drop(rows);
        fetched.counts.insert(wanted, counted);
    }
    Ok(fetched)
}

/// Returns the condition that a row's key columns equal `$1` and so on.
fn row(connection: &Connection, id: &RowId) -> rusqlite::Result<State> {
    let condition = key_condition(id.table);
    let key: Vec<Cell> = id.key.0.iter().cloned().map(Cell::Text).collect();
    let found = read_all(connection, id.table, &select(id.table, &condition), &key)?;
    Ok(found.into_iter().next())
}

fn read_all(
    connection: &Connection,
    table: &'static Table,
    statement: &str,
    parameters: &[Cell],
) -> rusqlite::Result<Vec<Arc<dyn AnyRow>>> {
    let mut statement = connection.prepare_cached(statement)?;
    bind(&mut statement, parameters)?;
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut at = 0;
        let mut failed = None;
        let read = (table.read)(&mut || {
            let cell = cell(row, at).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Cell::Null
            });
            at += 1;
            cell
        });
        if let Some(error) = failed {
            return Err(error);
        }
        rows.push(read.map_err(|error| {
            let problem = format!("table {}: {error}", table.name);
            rusqlite::Error::FromSqlConversionFailure(
                at.saturating_sub(1),
                rusqlite::types::Type::Null,
                problem.into(),
            )
        })?);
    }
    Ok(rows)
}

/// Prepares a statement and binds its parameters: `$1` is the first.
///
/// # Errors
/// `InvalidParameterCount` or `InvalidParameterName` unless the statement names exactly these parameters.
pub(super) fn prepare<'a>(
    connection: &'a Connection,
    statement: &str,
    parameters: &[Cell],
) -> rusqlite::Result<CachedStatement<'a>> {
    let mut prepared = connection.prepare_cached(statement)?;
    let (given, named) = (parameters.len(), prepared.parameter_count());
    if given != named {
        return Err(rusqlite::Error::InvalidParameterCount(given, named));
    }
    for number in 1..=given {
        let name = format!("${number}");
        if prepared.parameter_index(&name)?.is_none() {
            return Err(rusqlite::Error::InvalidParameterName(name));
        }
    }
    bind(&mut prepared, parameters)?;
    Ok(prepared)
}

/// Reads all rows that a prepared statement returns.
pub(super) fn read(mut statement: CachedStatement<'_>) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let columns = statement.column_count();
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cells = (0..columns).map(|at| cell(row, at));
        rows.push(cells.collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}

/// Binds `$1` and so on.
fn bind(statement: &mut Statement<'_>, parameters: &[Cell]) -> rusqlite::Result<()> {
    for (at, cell) in parameters.iter().enumerate() {
        if let Some(index) = statement.parameter_index(&format!("${}", at + 1))? {
            statement.raw_bind_parameter(index, Parameter(cell.borrow()))?;
        }
    }
    Ok(())
}

fn cell(row: &SqlRow<'_>, at: usize) -> rusqlite::Result<Cell> {
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
        })
    };
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(bytes) => Cell::Text(text(bytes)?.into()),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.into()),
        ValueRef::Real(_) => {
            return Err(rusqlite::Error::InvalidColumnType(
                at,
                "a number with a fraction".to_owned(),
                rusqlite::types::Type::Real,
            ));
        }
    })
}

// ---- Writing -------------------------------------------------------------------------------------------------------

/// Writes the final state of each row once.
pub(super) fn write(
    connection: &Connection,
    statements: &mut Statements,
    rows: &[Written<'_>],
) -> Result<(), NotWritten<rusqlite::Error>> {
    // Rows of one table follow each other, and most are written by the same statement.
    let mut prepared: Option<((&'static str, RowChange), CachedStatement<'_>)> = None;
    for row in rows {
        let table = row.id.table;
        let (Some(change), Some(state)) = (RowChange::of(row), row.now.or(row.base)) else {
            continue;
        };
        let alike = (table.name, change);
        let statement = match &mut prepared {
            Some((known, statement)) if *known == alike => statement,
            other => {
                let statement = connection.prepare_cached(statements.text(table, change))?;
                &mut other.insert((alike, statement)).1
            }
        };
        for (index, column) in change.columns(table).enumerate() {
            statement.raw_bind_parameter(index + 1, Parameter(state.cell(column)))?;
        }
        if statement.raw_execute()? != 1 {
            return Err(NotWritten::Behind(row.id.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open;
    use crate::statements::{delete, update};

    #[test]
    fn every_row_is_found_and_written_by_an_index() {
        let domains = crate::any::domains(Default::default());
        let connection = open::in_memory(&domains).unwrap();
        for table in domains.each_table() {
            let last = 1 << (table.columns.len() - 1);
            for statement in [
                select(table, &key_condition(table)),
                update(table, last),
                delete(table),
            ] {
                let plan = format!("EXPLAIN QUERY PLAN {statement}");
                let mut plan = connection.prepare(&plan).unwrap();
                // No parameters are bound, because only the plan is read.
                let mut steps = plan.raw_query();
                while let Some(row) = steps.next().unwrap() {
                    let step: String = row.get(3).unwrap();
                    assert!(!step.starts_with("SCAN"), "{step}: {statement}");
                }
            }
        }
    }
}
