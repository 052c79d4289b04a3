//! The tables and columns that are copied.

use cairn_effects::rows::Cell;

use super::{FACTS_OF_PLACES, NOT_COPIED, has_rows, names, refused};
use crate::StoreError;
use crate::journal;
use crate::sql::{Columns, Sql};

/// Columns that each database fills in by itself: the partition of a row's project, and numbers that mean nothing elsewhere.
const NOT_COPIED_COLUMNS: [(&str, &str); 4] = [
    ("flows", "part"),
    // A flow that rested between two owners follows its `on_lost` after a restore.
    ("flows", "moved"),
    ("requests", "part"),
    ("requests", "id"),
];

/// A table that is copied.
pub(super) struct CopiedTable {
    pub(super) name: String,
    columns: Vec<String>,
    /// An SQL condition for the rows that are copied.
    pub(super) only: Option<String>,
    /// The position of the column with the project whose partition the other database keeps with a row.
    pub(super) partitioned_by: Option<usize>,
}

impl CopiedTable {
    /// Returns the names of the columns that are copied.
    pub(super) fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).collect()
    }

    /// Brings a row into the form that every database takes: the journal of the first schema is text.
    pub(super) fn convert(&self, row: &mut [Cell]) {
        if self.name != "journal" {
            return;
        }
        for (cell, column) in row.iter_mut().zip(&self.columns) {
            if let ("entries", Cell::Text(text)) = (column.as_str(), &*cell) {
                *cell = Cell::Blob(journal::pack(text.as_bytes()).into());
            }
        }
    }
}

/// Returns the tables to copy.
///
/// # Errors
/// `InvalidInput` when the other database lacks one of them that has rows, or a column.
pub(super) fn tables(from: &dyn Sql, to: &dyn Sql) -> Result<Vec<CopiedTable>, StoreError> {
    let known = to.tables()?;
    let mut found = from.tables()?;
    found.retain(|name| !NOT_COPIED.contains(&name.as_str()));
    let (found, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|name| known.contains(name));
    // Without rows nothing is lost: a file has the tables of block storage although its program may not.
    let mut unknown = Vec::new();
    for name in others {
        if has_rows(from, &name)? {
            unknown.push(name);
        }
    }
    if !unknown.is_empty() {
        return Err(refused(format_args!(
            "no domain of this program knows these tables of the database: {}{}; use the program that made them",
            names(&unknown),
            foreign_domains(from, to)?
        )));
    }
    found
        .into_iter()
        .map(|name| table(name, from, to))
        .collect()
}

fn table(name: String, from: &dyn Sql, to: &dyn Sql) -> Result<CopiedTable, StoreError> {
    let copied = |mut columns: Vec<String>| {
        columns.retain(|column| !NOT_COPIED_COLUMNS.contains(&(name.as_str(), column.as_str())));
        columns
    };
    let all = to.columns(&name)?;
    let is_partitioned = name == "flows" && all.iter().any(|column| column == "part");
    let (columns, others) = (copied(from.columns(&name)?), copied(all));
    let missing = columns.iter().find(|column| !others.contains(column));
    let new = others.iter().find(|column| !columns.contains(column));
    if let Some(column) = missing.or(new) {
        return Err(refused(format_args!(
            "the table `{name}` has the column `{column}` in one database only: this domain's tables cannot be copied to that kind of database"
        )));
    }
    let partitioned_by = columns
        .iter()
        .position(|column| column == "project_id")
        .filter(|_| is_partitioned);
    let only = match name.as_str() {
        // An answered one is only for the process that asked, and one about no flow for the host that was asked.
        "requests" => Some("answer IS NULL AND flow IS NOT NULL".to_owned()),
        "facts" => {
            let places = FACTS_OF_PLACES.map(|fact| format!("'{fact}'")).join(", ");
            Some(format!("name NOT IN ({places})"))
        }
        _ => None,
    };
    Ok(CopiedTable {
        name,
        columns,
        only,
        partitioned_by,
    })
}

/// Names the domains that only the original has, for a message.
fn foreign_domains(from: &dyn Sql, to: &dyn Sql) -> Result<String, StoreError> {
    let domains = |sql: &dyn Sql| -> Result<Vec<String>, StoreError> {
        let rows = sql.query("SELECT domain FROM schema ORDER BY domain", &[])?;
        let names = rows.iter().map(|row| Columns(row).text(0));
        Ok(names.collect::<Result<_, _>>()?)
    };
    let known = domains(to)?;
    let mut foreign = domains(from)?;
    foreign.retain(|domain| !known.contains(domain));
    Ok(match foreign.as_slice() {
        [] => String::new(),
        foreign => format!(
            " (the database was used with the domains {})",
            names(foreign)
        ),
    })
}
