//! The open batch: how it begins, what is written at its end, who is told, and what happens when it is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, params};

use cairn_effects::event::FlowState;
use cairn_effects::rows::{Key, Mark, RowId};
use cairn_effects::volumes::Message;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::FlowId;

use super::file::Held;
use super::gate::Long;
use super::open;
use super::rows::{self, NotWritten};
use super::session::Session;
use super::turnstile::{Turn, Turnstile};
use super::tx::{describe, execute, scalar};
use super::writer::Writer;
use crate::{StoreError, WhenDurable};

/// Effects and events of many flows, on the way to one commit.
pub(super) struct Batch {
    opened: Instant,
    /// Flows with entries that are not written yet.
    pub(super) touched: Vec<FlowId>,
    pub(super) events: usize,
    /// Flows that wait for the commit, and whom to tell.
    pub(super) waiting: Vec<WhenDurable>,
    /// Messages that are not in memory, of flows that ended: their keys, and how their flows ended.
    pub(super) unsettled: Vec<(Key, FlowState)>,
}

/// Somebody who waited for a batch, and what became of it.
pub(super) type Told = (WhenDurable, Result<(), StoreError>);

impl Writer {
    pub(super) fn batch_age(&self) -> Option<Duration> {
        self.batch.as_ref().map(|batch| batch.opened.elapsed())
    }

    /// Opens a batch, unless one is open: waits for the turn to write, and finds out whether this process still may.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        if self.batch.is_some() {
            return Ok(());
        }
        self.check_barred()?;
        self.env.clock.now().check()?;
        self.shorten_log();
        begin_transaction(
            &self.connection,
            self.turnstile.as_ref(),
            self.env.config.patience,
        )?;
        self.batch = Some(Batch {
            opened: Instant::now(),
            touched: Vec::new(),
            events: 0,
            waiting: Vec::new(),
            unsettled: Vec::new(),
        });
        reach(CrashPoint::BatchOpened);
        if let Err(error) = self.look_for_others() {
            return Err(self.lose(&error));
        }
        match self.host.holds(&self.connection, self.env.clock.now()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.bar(StoreError::Fenced)),
            Err(error) => Err(self.lose(&error)),
        }
    }

    /// [`begin`](Self::begin), for somebody who takes flows in hand: this process is known as a host from here on.
    pub(super) fn begin_as_host(&mut self) -> Result<(), StoreError> {
        if !self.host.is_registered() {
            self.host.lock().map_err(|error| {
                StoreError::Database(format!(
                    "a lock beside the database cannot be made: {error}; check that you may write to the folder"
                ))
            })?;
            reach(CrashPoint::HostLocked);
        }
        self.begin()?;
        if !self.host.is_registered() {
            if let Err(error) = self.host.register(&self.connection, self.env.clock.now()) {
                return Err(self.lose(&error));
            }
            reach(CrashPoint::HostRegistered);
        }
        Ok(())
    }

    /// When the open batch is lost, so is the flow.
    pub(super) fn touch(&mut self, flow: FlowId) {
        if let (Some(batch), Some(session)) = (&mut self.batch, self.flows.get_mut(&flow))
            && !std::mem::replace(&mut session.in_batch, true)
        {
            batch.touched.push(flow);
        }
    }

    /// Writes the entries of the batch and commits it.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if self.batch.is_none() {
            return Ok(());
        }
        if self.connection.is_autocommit() {
            // After an error while something was read.
            return Err(self.lose_because("SQLite ended the transaction".to_owned()));
        }
        let long = Long::begin(&self.long);
        let result = self.write_batch().and_then(|mark| {
            reach(CrashPoint::BatchWritten);
            execute(&self.connection, "COMMIT")?;
            Ok(mark)
        });
        drop(long);
        let mark = match result {
            Ok(mark) => mark,
            Err(NotWritten::Sqlite(error)) => return Err(self.lose(&error)),
            Err(NotWritten::Behind(row)) => return Err(self.lose_behind(&row)),
        };
        reach(CrashPoint::BatchCommitted);
        // Before anybody is told: what is in a file without its name is not durable.
        if let Some(Err(gone)) = self.held.as_ref().map(Held::check) {
            return Err(self.bar(gone));
        }
        self.commits += 1;
        self.host.settle(true);
        if let Some(log) = &mut self.log {
            log.committed(self.commits);
        }
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        // A fetch cannot tell by the journal whether it saw rows that came without an entry: repairs of an effect that was
        // refused, an operator's, and messages that were settled on the disk.
        let is_marked = batch.events > 0 && batch.unsettled.is_empty();
        let wrote_rows = self.overlay.has_changes() || !batch.unsettled.is_empty();
        self.overlay.committed(mark);
        if wrote_rows && !is_marked {
            self.overlay.forget();
        }
        for flow in batch.touched {
            if let Some(session) = self.flows.get_mut(&flow) {
                session.committed();
                if session.handles == 0 {
                    self.flows.remove(&flow);
                }
            }
        }
        let waiting = batch.waiting.into_iter();
        self.told.extend(waiting.map(|then| (then, Ok(()))));
        Ok(())
    }

    /// Commits a batch that is large.
    pub(super) fn commit_if_large(&mut self) -> Result<(), StoreError> {
        let most = self.env.config.batch.events;
        match &self.batch {
            Some(batch) if batch.events >= most => self.commit(),
            _ => Ok(()),
        }
    }

    /// The batch is gone: every flow with an event in it must be loaded anew.
    pub(super) fn lose(&mut self, error: &rusqlite::Error) -> StoreError {
        let lost = StoreError::Lost(describe(error));
        tracing::error!(reason = %describe(error), "a commit failed: what flows did since the one before is taken back");
        self.roll_back(&lost);
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            // What the connection knows of the file may be wrong by now.
            self.reopen();
        }
        lost
    }

    /// The batch is gone: a row is not there that was.
    fn lose_behind(&mut self, row: &RowId) -> StoreError {
        self.lose_because(format!(
            "{} `{}` is not what it was: another program has written to the database",
            row.table.noun,
            row.key.first()
        ))
    }

    fn lose_because(&mut self, reason: String) -> StoreError {
        tracing::error!(%reason, "a commit failed: what flows did since the one before is taken back");
        let lost = StoreError::Lost(reason);
        self.roll_back(&lost);
        lost
    }

    /// Forgets rows when another process has written since this was asked last.
    pub(super) fn look_for_others(&mut self) -> rusqlite::Result<()> {
        let version: Option<i64> = scalar(&self.connection, "PRAGMA data_version", [])?;
        if std::mem::replace(&mut self.data_version, version) != version {
            self.overlay.forget();
        }
        Ok(())
    }

    /// Refuses what a process asks that may write nothing more.
    pub(super) fn check_barred(&self) -> Result<(), StoreError> {
        self.barred.clone().map_or(Ok(()), Err)
    }

    /// Writes nothing more from here on; the open batch is lost.
    fn bar(&mut self, why: StoreError) -> StoreError {
        tracing::error!(reason = %why, "nothing is written any more");
        self.barred = Some(why.clone());
        self.roll_back(&why);
        let sessions = self.flows.values_mut();
        sessions.for_each(|session| session.lost = Some(why.clone()));
        why
    }

    /// Call before the connection is closed: what has the names of its files by now may belong to another process.
    pub(super) fn leave_files_of_others(&self) {
        if self.held.as_ref().is_some_and(|held| held.check().is_err()) {
            open::leave_files(&self.connection);
        }
    }

    /// Drops a batch that somebody's panic left half done: nothing of it may ever be committed.
    pub(super) fn abandon(&mut self) {
        if self.batch.is_some() || !self.connection.is_autocommit() {
            tracing::error!(
                "a panic came before a commit: what flows did since the one before is taken back"
            );
            self.roll_back(&StoreError::Lost(
                "a panic came before the commit".to_owned(),
            ));
        }
    }

    /// Something that a flow said was not taken: nothing more is, until it is loaded anew.
    pub(super) fn forsake(&mut self, flow: FlowId, why: StoreError) {
        let session = self.flows.entry(flow);
        let session = session.or_insert_with(|| Session::with_handles(1));
        session.lost.get_or_insert(why);
    }

    fn roll_back(&mut self, why: &StoreError) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction that failed could not be rolled back");
            self.reopen();
        }
        self.host.settle(false);
        self.overlay.forget();
        let Some(batch) = self.batch.take() else {
            return;
        };
        for flow in batch.touched {
            if let Some(session) = self.flows.get_mut(&flow) {
                session.lost.get_or_insert_with(|| why.clone());
                session.in_batch = false;
                session.pending.clear();
            }
        }
        let waiting = batch.waiting.into_iter();
        self.told
            .extend(waiting.map(|then| (then, Err(why.clone()))));
    }

    /// Opens the connection anew; the old one ends its transaction with it.
    fn reopen(&mut self) {
        let Some(held) = &self.held else { return };
        let patience = self.env.config.patience;
        let opened = open::again(held).and_then(|connection| {
            let patient = connection.busy_timeout(patience);
            patient.map_err(|error| open::database(held.file.path(), &error))?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                self.connection = connection;
                self.data_version = None;
                self.reopened += 1;
            }
            Err(error) => tracing::error!(%error, "the database could not be opened anew"),
        }
    }

    /// Writes what the batch came to: rows, journals, flows. Returns how far the database gets by it.
    fn write_batch(&mut self) -> Result<Mark, NotWritten> {
        let Some(batch) = &self.batch else {
            return Ok(Mark::default());
        };
        for (message, state) in &batch.unsettled {
            let id = RowId::of::<Message>(message.clone());
            if !self.overlay.is_pending(&id) {
                settle_cast(&self.connection, message, *state)?;
            }
        }
        self.statements
            .write(&self.connection, &self.overlay.written())?;
        reach(CrashPoint::RowsWritten);
        for flow in &batch.touched {
            if let Some(session) = self.flows.get(flow) {
                self.write_flow(*flow, session)?;
            }
        }
        Ok(rows::mark(&self.connection)?)
    }

    fn write_flow(&self, flow: FlowId, session: &Session) -> rusqlite::Result<()> {
        if session.pending.is_empty() {
            return Ok(());
        }
        let id = flow.0.as_bytes();
        self.connection
            .prepare_cached("INSERT INTO journal (flow, first, entries) VALUES (?, ?, ?)")?
            .execute(params![id, session.next_entry, session.pending.pack()])?;
        let Some(head) = &session.head else {
            return Ok(());
        };
        let updated = session.pending.last().unwrap_or(head.created.at);
        let length = session.next_entry + session.pending.len() as i64;
        // Who rests is in nobody's hand.
        let host = (!session.rests()).then_some(self.host.id.0.as_bytes());
        if head.written {
            self.connection
                .prepare_cached(
                    "UPDATE flows SET state = ?, error = ?, updated_at = ?, host = ?, entries = ?, incomplete = ?, stuck = NULL
                     WHERE id = ?",
                )?
                .execute(params![
                    head.state.as_str(),
                    head.error,
                    updated.0,
                    host,
                    length,
                    session.is_incomplete(),
                    id
                ])?;
        } else {
            let created = &head.created;
            self.connection
                .prepare_cached(
                    "INSERT INTO flows (id, name, project_id, user_id, plan, state, error, created_at, updated_at, host, entries,
                         incomplete)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    id,
                    created.name,
                    created.project_id,
                    created.user_id,
                    created.plan.map(|plan| plan.to_string()),
                    head.state.as_str(),
                    head.error,
                    created.at.0,
                    updated.0,
                    host,
                    length,
                    session.is_incomplete()
                ])?;
        }
        Ok(())
    }
}

/// Settles a message of a flow that ended: it is ready when the flow succeeded, and withdrawn when it did not.
fn settle_cast(connection: &Connection, message: &Key, state: FlowState) -> rusqlite::Result<()> {
    let statement = if state == FlowState::Success {
        "UPDATE outbox SET state = 'ready' WHERE id = ? AND state = 'held'"
    } else {
        "DELETE FROM outbox WHERE id = ? AND state = 'held'"
    };
    connection
        .prepare_cached(statement)?
        .execute([message.first()])?;
    Ok(())
}

/// Waits for the turn to write; `None` in memory, where nobody else is.
pub(super) fn take_turn(
    turnstile: Option<&Turnstile>,
    patience: Duration,
) -> Result<Option<Turn<'_>>, StoreError> {
    match turnstile.map(|turnstile| turnstile.take(patience)) {
        None => Ok(None),
        Some(Ok(Some(turn))) => Ok(Some(turn)),
        Some(Ok(None)) => Err(busy(turnstile, patience)),
        Some(Err(error)) => Err(StoreError::Database(format!(
            "the turnstile beside the database cannot be locked: {error}"
        ))),
    }
}

/// Waits for the turn, and takes the write lock.
fn begin_transaction(
    connection: &Connection,
    turnstile: Option<&Turnstile>,
    patience: Duration,
) -> Result<(), StoreError> {
    let turn = take_turn(turnstile, patience)?;
    match execute(connection, "BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            return Err(busy(turnstile, patience));
        }
        Err(error) => return Err(StoreError::Database(describe(&error))),
    }
    mark(turnstile);
    drop(turn);
    Ok(())
}

/// Notes that this process writes: for the messages of those that wait for it.
pub(super) fn mark(turnstile: Option<&Turnstile>) {
    if let Some(turnstile) = turnstile
        && let Err(error) = turnstile.mark()
    {
        tracing::debug!(%error, "the turnstile was not marked");
    }
}

/// That another process did not let go of the database in time.
pub(super) fn busy(turnstile: Option<&Turnstile>, patience: Duration) -> StoreError {
    // Another program than Cairn may hold the lock: then whoever wrote last is most likely gone.
    let lives = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    let who = turnstile.and_then(Turnstile::last_writer).filter(lives);
    let who = who.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    );
    StoreError::Database(format!(
        "{who} has locked the database for more than {}: if it is stopped, let it continue (kill -CONT) or end it, and try again",
        humantime::format_duration(patience)
    ))
}
