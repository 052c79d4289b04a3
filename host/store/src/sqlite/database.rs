//! SQLite as a backend: one connection writes, and locks in a folder beside the database coordinate processes.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use cairn_effects::event::Entry;
use cairn_effects::keyring::{Fingerprint, Keyring};
use cairn_effects::rows::{Cell, Fetched, Mark, Services, Wants};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::{FlowId, HostId};

use super::facts::{self, FINGERPRINT};
use super::fetcher::Fetcher;
use super::file::Held;
use super::lease::LeaseHolder;
use super::log::Log;
use super::rows;
use super::sql::failed;
use super::statement::{database, describe, execute, scalar};
use super::turnstile::{Turn, Turnstile};
use super::{lease, open, outbox, schema};
use crate::StoreError;
use crate::audit_row::AuditRow;
use crate::backend::{Backend, Batch, Fault, FlowEntries, GivenKey, Holder, Taken, behind};
use crate::deliver::Outbox;
use crate::operators::{idempotency, lookup};
use crate::sql::{Impact, Outlook, Sql, SqlBackend, SqlError};
use crate::statements::{NotWritten, Statements};
use crate::survivor::Survivor;
use crate::survivors;

/// An open database.
pub struct Database {
    /// `None` in memory. Dropped before the connection, which must be closed last because it removes the log.
    log: Option<Log>,
    pub(super) connection: Connection,
    statements: Statements,
    /// SQLite's `data_version`, which changes when another process writes.
    data_version: Option<i64>,
    /// How often the connection was reopened.
    reopened: u64,
    /// Whether the connection's state may be stale after an error, so that it must be reopened.
    is_suspect: bool,
    /// The open files; `None` in memory.
    pub(super) held: Option<Held>,
    /// `None` in memory.
    pub(super) turnstile: Option<Turnstile>,
    pub(super) holder: LeaseHolder,
    /// The master key, which a rule may generate, is among them.
    services: Services,
    /// Hosts that are gone, whose locks are not removed yet.
    gone: Vec<HostId>,
    /// How long to wait while another process writes.
    pub(super) patience: Duration,
    commits: u64,
}

impl Database {
    /// Creates the backend of a file, which this process shares with others.
    pub(super) fn on_disk(
        connection: Connection,
        held: Held,
        holder: LeaseHolder,
        turnstile: Turnstile,
        log: Log,
        patience: Duration,
        services: Services,
    ) -> Self {
        Self {
            services,
            log: Some(log),
            held: Some(held),
            turnstile: Some(turnstile),
            ..Self::in_memory(connection, holder, patience)
        }
    }

    /// Creates the backend of a database in memory, which no other process uses.
    pub(super) fn in_memory(
        connection: Connection,
        holder: LeaseHolder,
        patience: Duration,
    ) -> Self {
        Self {
            log: None,
            connection,
            statements: Statements::default(),
            data_version: None,
            reopened: 0,
            is_suspect: false,
            held: None,
            turnstile: None,
            holder,
            services: Services::default(),
            gone: Vec::new(),
            patience,
            commits: 0,
        }
    }

    /// Returns the fault of a batch that is lost because of an SQLite error.
    pub(super) fn lost(&mut self, error: &rusqlite::Error) -> Fault {
        self.is_suspect |= error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        Fault::Lost(describe(error))
    }

    /// Reopens the connection; closing the old one ends its transaction.
    fn reopen(&mut self) {
        let Some(held) = &self.held else { return };
        let opened = open::again(held).and_then(|connection| {
            let patient = connection.busy_timeout(self.patience);
            patient.map_err(|error| database(held.file.path(), &error))?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                self.connection = connection;
                self.data_version = None;
                self.reopened += 1;
            }
            Err(error) => tracing::error!(%error, "the database could not be reopened"),
        }
    }

    fn look_for_others(&mut self) -> rusqlite::Result<bool> {
        let version: Option<i64> = scalar(&self.connection, "PRAGMA data_version", [])?;
        Ok(std::mem::replace(&mut self.data_version, version) != version)
    }

    /// Writes the rows, keys, journals and flows of a batch. Returns the database's mark after it.
    fn write(&mut self, batch: &Batch<'_>) -> Result<Mark, NotWritten<rusqlite::Error>> {
        rows::write(&self.connection, &mut self.statements, &batch.rows)?;
        reach(CrashPoint::RowsWritten);
        for key in batch.keys {
            give_key(&self.connection, key)?;
        }
        for flow in &batch.flows {
            self.write_flow(flow)?;
        }
        for row in &batch.audit {
            rows::prepare(&self.connection, AuditRow::INSERT, &row.cells())?.raw_execute()?;
        }
        Ok(rows::mark(&self.connection)?)
    }

    /// Writes the fingerprint of a master key that was generated since the last commit, with the first key that it sealed.
    fn write_fingerprint(&mut self) -> Result<Option<Fingerprint>, Fault> {
        let keyring = self.services.get::<Keyring>();
        let Some(own) = keyring.and_then(Keyring::unrecorded) else {
            return Ok(None);
        };
        let text = own.to_string();
        let recorded = facts::fact(&self.connection, FINGERPRINT).and_then(|recorded| {
            if recorded.is_none() {
                facts::set_fact(&self.connection, FINGERPRINT, &text)?;
            }
            Ok(recorded)
        });
        match recorded.map_err(|error| self.lost(&error))? {
            Some(recorded) if recorded != text => Err(Fault::Lost(format!(
                "the master key was replaced while this process ran: it has the fingerprint {text}, and the database's keys are \
                 sealed with the one of fingerprint {recorded}"
            ))),
            _ => Ok(Some(own)),
        }
    }

    /// Records in the open batch which hosts without a lease are dead.
    fn note_survivors(&self) -> Result<(), SqlError> {
        for (statement, parameters) in survivors::findings(&self.connection)? {
            self.sql().execute(statement, &parameters)?;
        }
        Ok(())
    }

    fn write_flow(&self, added: &FlowEntries<'_>) -> rusqlite::Result<()> {
        let id = added.flow.0.as_bytes();
        self.connection
            .prepare_cached("INSERT INTO journal (flow, first, entries) VALUES (?, ?, ?)")?
            .execute(params![id, added.first, added.entries])?;
        let Some(row) = &added.row else {
            return Ok(());
        };
        // A flow at rest has no owner.
        let host = (!row.rests).then_some(self.holder.id.0.as_bytes());
        if row.is_new {
            self.connection
                .prepare_cached(
                    "INSERT INTO flows (id, name, project_id, user_id, plan, state, error, created_at, updated_at, host, entries,
                         incomplete, wake_at, forward)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    id,
                    row.name,
                    row.project_id,
                    row.user_id,
                    row.plan.map(|plan| plan.to_string()),
                    row.state.as_str(),
                    row.error,
                    row.created_at.0,
                    row.updated_at.0,
                    host,
                    row.length,
                    row.incomplete,
                    row.wake_at.map(|at| at.0),
                    row.forward
                ])?;
        } else {
            self.connection
                .prepare_cached(
                    "UPDATE flows SET state = ?, error = ?, updated_at = ?, host = ?, entries = ?, incomplete = ?, wake_at = ?,
                         forward = ?, stuck = NULL
                     WHERE id = ?",
                )?
                .execute(params![
                    row.state.as_str(),
                    row.error,
                    row.updated_at.0,
                    host,
                    row.length,
                    row.incomplete,
                    row.wake_at.map(|at| at.0),
                    row.forward,
                    id
                ])?;
        }
        Ok(())
    }
}

impl Backend for Database {
    type Reader = Fetcher;

    fn begin(&mut self, clock: &dyn Clock) -> Result<bool, Fault> {
        if let Some(log) = &self.log {
            log.shorten(&self.connection, self.patience);
        }
        begin_transaction(&self.connection, self.turnstile.as_ref(), self.patience)
            .map_err(Fault::NotBegun)?;
        reach(CrashPoint::BatchOpened);
        let others = self.look_for_others().map_err(|error| self.lost(&error))?;
        match self.holder.holds(&self.connection, clock.now()) {
            Ok(true) => Ok(others),
            Ok(false) => Err(Fault::Barred(StoreError::Fenced)),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<Mark, Fault> {
        if self.connection.is_autocommit() {
            // SQLite may end the transaction after an error in a read.
            return Err(Fault::Lost("SQLite ended the transaction".to_owned()));
        }
        let new_key = self.write_fingerprint()?;
        let written = self.write(batch).and_then(|mark| {
            reach(CrashPoint::BatchWritten);
            execute(&self.connection, "COMMIT")?;
            Ok(mark)
        });
        let mark = written.map_err(|error| match error {
            NotWritten::Failed(error) => self.lost(&error),
            NotWritten::Behind(row) => Fault::Lost(behind(&row)),
        })?;
        reach(CrashPoint::BatchCommitted);
        // Checked before any callback runs: a commit to a file that lost its name is not durable.
        if let Some(Err(gone)) = self.held.as_ref().map(Held::check) {
            return Err(Fault::Barred(gone));
        }
        self.commits += 1;
        if let (Some(fingerprint), Some(keyring)) = (new_key, self.services.get::<Keyring>()) {
            keyring.record(fingerprint);
        }
        self.holder.settle(true);
        if let Some(log) = &mut self.log {
            log.committed(self.commits);
        }
        Ok(mark)
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction that failed could not be rolled back");
            self.is_suspect = true;
        }
        self.holder.settle(false);
        if std::mem::take(&mut self.is_suspect) {
            self.reopen();
        }
    }

    fn have_others_written(&mut self) -> Result<bool, String> {
        self.look_for_others().map_err(|error| describe(&error))
    }

    fn reader(&self) -> Fetcher {
        Fetcher::new(self.held.clone())
    }

    fn reads_beside(&self) -> bool {
        self.held.is_some()
    }

    fn generation(&self) -> u64 {
        self.reopened
    }

    fn fetch(&mut self, wants: Wants) -> Result<Fetched, Fault> {
        // After an error SQLite may have ended the transaction.
        rows::fetch(&self.connection, wants).map_err(|error| self.lost(&error))
    }

    fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, String> {
        lookup::journal(&self.connection, flow).map_err(|error| error.to_string())
    }

    fn domains(&self) -> Vec<String> {
        schema::domains(&self.connection)
    }

    fn key_holder(
        &self,
        project_id: &str,
        key: &str,
        lapsed: Timestamp,
    ) -> Result<Option<Holder>, StoreError> {
        idempotency::holder(&self.connection, project_id, key, lapsed)
    }

    fn announce(&mut self) -> Result<(), StoreError> {
        if self.holder.is_registered() {
            return Ok(());
        }
        self.holder.lock().map_err(|error| {
            StoreError::Database(format!(
                "a lock beside the database cannot be created: {error}; check that you may write to the folder"
            ))
        })?;
        reach(CrashPoint::HostLocked);
        Ok(())
    }

    fn register(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.holder.is_registered() {
            return Ok(());
        }
        let registered = self.holder.register(&self.connection, now);
        registered.map_err(|error| self.lost(&error))?;
        reach(CrashPoint::HostRegistered);
        Ok(())
    }

    fn renewal(&self) -> Option<Instant> {
        self.holder.renewal()
    }

    fn postpone_renewal(&mut self) {
        self.holder.postpone();
    }

    fn take(&mut self, flow: FlowId, now: Timestamp) -> Result<Taken, Fault> {
        let taken = self.holder.take(&self.connection, flow, now);
        taken.map_err(|error| self.lost(&error))
    }

    fn is_untouched(&mut self, flow: FlowId, entries: i64) -> Result<bool, Fault> {
        let statement =
            "SELECT 1 FROM flows WHERE id = ? AND (host IS NULL OR host = ?) AND entries = ?";
        let found = self
            .connection
            .prepare_cached(statement)
            .and_then(|mut statement| {
                let (id, own) = (flow.0.as_bytes(), self.holder.id.0.as_bytes());
                statement
                    .query_row(params![id, own, entries], |_| Ok(()))
                    .optional()
            });
        Ok(found.map_err(|error| self.lost(&error))?.is_some())
    }

    fn put_down(&mut self, flow: FlowId) -> Result<(), Fault> {
        let statement = "UPDATE flows SET host = NULL WHERE id = ? AND host = ?";
        let done = self
            .connection
            .prepare_cached(statement)
            .and_then(|mut statement| {
                statement.execute([flow.0.as_bytes(), self.holder.id.0.as_bytes()])
            });
        done.map(drop).map_err(|error| self.lost(&error))
    }

    fn take_over(&mut self, now: Timestamp, stuck_too: bool) -> Result<Vec<FlowId>, Fault> {
        let taken = self
            .holder
            .take_over(&self.connection, now)
            .and_then(|gone| {
                let flows = lease::in_hand(&self.connection, self.holder.id, stuck_too)?;
                Ok((gone, flows))
            });
        let (gone, flows) = taken.map_err(|error| self.lost(&error))?;
        self.gone = gone;
        self.note_survivors().map_err(|error| self.failed(&error))?;
        Ok(flows)
    }

    fn sweep(&mut self) {
        self.holder.sweep(&std::mem::take(&mut self.gone));
    }

    fn host_id(&self) -> HostId {
        self.holder.id
    }

    fn survivor(&mut self, host: HostId) -> Result<Option<Survivor>, StoreError> {
        Ok(survivors::survivor(&self.connection, host)?)
    }

    fn close(&mut self) {
        self.holder.close(&self.connection);
        // Another process may own the files that have these names now.
        if self.held.as_ref().is_some_and(|held| held.check().is_err()) {
            open::leave_files(&self.connection);
        }
    }
}

impl SqlBackend for Database {
    fn sql(&self) -> &dyn Sql {
        &self.connection
    }

    fn failed(&mut self, error: &SqlError) -> Fault {
        self.is_suspect |= error.impact == Impact::Suspect;
        Fault::Lost(error.message.clone())
    }

    fn host(&self) -> Cell {
        self.holder.id.into()
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        let held = self.held.as_ref();
        let outbox = held.map(outbox::Beside::open).transpose()?;
        Ok(outbox.map(|outbox| Box::new(outbox) as _))
    }

    fn outlook(&self) -> Result<Option<Box<dyn Outlook>>, StoreError> {
        // A database in memory has no other processes.
        let Some(held) = &self.held else {
            return Ok(None);
        };
        let connection = open::read_only(&held.file)?;
        Ok(Some(Box::new(Beside(connection))))
    }
}

/// A connection that only reads, for a process that waits for others.
struct Beside(Connection);

impl Outlook for Beside {
    fn sql(&self) -> &dyn Sql {
        &self.0
    }

    fn version(&self) -> Result<Option<i64>, SqlError> {
        scalar(&self.0, "PRAGMA data_version", []).map_err(failed)
    }
}

/// Gives a key to a flow. The key must be free or have lapsed.
fn give_key(connection: &Connection, given: &GivenKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency_keys (project_id, key, flow, asked) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            given.project_id,
            given.key,
            given.flow.0.as_bytes(),
            given.asked.to_string()
        ])?;
    Ok(())
}

/// Waits for the turn to write; returns `None` in memory, where no other process writes.
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

/// Waits for the turn, then takes SQLite's write lock.
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

/// Records that this process writes, for the error messages of processes that wait for it.
pub(super) fn mark(turnstile: Option<&Turnstile>) {
    if let Some(turnstile) = turnstile
        && let Err(error) = turnstile.mark()
    {
        tracing::debug!(%error, "the turnstile was not marked");
    }
}

/// Returns the error for a database that another process has locked for longer than `patience`.
pub(super) fn busy(turnstile: Option<&Turnstile>, patience: Duration) -> StoreError {
    // A program other than Cairn may hold the lock; the last writer has most likely ended then.
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
