//! Portable SQL: statements that every database of this store runs, and the connection that runs them.
//!
//! Parameters are `$1`, `$2`, …; each must be named by the statement. Flags are compared with `TRUE` and `FALSE`, and are read as 0 or 1.
//! `ON CONFLICT`, `RETURNING` and `IS NOT DISTINCT FROM` may be used; functions for JSON, and whatever one database has alone, may not.

use std::fmt;
use std::time::Duration;

use cairn_effects::event::Entry;
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, HostId};
use cairn_model::value::Value;

use crate::StoreError;
use crate::backend::{Backend, Fault};
use crate::batched::Batched;
use crate::deliver::Outbox;
use crate::shared::Shared;

/// Whether a process owns a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owning {
    /// It owned it before.
    Had,
    /// It owns it from now on: what it has read of the project may be old.
    Claimed,
    /// A live host owns it.
    Elsewhere {
        /// The name of its machine.
        host: String,
        /// Its process.
        pid: u32,
    },
}

/// One connection of a database.
pub trait Sql {
    /// Runs a statement that only reads, and returns its rows.
    ///
    /// # Errors
    /// [`SqlError`], also for a statement that writes, and for a value that no cell can hold: a fraction, or text that is not UTF-8.
    fn query(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError>;

    /// Runs a statement that writes, and returns how many rows it changed.
    ///
    /// # Errors
    /// [`SqlError`].
    fn execute(&self, statement: &str, parameters: &[Cell]) -> Result<usize, SqlError>;

    /// Runs a statement that writes and has `RETURNING`, and returns its rows.
    ///
    /// # Errors
    /// [`SqlError`].
    fn returning(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError>;

    /// Runs a statement that sets, releases or goes back to a savepoint of the open transaction.
    ///
    /// # Errors
    /// [`SqlError`].
    fn savepoint(&self, statement: &str) -> Result<(), SqlError>;

    /// Makes this process the owner of a project until the operator's change that is open has ended: only its owner may change its rows. Where
    /// one process at a time writes it always is.
    ///
    /// # Errors
    /// [`SqlError`].
    fn own(&self, _project_id: &str) -> Result<Owning, SqlError> {
        Ok(Owning::Had)
    }

    /// Runs several reads on one state of the database: in the open transaction, else in one for these reads alone.
    ///
    /// # Errors
    /// [`SqlError`]; `read` may not have run then.
    fn consistently(&self, read: &mut dyn FnMut()) -> Result<(), SqlError>;

    /// Returns the names of the tables, sorted.
    ///
    /// # Errors
    /// [`SqlError`].
    fn tables(&self) -> Result<Vec<String>, SqlError>;

    /// Returns the names of a table's columns, in their order; none for a table that does not exist.
    ///
    /// # Errors
    /// [`SqlError`].
    fn columns(&self, table: &str) -> Result<Vec<String>, SqlError>;

    /// Returns the names of the columns of a table's primary key, in the key's order; none without one.
    ///
    /// # Errors
    /// [`SqlError`].
    fn key(&self, table: &str) -> Result<Vec<String>, SqlError>;

    /// Returns an SQL expression for how many milliseconds of the lease of a row of `hosts` are left: by the database's clock if it has one,
    /// else by `now`.
    fn lease_left(&self, now: Timestamp) -> String;

    /// Returns an upper bound for the bytes of a row of this table; reads the whole table.
    ///
    /// # Errors
    /// [`SqlError`].
    fn widest(&self, table: &str) -> Result<u64, SqlError>;
}

/// Quotes the name of a table or a column.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl dyn Sql + '_ {
    /// Runs a statement that reads one column of at most one row.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn scalar(&self, statement: &str, parameters: &[Cell]) -> Result<Option<Cell>, SqlError> {
        let rows = self.query(statement, parameters)?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()))
    }
}

/// Why a statement failed.
#[derive(Clone, Debug)]
pub struct SqlError {
    /// The database's message.
    pub message: String,
    /// What the error means for the open transaction.
    pub impact: Impact,
}

/// What an error means for the open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impact {
    /// The statement is wrong and changed nothing; the transaction goes on.
    None,
    /// The transaction is lost.
    Lost,
    /// The transaction is lost, and the connection may have read wrong data: it must be opened again.
    Suspect,
}

impl SqlError {
    /// An error of a statement that changed nothing.
    pub fn harmless(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            impact: Impact::None,
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        Self::Database(error.message)
    }
}

/// A backend that runs portable SQL.
pub trait SqlBackend: Backend {
    /// Returns the connection of the writer. While a batch is open, what it runs is part of the batch.
    fn sql(&self) -> &dyn Sql;

    /// Returns a connection for reads that follow a commit; the writer's own, unless the backend has another one.
    fn reading(&self) -> &dyn Sql {
        self.sql()
    }

    /// Returns what a failed statement of the open batch means for the batch.
    fn failed(&mut self, error: &SqlError) -> Fault;

    /// Returns this process's id as a host, as the column `flows.host` holds it.
    fn host(&self) -> Cell;

    /// Returns the version of the tables whose rows belong to no project, if an operator's change that was committed since this was last
    /// asked has raised it: other hosts may have such rows in memory. `None` where no two hosts write at the same time.
    fn raised(&mut self) -> Option<Raised> {
        None
    }

    /// Returns the other live hosts whose rules may still decide by rows of an older version, as messages name them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn unaware(&self, _version: i64) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns a further condition, on `flows`, for a request that is this process's business; `$1` is this process.
    fn business(&self) -> &'static str {
        "TRUE"
    }

    /// Gives back the projects that an operator's change has claimed, once it is made or refused.
    fn give_back_gained(&mut self) {}

    /// Returns who owns what; `None` where one process at a time writes.
    fn shared(_store: &Batched<Self>) -> Option<&dyn Shared>
    where
        Self: Sized,
    {
        None
    }

    /// Opens the outbox for the dispatcher of messages; `None` where messages cannot be read beside the writer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError>;

    /// Opens a view on the writes of other processes; `None` where there can be none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn outlook(&self) -> Result<Option<Box<dyn Outlook>>, StoreError>;
}

/// A new version of the tables whose rows belong to no project.
#[derive(Clone, Copy, Debug)]
pub struct Raised {
    /// The version.
    pub version: i64,
    /// How long other hosts may take to see it.
    pub patience: Duration,
}

/// Reads the database on a connection of its own, and notices when others write.
pub trait Outlook: Send {
    /// Returns the connection.
    fn sql(&self) -> &dyn Sql;

    /// Returns a number that changes when another process writes; `None` where there is none.
    ///
    /// # Errors
    /// [`SqlError`].
    fn version(&self) -> Result<Option<i64>, SqlError>;
}

// ---- Cells of the host's own tables ------------------------------------------------------------------------------------

/// Reads the cells of one row by position, as the types of the host's own tables.
pub(crate) struct Columns<'r>(pub(crate) &'r [Cell]);

impl Columns<'_> {
    fn wrong(&self, at: usize, expected: &str) -> SqlError {
        SqlError::harmless(format!(
            "column {} of a row holds {:?} in place of {expected}",
            at + 1,
            self.0.get(at)
        ))
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, SqlError> {
        self.optional_text(at)?
            .ok_or_else(|| self.wrong(at, "a text"))
    }

    pub(crate) fn optional_text(&self, at: usize) -> Result<Option<String>, SqlError> {
        match self.0.get(at) {
            Some(Cell::Text(text)) => Ok(Some(text.to_string())),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.wrong(at, "a text")),
        }
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64, SqlError> {
        self.optional_int(at)?
            .ok_or_else(|| self.wrong(at, "a number"))
    }

    pub(crate) fn optional_int(&self, at: usize) -> Result<Option<i64>, SqlError> {
        match self.0.get(at) {
            Some(Cell::Int(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.wrong(at, "a number")),
        }
    }

    /// Reads JSON as text; null for NULL.
    pub(crate) fn optional_json(&self, at: usize) -> Result<Value, SqlError> {
        let text = self.optional_text(at)?;
        let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
        let value = parsed.map_err(|_| self.wrong(at, "JSON"))?;
        Ok(value.unwrap_or_default())
    }

    /// Reads a JSON array of texts.
    pub(crate) fn texts(&self, at: usize) -> Result<Vec<String>, SqlError> {
        serde_json::from_str(&self.text(at)?).map_err(|_| self.wrong(at, "an array of texts"))
    }

    pub(crate) fn flag(&self, at: usize) -> Result<bool, SqlError> {
        Ok(self.int(at)? != 0)
    }

    pub(crate) fn host(&self, at: usize) -> Result<HostId, SqlError> {
        let id = match self.0.get(at) {
            Some(Cell::Blob(bytes)) => uuid::Uuid::from_slice(bytes).ok(),
            _ => None,
        };
        id.map(HostId)
            .ok_or_else(|| self.wrong(at, "the id of a host"))
    }

    pub(crate) fn flow(&self, at: usize) -> Result<FlowId, SqlError> {
        self.optional_flow(at)?
            .ok_or_else(|| self.wrong(at, "the id of a flow"))
    }

    pub(crate) fn optional_flow(&self, at: usize) -> Result<Option<FlowId>, SqlError> {
        let wrong = || self.wrong(at, "the id of a flow");
        match self.0.get(at) {
            Some(Cell::Blob(bytes)) => match uuid::Uuid::from_slice(bytes) {
                Ok(id) => Ok(Some(FlowId(id))),
                Err(_) => Err(wrong()),
            },
            Some(Cell::Null) => Ok(None),
            _ => Err(wrong()),
        }
    }

    /// Reads the entries of a row of the journal, packed or as text.
    pub(crate) fn entries(&self, at: usize) -> Result<Vec<Entry>, String> {
        let entries = match self.0.get(at) {
            Some(Cell::Text(text)) => crate::journal::read(text.as_bytes()),
            Some(Cell::Blob(block)) => crate::journal::unpack(block),
            _ => return Err(self.wrong(at, "entries").message),
        };
        entries.map_err(|damage| damage.to_string())
    }
}
