//! Who may go on with a flow, and what is asked of one that another process has in hand.

use std::time::Duration;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use cairn_effects::event::Entry;
use cairn_effects::report::Report;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, HostId, Identity};
use cairn_model::value::Value;

use super::file::DatabaseFile;
use super::tx::{describe, scalar};
use super::{Sqlite, idempotency, lookup, open};
use crate::StoreError;

/// What can be asked of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Stop it: the task in hand finishes, the next one does not start.
    Interrupt,
    /// Go on with it where it left off.
    Resume,
    /// Make it as new.
    Reset,
    /// Roll it back; stop it first when it runs.
    Rollback {
        /// Why, for the report.
        reason: String,
    },
    /// Close an incomplete rollback as it is.
    Accept {
        /// Who.
        user_id: String,
        /// Why that is all right.
        reason: String,
    },
}

impl Operation {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Rollback { .. } => "rollback",
            Self::Accept { .. } => "accept",
        }
    }
}

/// Something that was asked of a flow and is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub id: i64,
    /// The flow.
    pub flow: FlowId,
    /// What was asked.
    pub operation: Operation,
}

/// Answers are kept this long for whoever asked.
const KEPT: Duration = Duration::from_secs(600);

impl Sqlite {
    /// Sets a flow aside that cannot be recovered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError> {
        self.admin(&Identity::default(), |admin| {
            admin
                .connection()
                .prepare_cached("UPDATE flows SET stuck = ? WHERE id = ?")?
                .execute(params![reason, flow.0.as_bytes()])?;
            Ok(())
        })?;
        reach(CrashPoint::FlowSetAside);
        Ok(())
    }

    /// Asks something of a flow that another process has in hand. Returns the request's number, once it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn ask(&self, flow: FlowId, operation: &Operation) -> Result<i64, StoreError> {
        let operation = json(operation)?;
        self.admin(&Identity::default(), |admin| {
            let (connection, now) = (admin.connection(), admin.now());
            connection
                .prepare_cached("DELETE FROM requests WHERE answered_at < ?")?
                .execute([now.before(KEPT).0])?;
            connection
                .prepare_cached(
                    "INSERT INTO requests (flow, operation, created_at) VALUES (?, ?, ?)",
                )?
                .execute(params![flow.0.as_bytes(), operation, now.0])?;
            Ok(connection.last_insert_rowid())
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError> {
        reach(CrashPoint::RequestServed);
        let answer = answer.to_string();
        self.admin(&Identity::default(), |admin| {
            admin
                .connection()
                .prepare_cached("UPDATE requests SET answer = ?, answered_at = ? WHERE id = ?")?
                .execute(params![answer, admin.now().0, request])?;
            Ok(())
        })?;
        reach(CrashPoint::RequestAnswered);
        Ok(())
    }

    /// The answer to a request, once it has one.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Refused`] when there is no such request any more.
    pub fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError> {
        let statement = "SELECT answer FROM requests WHERE id = ?";
        let writer = self.writer();
        let connection = &writer.ledger.backend.connection;
        let answer: Option<Option<String>> =
            scalar(connection, statement, [request]).map_err(failed)?;
        match answer {
            None => {
                Err(TaskError::new("NotFound", format!("there is no request {request}")).into())
            }
            Some(answer) => Ok(answer.and_then(|answer| serde_json::from_str(&answer).ok())),
        }
    }

    /// What is asked of flows that this process has in hand, or nobody has.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn requests(&self) -> Result<Vec<Request>, StoreError> {
        let writer = self.writer();
        let database = &writer.ledger.backend;
        requests(&database.connection, database.host.id).map_err(failed)
    }

    /// Something that notices what other processes write; `None` for a database in memory, where there are none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn watch(&self) -> Result<Option<Watch>, StoreError> {
        let (held, host) = {
            let writer = self.writer();
            let database = &writer.ledger.backend;
            (database.held.clone(), database.host.id)
        };
        held.map(|held| Watch::open(&held.file, host)).transpose()
    }
}

/// Notices what other processes write, on a connection of its own.
pub struct Watch {
    connection: Connection,
    host: HostId,
    seen: i64,
}

impl Watch {
    fn open(file: &DatabaseFile, host: HostId) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open::read_only(file)?,
            host,
            seen: -1,
        })
    }

    /// A flow's journal, as it is on disk; empty for a flow that is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        lookup::journal(&self.connection, flow).map_err(failed)
    }

    /// Why a flow cannot be recovered; `None` of one that can, or is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stuck(&self, flow: FlowId) -> Result<Option<String>, StoreError> {
        lookup::stuck(&self.connection, flow).map_err(failed)
    }

    /// What a key keeps of a flow that was pruned; `None` of one that was not.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub fn kept_report(&self, flow: FlowId) -> Result<Option<Report>, StoreError> {
        idempotency::kept_report(&self.connection, flow)
    }

    /// Whether something is asked of a flow that this process has in hand, or nobody has. Costs next to nothing while
    /// nobody writes.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn has_requests(&mut self) -> Result<bool, StoreError> {
        let look = || -> rusqlite::Result<Option<i64>> {
            scalar(&self.connection, "PRAGMA data_version", [])
        };
        let version = look().map_err(failed)?.unwrap_or(0);
        if version == self.seen {
            return Ok(false);
        }
        let found = requests(&self.connection, self.host).map_err(failed)?;
        if found.is_empty() {
            self.seen = version;
        }
        Ok(!found.is_empty())
    }
}

fn requests(connection: &Connection, host: HostId) -> rusqlite::Result<Vec<Request>> {
    let mut statement = connection.prepare_cached(
        "SELECT requests.id, requests.flow, operation FROM requests JOIN flows ON flows.id = requests.flow
         WHERE answer IS NULL AND (host = ? OR host IS NULL) ORDER BY requests.id",
    )?;
    let mut rows = statement.query([host.0.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let operation: String = row.get(2)?;
        // One that a newer version wrote is not for this one.
        if let Ok(operation) = serde_json::from_str(&operation) {
            found.push(Request {
                id: row.get(0)?,
                flow: FlowId(uuid::Uuid::from_bytes(row.get(1)?)),
                operation,
            });
        }
    }
    Ok(found)
}

/// Flows in this host's hand, oldest first.
pub(super) fn in_hand(
    connection: &Connection,
    host: HostId,
    stuck_too: bool,
) -> rusqlite::Result<Vec<FlowId>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM flows WHERE host = ? AND (stuck IS NULL OR ?) ORDER BY id",
    )?;
    let rows = statement.query_map(params![host.0.as_bytes(), stuck_too], |row| {
        Ok(FlowId(uuid::Uuid::from_bytes(row.get(0)?)))
    })?;
    rows.collect()
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Database(describe(&error))
}
