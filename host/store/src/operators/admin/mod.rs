//! Changes that operators make. Each operation is one transaction, which is on disk when it returns.

mod externals;
mod messages;
mod noted;
mod prune;
mod record;

pub use crate::sqlite::{Migrated, Vacuumed};
pub use messages::Handling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cairn_effects::rows::{Cell, Draft, Made, Overlay, Rows, Stop};
use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};
use serde_json::json;

use super::audit::Change;
use super::view::View;
use super::{Access, components, rows};
use crate::backend::behind;
use crate::batched::{Batched, Writer};
use crate::config::Env;
use crate::host::Component;
use crate::sql::{Columns, Impact, Owning, Raised, Sql, SqlBackend, SqlError, quoted};
use crate::statements::NotWritten;
use crate::{Caller, StoreError};

/// The interval between two looks at what other hosts have seen.
const LOOK: Duration = Duration::from_millis(20);

impl<B: SqlBackend> Batched<B> {
    /// Makes changes as `requester` in one transaction, which is on disk when this returns.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed.
    pub fn admin<T>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<T>,
    ) -> Result<T> {
        self.try_admin(requester, work)
    }

    /// Makes changes like [`admin`](Self::admin), with the caller's own error type.
    ///
    /// # Errors
    /// Those of `work`, with nothing changed, and those of the store.
    pub fn try_admin<T, E: From<StoreError>>(
        &self,
        requester: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let caller = Caller {
            call: None,
            requester,
        };
        let (result, raised) = self.write(|writer| {
            let result = alone(writer, caller, |access| {
                let mut admin = Admin {
                    access,
                    fault: None,
                    reason: None,
                };
                let result = work(&mut admin);
                admin.fault.map_or(Ok(result), Err)
            });
            writer.ledger.backend.give_back_gained();
            (result, writer.ledger.backend.raised())
        });
        let result = result?;
        if let Some(raised) = raised {
            self.wait_for_hosts(raised)?;
        }
        Ok(result)
    }

    /// Waits until every live host decides by a new version of the catalogue.
    fn wait_for_hosts(&self, raised: Raised) -> Result<()> {
        let until = Instant::now() + raised.patience;
        loop {
            let unaware = self.writer().ledger.backend.unaware(raised.version)?;
            if unaware.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(StoreError::Database(format!(
                    "the change is made, but the host {} may still decide by what was there before: `cairn host list` shows whether it \
                     is alive, and `cairn host end` ends it",
                    unaware.join(", the host ")
                )));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Commits the open batch, then runs `work` in a separate transaction, which is on disk when this returns.
fn alone<B: SqlBackend, T, E: From<StoreError>>(
    writer: &mut Writer<B>,
    by: Caller<'_>,
    work: impl FnOnce(Access<'_>) -> Result<Result<T, E>, SqlError>,
) -> Result<T, E> {
    let ledger = &mut writer.ledger;
    ledger.commit()?;
    ledger.begin()?;
    // An operator's writes bypass the cached rows.
    ledger.overlay.forget();
    let access = Access::new(ledger.backend.sql(), &writer.env, by);
    match in_savepoint(access.sql, || work(access)) {
        Ok(result) => {
            ledger.commit()?;
            result
        }
        Err(error) => {
            let lost = ledger.backend.failed(&error);
            Ok(ledger.settled(Err(lost))?)
        }
    }
}

/// Runs `work` in a savepoint: its writes are undone when it is refused.
///
/// # Errors
/// The outer one is the database's: what is left of the transaction is unknown, so the whole batch is lost.
fn in_savepoint<T, E>(
    sql: &dyn Sql,
    work: impl FnOnce() -> Result<Result<T, E>, SqlError>,
) -> Result<Result<T, E>, SqlError> {
    sql.savepoint("SAVEPOINT operation")?;
    let result = work()?;
    if result.is_err() {
        sql.savepoint("ROLLBACK TO SAVEPOINT operation")?;
    }
    sql.savepoint("RELEASE SAVEPOINT operation")?;
    Ok(result)
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A transaction in which an operator makes changes.
pub struct Admin<'a> {
    access: Access<'a>,
    /// The first error of the database. It makes the transaction fail, even if the operator's code ignores it.
    fault: Option<SqlError>,
    /// Why the operator makes the changes, for the audit.
    reason: Option<String>,
}

/// Returns the error for a row that does not exist.
pub fn not_found(noun: &str, id: &str) -> TaskError {
    TaskError::new("NotFound", format!("there is no {noun} `{id}`"))
}

impl<'a> Admin<'a> {
    /// Returns a view that sees the changes made so far.
    pub fn view(&self) -> View<'a> {
        View(Access::new(
            self.access.sql,
            self.access.env,
            self.access.by,
        ))
    }

    /// Runs a statement of portable SQL that writes, and returns how many rows it changed. Parameters are named `$1`, `$2`, …; the
    /// statement must use each. [`view`](Self::view) sees the changes, and a refused operation rolls them back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the statement is wrong or names other parameters.
    pub fn execute(&mut self, statement: &str, parameters: &[Cell]) -> Result<usize> {
        let changed = self.access.sql.execute(statement, parameters);
        changed.map_err(|error| self.judge(error))
    }

    /// Runs a statement like [`execute`](Self::execute) that has `RETURNING`, and returns its rows.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn returning(&mut self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>> {
        let rows = self.access.sql.returning(statement, parameters);
        rows.map_err(|error| self.judge(error))
    }

    /// Makes this process the owner of a project until the change is made: only its owner may change its rows. Returns whether it was not
    /// before: then what was read of the project may be old. [`rules`](Self::rules) does this by itself.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when a live host owns it.
    pub fn own(&mut self, project_id: &str) -> Result<bool> {
        match self.sql(|sql| sql.own(project_id))? {
            Owning::Had => Ok(false),
            Owning::Claimed => Ok(true),
            Owning::Elsewhere { host, pid } => Err(StoreError::Elsewhere { host, pid }),
        }
    }

    /// Runs rules over rows in the operator's transaction; their changes are written to the transaction when this returns. Runs them again
    /// if they changed rows of a project that had no owner.
    ///
    /// # Errors
    /// Those of `rules`; [`StoreError::Elsewhere`] when they changed rows of a project that a live host owns.
    pub fn rules<T>(&mut self, rules: impl Fn(&mut Rows<'_>) -> Result<T, Stop>) -> Result<T> {
        let access = self.access;
        let mut overlay = Overlay::new(usize::MAX);
        let mut draft = Draft::new(access.now);
        // No flow creates these rows.
        let made = Made::new();
        loop {
            let services = access.env.domains().services();
            let rows = Rows::new(&mut overlay, &mut draft, access.by, &made, services);
            let mut owners = BTreeSet::new();
            let (result, _) = rows.run(|rows| {
                let answer = rules(rows)?;
                owners = rows.owners();
                Ok(answer)
            });
            match result {
                Ok(answer) => {
                    let mut has_claimed = false;
                    for project in owners {
                        has_claimed |= self.own(&project)?;
                    }
                    if has_claimed {
                        overlay = Overlay::new(usize::MAX);
                        draft = Draft::new(access.now);
                        continue;
                    }
                    let written = overlay.written();
                    return match rows::write(access.sql, &written) {
                        Ok(()) => Ok(answer),
                        Err(NotWritten::Failed(error)) => Err(self.lost(error)),
                        Err(NotWritten::Behind(row)) => Err(self.lost(SqlError {
                            message: behind(&row),
                            impact: Impact::Lost,
                        })),
                    };
                }
                Err(Stop::Refused(error)) => return Err(error.into()),
                Err(Stop::Missing) => {
                    let fetched = match rows::fetch(access.sql, draft.take_wants()) {
                        Ok(fetched) => fetched,
                        Err(error) => return Err(self.lost(error)),
                    };
                    overlay.accept(&fetched);
                    draft.answered(overlay.begin_fetch(), fetched);
                }
            }
        }
    }

    /// Runs statements through the connection.
    fn sql<T>(&mut self, run: impl FnOnce(&dyn Sql) -> Result<T, SqlError>) -> Result<T> {
        run(self.access.sql).map_err(|error| self.judge(error))
    }

    /// Records an error unless it left the transaction as it was.
    fn judge(&mut self, error: SqlError) -> StoreError {
        match error.impact {
            Impact::None => error.into(),
            Impact::Lost | Impact::Suspect => self.lost(error),
        }
    }

    /// Records an error after which the state of the transaction is unknown.
    fn lost(&mut self, error: SqlError) -> StoreError {
        let lost = StoreError::Lost(error.message.clone());
        self.fault.get_or_insert(error);
        lost
    }

    /// Returns the settings of the store, and its clock.
    pub(super) fn env(&self) -> &'a Env {
        self.access.env
    }

    /// Returns the operator who makes the changes.
    pub fn requester(&self) -> &'a Identity {
        self.access.by.requester
    }

    /// Says why the operator makes the changes that follow, for the audit.
    pub fn because(&mut self, reason: Option<&str>) {
        self.reason = reason.map(str::to_owned);
    }

    /// Returns why the operator makes the changes.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns the time of the changes.
    pub fn now(&self) -> Timestamp {
        self.access.now
    }

    /// Refuses callers who are not admins; `what` completes "only an admin may …".
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn require_admin(&self, what: &str) -> Result<()> {
        if self.requester().is_admin {
            return Ok(());
        }
        Err(TaskError::new("AdminRequired", format!("only an admin may {what}")).into())
    }

    /// Writes a component; replaces a damaged one.
    pub(crate) fn write_component(&mut self, component: &Component<'_>) -> Result<()> {
        self.sql(|sql| components::write(sql, component))
    }

    /// Makes this process the owner of a message's project, as the dispatcher of another host may be about to send the message. Changes the
    /// message, and records the change. `after` is its new state; `None` if it is removed.
    ///
    /// # Errors
    /// `NotFound` when the statement changes nothing; `noun` says what there is none of.
    fn change_message(
        &mut self,
        id: &str,
        action: &str,
        noun: &str,
        after: Option<&str>,
        statement: &str,
        parameters: &[Cell],
    ) -> Result<()> {
        let found = "SELECT project_id, state, topic, method FROM outbox WHERE id = $1";
        let found = self.sql(|sql| sql.query(found, &[id.into()]))?;
        let Some(found) = found.first().map(|row| Columns(row)) else {
            return Err(not_found(noun, id).into());
        };
        let project_id = found.optional_text(0)?.unwrap_or_default();
        let before =
            json!({"state": found.text(1)?, "topic": found.text(2)?, "method": found.text(3)?});
        self.own(&project_id)?;
        if self.execute(statement, parameters)? == 0 {
            return Err(not_found(noun, id).into());
        }
        self.record(Change {
            action,
            subject: id,
            project_id: Some(&project_id),
            before,
            after: after.map_or(Value::Null, |state| json!({"state": state})),
            ..Change::default()
        })
    }

    /// Marks a message as acknowledged.
    ///
    /// # Errors
    /// `NotFound` when no ready message has this id; [`StoreError::Elsewhere`].
    pub fn ack_cast(&mut self, id: &str) -> Result<()> {
        let statement = "UPDATE outbox SET state = 'acked' WHERE id = $1 AND state = 'ready'";
        let parameters = [id.into()];
        self.change_message(
            id,
            "outbox.ack",
            "ready message",
            Some("acked"),
            statement,
            &parameters,
        )
    }

    /// Publishes a message at once, and from its first attempt: one that is `failed`, or waits after an attempt, or was made without a
    /// transport.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound` when there is none of these; [`StoreError::Elsewhere`].
    pub fn retry_cast(&mut self, id: &str) -> Result<()> {
        self.require_admin("send messages again")?;
        let statement = "UPDATE outbox SET state = 'sending', attempts = 0, due_at = $2, since = $2
             WHERE id = $1 AND state IN ('failed', 'sending', 'ready')";
        let parameters = [id.into(), self.now().into()];
        self.change_message(
            id,
            "outbox.retry",
            "undelivered message",
            Some("sending"),
            statement,
            &parameters,
        )
    }

    /// Removes a message that is `failed`, `sending` or `ready`. It may have left: a receiver that did not answer may have it.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound` when there is none.
    pub fn discard_cast(&mut self, id: &str) -> Result<()> {
        self.require_admin("discard messages")?;
        let statement =
            "DELETE FROM outbox WHERE id = $1 AND state IN ('failed', 'sending', 'ready')";
        let parameters = [id.into()];
        self.change_message(
            id,
            "outbox.discard",
            "undelivered message",
            None,
            statement,
            &parameters,
        )
    }

    /// Inserts rows unchanged, for a start state that was recorded elsewhere: table -> rows. Columns are those of the tables.
    ///
    /// # Errors
    /// [`StoreError::Lost`] for a table or column that does not exist.
    pub fn import(&mut self, rows: &BTreeMap<String, Vec<Object>>) -> Result<()> {
        for (table, rows) in rows {
            for row in rows {
                let names: Vec<String> = row.keys().map(|name| quoted(name)).collect();
                let marks: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
                let statement = format!(
                    "INSERT INTO {} ({}) VALUES ({})",
                    quoted(table),
                    names.join(", "),
                    marks.join(", ")
                );
                let cells: Option<Vec<Cell>> = row.values().map(cell).collect();
                let cells = cells.ok_or_else(|| {
                    let message = format!("a row of `{table}` has a number that no column holds");
                    StoreError::Database(message)
                })?;
                self.execute(&statement, &cells)?;
            }
        }
        Ok(())
    }
}

/// Converts a JSON value to a cell; `None` for a number that is not whole.
fn cell(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Int(i64::from(*flag)),
        Value::Number(number) => Cell::Int(number.as_i64()?),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().as_str().into(),
    })
}
