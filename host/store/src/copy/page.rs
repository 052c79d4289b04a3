//! Reads a table in pages of a bounded size, by its primary key.

use cairn_effects::rows::Cell;

use super::refused;
use super::table::CopiedTable;
use crate::StoreError;
use crate::sql::{Sql, quoted};

/// About how many bytes a page has in memory, unless one row has more.
const PAGE: u64 = 8 << 20;

/// How many rows a page has at most.
const MOST_ROWS: u64 = 2_000;

/// The rows of a table, page by page.
pub(super) struct Pages<'a> {
    sql: &'a dyn Sql,
    first: String,
    next: String,
    /// How many cells of each row that is read are copied; those of its key follow.
    copied: usize,
    /// The key of the last row; `None` at the start.
    last: Option<Vec<Cell>>,
    limit: usize,
    is_done: bool,
}

impl<'a> Pages<'a> {
    /// Prepares to read the rows of a table.
    ///
    /// # Errors
    /// `InvalidInput` for a table without a primary key; [`StoreError::Database`].
    pub(super) fn of(table: &CopiedTable, sql: &'a dyn Sql) -> Result<Self, StoreError> {
        let name = &table.name;
        let key = sql.key(name)?;
        if key.is_empty() {
            return Err(refused(format_args!(
                "the table `{name}` has no primary key, so its rows cannot be copied"
            )));
        }
        let columns = table.columns();
        let copied = columns.len();
        let list = |names: &mut dyn Iterator<Item = &str>| {
            names.map(quoted).collect::<Vec<_>>().join(", ")
        };
        let key_list = list(&mut key.iter().map(String::as_str));
        let read = list(&mut columns.into_iter().chain(key.iter().map(String::as_str)));
        let marks: Vec<String> = (1..=key.len()).map(|at| format!("${at}")).collect();
        // Rows are read whole, so a page has fewer of them the longer they can be.
        let limit = (PAGE / sql.widest(name)?.max(1)).clamp(1, MOST_ROWS);
        let only = table.only.as_deref().unwrap_or("TRUE");
        let statement = |after: &str| {
            format!(
                "SELECT {read} FROM {} WHERE {only}{after} ORDER BY {key_list} LIMIT {limit}",
                quoted(name)
            )
        };
        let after = format!(" AND ({key_list}) > ({})", marks.join(", "));
        Ok(Self {
            sql,
            first: statement(""),
            next: statement(&after),
            copied,
            last: None,
            limit: usize::try_from(limit).unwrap_or(1),
            is_done: false,
        })
    }

    /// Reads the next page; `None` after the last one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(super) fn next(&mut self) -> Result<Option<Vec<Vec<Cell>>>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        let mut rows = match &self.last {
            None => self.sql.query(&self.first, &[])?,
            Some(key) => self.sql.query(&self.next, key)?,
        };
        self.is_done = rows.len() < self.limit;
        for row in &mut rows {
            let key = row.split_off(self.copied);
            self.last = Some(key);
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}
