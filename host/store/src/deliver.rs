//! What the dispatcher of a host needs of its store: which messages are due, and how many are undelivered.
//!
//! What became of them is recorded by the effect [`Deliver`](cairn_effects::outbox::Deliver), in the store's next batch.

use std::collections::BTreeMap;

use cairn_effects::outbox::Message;
use cairn_effects::rows::{Cell, Row as _, Table, typed};
use cairn_model::clock::Timestamp;

use crate::StoreError;

/// Reads the messages of a database that are on disk, beside the store.
pub trait Outbox: Send {
    /// Claims the messages that this process delivers, and returns whether it has any. What it has is its own until this value is
    /// dropped. Called again and again: a share may grow when another process ends.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn claim(&mut self) -> Result<bool, StoreError>;

    /// Returns up to `most` of the claimed messages that are due at `now`, the longest due first. Of each flow there is at most its
    /// first message in state `sending`: the next one waits until that is delivered or `failed`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn due(&mut self, now: Timestamp, most: usize) -> Result<Vec<Message>, StoreError>;

    /// Returns when the first of the claimed messages is due; `None` when none is `sending`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError>;

    /// Counts the undelivered messages of each project: those in state `sending` or `failed`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn undelivered(&mut self) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Counts the messages that are `sending`, whichever process delivers them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn sending(&mut self) -> Result<u64, StoreError>;
}

/// Runs a statement of portable SQL, and returns its rows.
pub(crate) type Query<'q> = &'q dyn Fn(&str, &[Cell]) -> Result<Vec<Vec<Cell>>, StoreError>;

/// [`Outbox::due`], of the messages that meet a condition on the row `o`.
pub(crate) fn due(
    query: Query<'_>,
    mine: &str,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Message>, StoreError> {
    let table = Message::TABLE;
    let columns: Vec<String> = (table.columns.iter())
        .map(|column| format!("o.{}", column.name))
        .collect();
    let statement = format!(
        "SELECT {} FROM outbox o WHERE o.state = 'sending' AND o.due_at <= $1 AND {mine} AND NOT EXISTS
             (SELECT 1 FROM outbox e WHERE e.state = 'sending' AND e.flow = o.flow AND e.id < o.id)
         ORDER BY o.due_at, o.id LIMIT $2",
        columns.join(", ")
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query(&statement, &[now.into(), most.into()])?;
    rows.into_iter()
        .map(|cells| message(table, cells))
        .collect()
}

/// [`Outbox::next_due`], of the messages that meet a condition on the row `o`.
pub(crate) fn next_due(query: Query<'_>, mine: &str) -> Result<Option<Timestamp>, StoreError> {
    let statement =
        format!("SELECT MIN(o.due_at) FROM outbox o WHERE o.state = 'sending' AND {mine}");
    let rows = query(&statement, &[])?;
    Ok(match rows.first().and_then(|cells| cells.first()) {
        Some(Cell::Int(at)) => Some(Timestamp(*at)),
        _ => None,
    })
}

/// [`Outbox::undelivered`].
pub(crate) fn undelivered(query: Query<'_>) -> Result<BTreeMap<String, u64>, StoreError> {
    let statement = "SELECT project_id, COUNT(*) FROM outbox WHERE state IN ('sending', 'failed') GROUP BY project_id";
    let rows = query(statement, &[])?;
    let counted = rows.iter().filter_map(|cells| match cells.as_slice() {
        [Cell::Text(project), Cell::Int(number)] => {
            Some((project.to_string(), number.unsigned_abs()))
        }
        // A message of an older version names no project.
        _ => None,
    });
    Ok(counted.collect())
}

/// [`Outbox::sending`].
pub(crate) fn sending(query: Query<'_>) -> Result<u64, StoreError> {
    let rows = query("SELECT COUNT(*) FROM outbox WHERE state = 'sending'", &[])?;
    Ok(match rows.first().and_then(|cells| cells.first()) {
        Some(Cell::Int(number)) => number.unsigned_abs(),
        _ => 0,
    })
}

fn message(table: &'static Table, cells: Vec<Cell>) -> Result<Message, StoreError> {
    let mut cells = cells.into_iter();
    let row = (table.read)(&mut || cells.next().unwrap_or(Cell::Null));
    let row =
        row.map_err(|error| StoreError::Database(format!("table {}: {error}", table.name)))?;
    let message = typed::<Message>(&row).map(|message| Message::clone(&message));
    message.ok_or_else(|| StoreError::Database("a row of the outbox is of another type".to_owned()))
}
