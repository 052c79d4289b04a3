//! Reads and writes the rows of an operator's rules, one statement a row.

use std::sync::Arc;

use cairn_effects::rows::{AnyRow, Cell, Counted, Fetched, Table, Wants, Written};

use crate::sql::{Sql, SqlError};
use crate::statements::{NotWritten, RowChange, key_condition, select};

/// Reads the wanted rows, scans and counts. The connection must be in a transaction.
pub(super) fn fetch(sql: &dyn Sql, wants: Wants) -> Result<Fetched, SqlError> {
    let mut fetched = Fetched::default();
    for id in wants.rows {
        let key: Vec<Cell> = id.key.0.iter().cloned().map(Cell::Text).collect();
        let statement = select(id.table, &key_condition(id.table));
        let found = read(sql, id.table, &statement, &key)?;
        fetched.rows.push((id, found.into_iter().next()));
    }
    for table in wants.whole {
        let rows = read(sql, table, &select(table, "TRUE"), &[])?;
        fetched.whole.push((table, rows.into()));
    }
    for wanted in wants.selects {
        let table = wanted.of.table();
        let statement = select(table, wanted.of.condition());
        let found = read(sql, table, &statement, &wanted.parameters)?;
        fetched.selects.insert(wanted, found);
    }
    for wanted in wants.counts {
        let mut counted = Counted::new();
        for mut row in sql.query(wanted.of.query(), &wanted.parameters)? {
            match row.pop() {
                Some(Cell::Int(count)) => counted.insert(row, count),
                _ => {
                    let message = format!("`{}` counts nothing", wanted.of.query());
                    return Err(SqlError::harmless(message));
                }
            };
        }
        fetched.counts.insert(wanted, counted);
    }
    Ok(fetched)
}

fn read(
    sql: &dyn Sql,
    table: &'static Table,
    statement: &str,
    parameters: &[Cell],
) -> Result<Vec<Arc<dyn AnyRow>>, SqlError> {
    let rows = sql.query(statement, parameters)?.into_iter();
    let rows = rows.map(|row| {
        let mut cells = row.into_iter();
        let row = (table.read)(&mut || cells.next().unwrap_or(Cell::Null));
        row.map_err(|error| SqlError::harmless(format!("table {}: {error}", table.name)))
    });
    rows.collect()
}

/// Writes the final state of each row once.
pub(super) fn write(sql: &dyn Sql, rows: &[Written<'_>]) -> Result<(), NotWritten<SqlError>> {
    for row in rows {
        let table = row.id.table;
        let (Some(change), Some(state)) = (RowChange::of(row), row.now.or(row.base)) else {
            continue;
        };
        let cells = change.columns(table).map(|column| state.cell(column));
        let cells: Vec<Cell> = cells.map(Cell::from).collect();
        if sql.execute(&change.statement(table), &cells)? != 1 {
            return Err(NotWritten::Behind(row.id.clone()));
        }
    }
    Ok(())
}
