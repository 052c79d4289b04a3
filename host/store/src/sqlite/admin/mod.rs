//! What operators set up and take down. Each operation is a transaction of its own, on disk when it returns.

mod migrate;
mod prune;
mod vacuum;

pub use migrate::Migrated;
pub use vacuum::Vacuumed;

use std::collections::BTreeMap;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode};

use cairn_effects::rows::{Cell, Draft, Made, Overlay, Rows, Stop};
use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};

use super::rows::{self, NotWritten, Statements};
use super::tx::{Tx, describe, in_savepoint};
use super::view::{View, failed};
use super::{Database, Sqlite};
use crate::batched::Writer;
use crate::{Caller, StoreError};

impl Sqlite {
    /// Changes things as `requester`, in one transaction that is on disk when this returns.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed.
    pub fn admin<T>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        self.try_admin(requester, work)
    }

    /// [`admin`](Self::admin) for changes that are refused with an error of the caller's own.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed, and those of the store.
    pub fn try_admin<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let caller = Caller {
            call: None,
            requester,
        };
        self.write(|writer| {
            alone(writer, caller, |tx| {
                let mut admin = Admin { tx, fault: None };
                let result = work(&mut admin);
                admin.fault.map_or(Ok(result), Err)
            })
        })
    }
}

/// Commits what is open and runs `work` in a transaction of its own, on disk when it returns.
fn alone<T, E: From<StoreError>>(
    writer: &mut Writer<Database>,
    by: Caller<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<Result<T, E>>,
) -> Result<T, E> {
    let ledger = &mut writer.ledger;
    ledger.commit()?;
    ledger.begin()?;
    // What an operator writes goes past them.
    ledger.overlay.forget();
    let mut tx = Tx::new(&ledger.backend.connection, &writer.env, by);
    match in_savepoint(&mut tx, work) {
        Ok(result) => {
            ledger.commit()?;
            result
        }
        Err(error) => {
            let lost = ledger.backend.lost(&error);
            Ok(ledger.settled(Err(lost))?)
        }
    }
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Changes that an operator makes.
pub struct Admin<'t, 'a> {
    tx: &'t mut Tx<'a>,
    /// The first error of SQLite's. After one the transaction is lost, whatever the operator makes of it.
    fault: Option<rusqlite::Error>,
}

/// The refusal for a row that does not exist.
pub fn not_found(noun: &str, id: &str) -> TaskError {
    TaskError::new("NotFound", format!("there is no {noun} `{id}`"))
}

impl<'a> Admin<'_, 'a> {
    /// What can be read in the middle of these changes.
    pub fn view(&self) -> View<'a> {
        View {
            tx: Tx::new(self.tx.connection, self.tx.env, self.tx.by),
        }
    }

    /// Runs a statement of portable SQL that writes, and returns how many rows it changed. Parameters are named `$1`, `$2`, …; each
    /// must be named by the statement. What was written is seen by [`view`](Self::view), and undone when the operation is refused.
    ///
    /// # Errors
    /// Becomes [`StoreError::Database`] when the statement is wrong or names other parameters.
    pub fn execute(&mut self, statement: &str, parameters: &[Cell]) -> Result<usize> {
        let prepared = rows::prepare(self.tx.connection, statement, parameters);
        let changed = prepared.and_then(|mut prepared| prepared.raw_execute());
        changed.map_err(|error| match error.sqlite_error_code() {
            // The statement is wrong, and has changed nothing.
            None | Some(ErrorCode::Unknown) => failed(error),
            Some(_) => self.lost(error),
        })
    }

    /// Runs rules over rows in the operator's transaction; what they changed is written when this returns.
    ///
    /// # Errors
    /// Those of `rules`.
    pub fn rules<T>(&mut self, rules: impl Fn(&mut Rows<'_>) -> Result<T, Stop>) -> Result<T> {
        let tx = &*self.tx;
        let mut overlay = Overlay::new(usize::MAX);
        let mut draft = Draft::new(tx.now);
        // No flow makes these rows.
        let made = Made::new();
        loop {
            let services = tx.env.domains().services();
            let rows = Rows::new(&mut overlay, &mut draft, tx.by, &made, services);
            match rows.run(|rows| rules(rows)) {
                (Ok(answer), _) => {
                    let written = overlay.written();
                    let done = Statements::default().write(tx.connection, &written);
                    return match done {
                        Ok(()) => Ok(answer),
                        Err(NotWritten::Sqlite(error)) => Err(self.lost(error)),
                        Err(NotWritten::Behind(_)) => {
                            Err(self.lost(rusqlite::Error::QueryReturnedNoRows))
                        }
                    };
                }
                (Err(Stop::Refused(error)), _) => return Err(error.into()),
                (Err(Stop::Missing), _) => {
                    let fetched = match rows::fetch(tx.connection, draft.take_wants()) {
                        Ok(fetched) => fetched,
                        Err(error) => return Err(self.lost(error)),
                    };
                    overlay.accept(&fetched);
                    draft.answered(overlay.begin_fetch(), fetched);
                }
            }
        }
    }

    /// Runs statements of SQLite's.
    pub(super) fn sql<T>(
        &mut self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        run(self.tx.connection).map_err(|error| self.lost(error))
    }

    /// Notes an error after which it is not known what is left of the transaction.
    fn lost(&mut self, error: rusqlite::Error) -> StoreError {
        let lost = StoreError::Lost(describe(&error));
        self.fault.get_or_insert(error);
        lost
    }

    /// Who makes the changes.
    pub fn requester(&self) -> &'a Identity {
        self.tx.by.requester
    }

    /// The time of the changes.
    pub fn now(&self) -> Timestamp {
        self.tx.now
    }

    /// Refuses what only admins may do; `what` completes "only an admin may …".
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn require_admin(&self, what: &str) -> Result<()> {
        if self.requester().is_admin {
            return Ok(());
        }
        Err(TaskError::new("AdminRequired", format!("only an admin may {what}")).into())
    }

    /// Marks a message as taken.
    ///
    /// # Errors
    /// `NotFound` when there is none that is ready.
    pub fn ack_cast(&mut self, id: &str) -> Result<()> {
        let statement = "UPDATE outbox SET state = 'acked' WHERE id = $1 AND state = 'ready'";
        match self.execute(statement, &[id.into()])? {
            0 => Err(not_found("ready message", id).into()),
            _ => Ok(()),
        }
    }

    /// Publishes a message at once, and from its first attempt: one that is `failed`, or waits after an attempt, or was made without a
    /// transport.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound` when there is none of these.
    pub fn retry_cast(&mut self, id: &str) -> Result<()> {
        self.require_admin("send messages again")?;
        let statement = "UPDATE outbox SET state = 'sending', attempts = 0, due_at = $2, since = $2
             WHERE id = $1 AND state IN ('failed', 'sending', 'ready')";
        match self.execute(statement, &[id.into(), self.now().into()])? {
            0 => Err(not_found("undelivered message", id).into()),
            _ => Ok(()),
        }
    }

    /// Removes a message that is `failed` or `sending`. It may have left: a receiver that did not answer may have it.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound` when there is none.
    pub fn discard_cast(&mut self, id: &str) -> Result<()> {
        self.require_admin("discard messages")?;
        let statement = "DELETE FROM outbox WHERE id = $1 AND state IN ('failed', 'sending')";
        match self.execute(statement, &[id.into()])? {
            0 => Err(not_found("undelivered message", id).into()),
            _ => Ok(()),
        }
    }

    /// Adds rows as they are, for a start state that was recorded elsewhere: table -> rows. Columns are the tables' own.
    ///
    /// # Errors
    /// Of the database, for a table or column that is not there.
    pub fn import(&mut self, rows: &BTreeMap<String, Vec<Object>>) -> Result<()> {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        for (table, rows) in rows {
            for row in rows {
                let names: Vec<String> = row.keys().map(|name| quote(name)).collect();
                let marks = vec!["?"; names.len()];
                let statement = format!(
                    "INSERT INTO {} ({}) VALUES ({})",
                    quote(table),
                    names.join(", "),
                    marks.join(", ")
                );
                let values = row.values().map(to_sql);
                self.sql(|connection| {
                    connection
                        .prepare_cached(&statement)?
                        .execute(rusqlite::params_from_iter(values))
                })?;
            }
        }
        Ok(())
    }
}

/// A JSON value as a column holds it.
fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(flag) => Sql::Integer(i64::from(*flag)),
        Value::Number(number) => number.as_i64().map_or_else(
            || Sql::Real(number.as_f64().unwrap_or_default()),
            Sql::Integer,
        ),
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}
