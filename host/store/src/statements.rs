//! The texts of statements that read and write the rows of any table.

use std::collections::HashMap;

use cairn_effects::rows::{AnyRow, RowId, Table, Written};

/// Returns the condition for a row to have the key `$1`, `$2`, ….
pub(crate) fn key_condition(table: &Table) -> String {
    by_key(table, 1)
}

/// Returns a statement that reads the rows that meet a condition.
pub(crate) fn select(table: &Table, condition: &str) -> String {
    let alive = table.alive.unwrap_or("TRUE");
    format!(
        "SELECT {} FROM {} WHERE {alive} AND ({condition})",
        names(table).join(", "),
        table.name
    )
}

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowChange {
    Insert,
    /// The changed columns, a bit each.
    Update(u64),
    Delete,
}

impl RowChange {
    /// Returns how a row must be written; `None` when the database already has its final state.
    pub(crate) fn of(row: &Written<'_>) -> Option<Self> {
        match (row.base, row.now) {
            (None, None) => None,
            (None, Some(_)) => Some(Self::Insert),
            (Some(base), Some(now)) => match changed(base, now) {
                0 => None,
                changed => Some(Self::Update(changed)),
            },
            (Some(_), None) => Some(Self::Delete),
        }
    }

    /// Returns the statement that writes one row. Its parameters are the cells of [`columns`](Self::columns), in that order.
    pub(crate) fn statement(self, table: &Table) -> String {
        match self {
            Self::Insert => insert(table),
            Self::Update(changed) => update(table, changed),
            Self::Delete => delete(table),
        }
    }

    /// Returns the columns that the statement takes as parameters, in its order.
    pub(crate) fn columns(self, table: &Table) -> impl Iterator<Item = usize> + use<> {
        let (all, key) = (0..table.columns.len(), 0..table.key);
        let written = all.filter(move |at| match self {
            Self::Insert => true,
            Self::Update(changed) => changed & (1 << at) != 0,
            Self::Delete => false,
        });
        let found = key.filter(move |_| self != Self::Insert);
        written.chain(found)
    }
}

/// The texts of statements that write rows, each composed once.
#[derive(Default)]
pub(crate) struct Statements(HashMap<(&'static str, RowChange), String>);

impl Statements {
    /// Returns the statement for a change of a table's rows.
    pub(crate) fn text(&mut self, table: &Table, change: RowChange) -> &str {
        let text = self.0.entry((table.name, change));
        text.or_insert_with(|| change.statement(table))
    }
}

/// Why rows were not written.
#[derive(Debug)]
pub(crate) enum NotWritten<E> {
    /// The database failed.
    Failed(E),
    /// The database does not hold the row as it was read: another program wrote to it.
    Behind(RowId),
}

impl<E> From<E> for NotWritten<E> {
    fn from(error: E) -> Self {
        Self::Failed(error)
    }
}

/// Returns the columns that differ, a bit each. The key never differs.
fn changed(base: &dyn AnyRow, now: &dyn AnyRow) -> u64 {
    let table = now.table();
    (table.key..table.columns.len())
        .filter(|at| base.cell(*at) != now.cell(*at))
        .fold(0, |changed, at| changed | (1 << at))
}

fn names(table: &Table) -> Vec<&'static str> {
    table.columns.iter().map(|column| column.name).collect()
}

fn insert(table: &Table) -> String {
    let marks = 1..=table.columns.len();
    let marks: Vec<String> = marks.map(|number| format!("${number}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        names(table).join(", "),
        marks.join(", ")
    )
}

pub(crate) fn update(table: &Table, changed: u64) -> String {
    let columns = table.columns.iter().enumerate();
    let columns = columns.filter(|(at, _)| changed & (1 << at) != 0);
    let set: Vec<String> = columns
        .zip(1..)
        .map(|((_, column), number)| format!("{} = ${number}", column.name))
        .collect();
    format!(
        "UPDATE {} SET {} WHERE {}",
        table.name,
        set.join(", "),
        alive_by_key(table, set.len() + 1)
    )
}

pub(crate) fn delete(table: &Table) -> String {
    format!(
        "DELETE FROM {} WHERE {}",
        table.name,
        alive_by_key(table, 1)
    )
}

fn alive_by_key(table: &Table, first: usize) -> String {
    match table.alive {
        Some(alive) => format!("{} AND {alive}", by_key(table, first)),
        None => by_key(table, first),
    }
}

/// Returns the condition for a row to have the key that begins with parameter `first`.
fn by_key(table: &Table, first: usize) -> String {
    let key = table.columns[..table.key].iter().zip(first..);
    let key: Vec<String> = key
        .map(|(column, number)| format!("{} = ${number}", column.name))
        .collect();
    key.join(" AND ")
}
