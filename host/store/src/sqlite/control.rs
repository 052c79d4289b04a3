//! What a host asks of SQLite besides what its flows need.

use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde::Serialize;

use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, HostId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};

use super::file::DatabaseFile;
use super::tx::{describe, scalar};
use super::view::Pruned;
use super::{Sqlite, idempotency, lookup, open, outbox};
use crate::StoreError;
use crate::control::{Operation, Request};
use crate::deliver::Outbox;
use crate::host::{FlowOnDisk, HostStore, Operators, Read, Watch, Work};

/// Answers are kept this long for whoever asked.
const KEPT: Duration = Duration::from_secs(600);

impl HostStore for Sqlite {
    fn commits(&self) -> u64 {
        Self::commits(self)
    }

    fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        Self::take_over(self, stuck_too)
    }

    fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError> {
        self.admin(&Identity::default(), |admin| {
            admin.sql(|connection| {
                connection
                    .prepare_cached("UPDATE flows SET stuck = ? WHERE id = ?")?
                    .execute(params![reason, flow.0.as_bytes()])
            })
        })?;
        reach(CrashPoint::FlowSetAside);
        Ok(())
    }

    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
        self.read(&Identity::default(), |view| {
            Ok(FlowOnDisk {
                journal: view.journal(flow)?,
                stuck: view.stuck(flow)?,
                kept: view.kept_report(flow)?,
            })
        })
    }

    fn repeat_of(&self, requester: &Identity, key: &Key) -> Result<Option<FlowId>, StoreError> {
        self.read(requester, |view| view.repeat_of(key))
    }

    fn keep_plan(&self, digest: Digest, body: &str) -> Result<(), StoreError> {
        self.admin(&Identity::default(), |admin| {
            admin.sql(|connection| {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO plans (digest, body) VALUES (?, ?)")?
                    .execute(params![digest.to_string(), body])
            })
        })?;
        Ok(())
    }

    fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        self.read(&Identity::default(), |view| view.plan(digest))
    }

    fn ask(&self, flow: FlowId, operation: &Operation) -> Result<i64, StoreError> {
        let operation = json(operation)?;
        self.admin(&Identity::default(), |admin| {
            let now = admin.now();
            admin.sql(|connection| {
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
        })
    }

    fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError> {
        reach(CrashPoint::RequestServed);
        let answer = answer.to_string();
        self.admin(&Identity::default(), |admin| {
            let now = admin.now();
            admin.sql(|connection| {
                connection
                    .prepare_cached("UPDATE requests SET answer = ?, answered_at = ? WHERE id = ?")?
                    .execute(params![answer, now.0, request])
            })
        })?;
        reach(CrashPoint::RequestAnswered);
        Ok(())
    }

    fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError> {
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

    fn requests(&self) -> Result<Vec<Request>, StoreError> {
        let writer = self.writer();
        let database = &writer.ledger.backend;
        requests(&database.connection, database.host.id).map_err(failed)
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let (held, host) = {
            let writer = self.writer();
            let database = &writer.ledger.backend;
            (database.held.clone(), database.host.id)
        };
        // In memory there are no other processes.
        let watch = held
            .map(|held| Beside::open(&held.file, host))
            .transpose()?;
        Ok(watch.map(|watch| Box::new(watch) as _))
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        let held = self.writer().ledger.backend.held.clone();
        let outbox = held.map(|held| outbox::Beside::open(&held)).transpose()?;
        Ok(outbox.map(|outbox| Box::new(outbox) as _))
    }

    fn operators(&self) -> Option<&dyn Operators> {
        Some(self)
    }
}

impl Operators for Sqlite {
    fn read_dyn(&self, requester: &Identity, read: Read<'_>) -> Result<(), StoreError> {
        self.read(requester, |view| {
            read(view);
            Ok(())
        })
    }

    fn admin_dyn(&self, requester: &Identity, work: Work<'_>) -> Result<(), StoreError> {
        let done = self.try_admin(requester, |admin| match work(admin) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(NotDone::Refused),
        });
        match done {
            Ok(()) | Err(NotDone::Refused) => Ok(()),
            Err(NotDone::Store(error)) => Err(error),
        }
    }

    fn prune_flows(
        &self,
        requester: &Identity,
        older_than: Duration,
    ) -> Result<Pruned, StoreError> {
        Self::prune_flows(self, requester, older_than)
    }
}

/// Why an operator's change was not made.
enum NotDone {
    Refused,
    Store(StoreError),
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Notices what other processes write, on a connection of its own.
struct Beside {
    connection: Connection,
    host: HostId,
    seen: i64,
}

impl Beside {
    fn open(file: &DatabaseFile, host: HostId) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open::read_only(file)?,
            host,
            seen: -1,
        })
    }
}

impl Watch for Beside {
    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
        // What a key keeps comes last: meanwhile the flow may be pruned.
        Ok(FlowOnDisk {
            journal: lookup::journal(&self.connection, flow).map_err(failed)?,
            stuck: lookup::stuck(&self.connection, flow).map_err(failed)?,
            kept: idempotency::kept_report(&self.connection, flow)?,
        })
    }

    fn has_requests(&mut self) -> Result<bool, StoreError> {
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

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Database(describe(&error))
}
