//! The store on SQLite: the only place that names rusqlite.

pub mod admin;
mod batch;
pub mod control;
mod entries;
mod facts;
mod fetcher;
mod file;
mod gate;
mod idempotency;
mod inbox;
mod journal;
mod lease;
mod log;
mod lookup;
mod open;
mod origin;
mod quota;
mod restore;
mod row;
mod rows;
mod session;
#[cfg(test)]
mod tests;
mod turnstile;
mod tx;
pub mod view;
mod writer;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use cairn_effects::effect::{Answer, Applied, Effect, Query};
use cairn_effects::event::{Entry, Event};
use cairn_effects::keyring::MasterKey;
use cairn_effects::volumes::Setup;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::FlowId;
use cairn_model::idempotency::IdempotencyConfig;
use cairn_model::quota::QuotaConfig;
use cairn_model::value::Value;

use crate::{Caller, Store, StoreError, WhenDurable};

use entries::Written;
use fetcher::Fetcher;
use gate::Gate;
use inbox::{Inbox, Message};
use lease::Host;
use log::Log;
use turnstile::Turnstile;
use writer::Writer;

pub use control::Watch;
pub use file::DatabaseFile;
pub use log::LogConfig;
pub use restore::Restore;

/// How the store behaves.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// Limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// How long idempotency keys are kept.
    pub idempotency: IdempotencyConfig,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// Where the master key of the key store is; it is made when the first key is. `None` keeps one in memory.
    pub master_key: Option<PathBuf>,
    /// When a batch is committed though nobody waits at a barrier.
    pub batch: BatchConfig,
    /// How long this process may be stopped before another one takes its flows over.
    pub lease: Duration,
    /// How long to wait for another process that writes.
    pub patience: Duration,
    /// When the write-ahead log is copied into the database.
    pub log: LogConfig,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            quota: QuotaConfig::default(),
            idempotency: IdempotencyConfig::default(),
            default_volume_type: None,
            master_key: None,
            batch: BatchConfig::default(),
            lease: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            log: LogConfig::default(),
        }
    }
}

/// When a batch is committed though nobody waits at a barrier.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// When it has been open this long, so that other processes see and may write.
    pub age: Duration,
    /// When it holds this many events and effects.
    pub events: usize,
    /// When this many flows wait for it.
    pub waiting: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            age: Duration::from_millis(6),
            events: 10_000,
            waiting: 32,
        }
    }
}

/// One database, written through one connection.
pub struct Sqlite {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    flusher: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    /// Reads the rows that rules need. Dropped before the writer, whose connection is closed last.
    fetcher: Mutex<Fetcher>,
    writer: Gate<Writer>,
    /// Rung when a batch opens, and when the store closes.
    inbox: Inbox,
}

/// What effects and queries work with, besides the connection.
struct Env {
    config: SqliteConfig,
    clock: Arc<dyn Clock>,
    master_key: std::sync::OnceLock<MasterKey>,
}

impl Env {
    fn new(config: SqliteConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            master_key: std::sync::OnceLock::new(),
        }
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            quota: &self.config.quota,
            default_volume_type: self.config.default_volume_type.as_deref(),
            master_key_file: self.config.master_key.as_deref(),
            master_key: &self.master_key,
        }
    }
}

impl Sqlite {
    /// Opens the database at `path`, and makes or migrates it. Locks are kept in a folder beside it, `<path>.locks`. Symbolic
    /// links are followed first, so that whatever leads to the database finds the same locks.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is no database, or was made by a newer version; [`StoreError::Clock`];
    /// `InvalidInput` when `path` cannot name a database, or is a second name of one, or when something stands beside it that
    /// must not: see [`DatabaseFile::exists`], [`Restore`].
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let file = DatabaseFile::named(path);
        let locks = file.beside(".locks");
        let failed = |error: std::io::Error| {
            StoreError::Database(format!(
                "{}: {error}: check that you may write to the folder of the database",
                locks.display()
            ))
        };
        clock.now().check()?;
        // The database first: its errors say more.
        let (connection, held) = open::at(&file)?;
        std::fs::create_dir_all(&locks).map_err(failed)?;
        let turnstile = Turnstile::open(&locks).map_err(failed)?;
        let host = Host::new(Some(locks), config.lease);
        let log = Log::of(&held, config.log);
        let mut writer = Writer::new(connection, host, Env::new(config, clock));
        writer.held = Some(held);
        writer.turnstile = Some(turnstile);
        writer.log = Some(log);
        Self::with_writer(writer)
    }

    /// A database that is gone with its last handle.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no memory for it; [`StoreError::Clock`].
    pub fn in_memory(config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        clock.now().check()?;
        let host = Host::new(None, config.lease);
        let connection = open::in_memory()?;
        Self::with_writer(Writer::new(connection, host, Env::new(config, clock)))
    }

    fn with_writer(writer: Writer) -> Result<Self, StoreError> {
        writer
            .connection
            .busy_timeout(writer.env.config.patience)
            .map_err(|error| StoreError::Database(error.to_string()))?;
        let (clock, long) = (Arc::clone(&writer.env.clock), Arc::clone(&writer.long));
        let shared = Arc::new(Shared {
            fetcher: Mutex::new(Fetcher::new(writer.held.clone())),
            writer: Gate::before(writer, long),
            inbox: Inbox::default(),
        });
        let flusher = std::thread::Builder::new()
            .name("cairn-flusher".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.keep_up()
            })
            .map_err(|error| StoreError::Database(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            shared,
            clock,
            flusher: Some(flusher),
        })
    }

    /// How many batches were committed since the database was opened.
    pub fn commits(&self) -> u64 {
        self.writer().commits
    }

    fn writer(&self) -> AtWork<'_> {
        self.shared.writer()
    }

    /// Runs `work` on the writer, after what was said before; wakes the flusher when that gave it something to do, and tells
    /// those who waited.
    fn write<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> T {
        let (result, told, opened) = {
            let mut writer = self.writer();
            let was_idle = writer.batch.is_none();
            writer.take_in(&self.shared.inbox);
            let result = work(&mut writer);
            let opened = was_idle && writer.batch.is_some();
            (result, std::mem::take(&mut writer.told), opened)
        };
        if opened {
            self.shared.inbox.ring();
        }
        tell(told);
        result
    }
}

fn tell(told: Vec<batch::Told>) {
    for (then, result) in told {
        then.tell(result);
    }
}

/// The writer, in one thread's hand. When that thread panics, nothing of the open batch may ever be committed.
struct AtWork<'a> {
    writer: MutexGuard<'a, Writer>,
    /// It did before.
    panics: bool,
}

impl Deref for AtWork<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for AtWork<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if !self.panics && std::thread::panicking() {
            self.writer.abandon();
        }
    }
}

impl Shared {
    fn writer(&self) -> AtWork<'_> {
        AtWork {
            writer: self.writer.enter(),
            panics: std::thread::panicking(),
        }
    }

    /// Commits batches that are old, and renews the lease of a process that has nothing to write.
    fn keep_up(&self) {
        let mut commits = 0;
        loop {
            let mut writer = self.writer();
            let something_said = writer.take_in(&self.inbox);
            if writer.closing {
                return;
            }
            let old = writer.env.config.batch.age;
            let wait = match (writer.batch_age(), writer.host.renewal()) {
                (Some(age), _) => Some(old.saturating_sub(age)),
                (None, Some(at)) if writer.barred.is_none() => {
                    Some(at.saturating_duration_since(Instant::now()))
                }
                (None, _) => None,
            };
            if wait.is_some_and(|wait| wait.is_zero()) {
                // Opening a batch renews a lease that is due. Whoever waits for a batch is told that it was lost.
                if let Err(error) = writer.begin().and_then(|()| writer.commit()) {
                    tracing::warn!(%error, "what flows did could not be written to the database, or this process's lease was not renewed");
                    writer.host.postpone();
                }
                let told = std::mem::take(&mut writer.told);
                drop(writer);
                tell(told);
                continue;
            }
            // While somebody is at work this looks every now and then, and need not be woken for each batch.
            let something_done = std::mem::replace(&mut commits, writer.commits) != writer.commits;
            let at_work = something_said || something_done || writer.batch.is_some();
            let wait = match at_work {
                true => Some(wait.map_or(old, |wait| wait.min(old))),
                false => wait,
            };
            let told = std::mem::take(&mut writer.told);
            drop(writer);
            tell(told);
            self.inbox.wait(wait, at_work);
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.write(|writer| {
            writer.closing = true;
            if let Err(error) = writer.commit() {
                tracing::warn!(%error, "what was done last could not be written to the database");
            }
            writer.leave_files_of_others();
        });
        self.shared.inbox.ring_now();
        // The flusher itself may hold the last handle, of a flow that waited for its commit.
        let flusher = self.flusher.take();
        let flusher =
            flusher.filter(|flusher| flusher.thread().id() != std::thread::current().id());
        if let Some(flusher) = flusher
            && flusher.join().is_err()
        {
            tracing::error!("the flusher panicked");
        }
    }
}

impl Store for Sqlite {
    fn append(&self, flow: FlowId, events: &[Event]) -> Result<Timestamp, StoreError> {
        // Text is made before anybody has to wait for it.
        let now = self.clock.now();
        let mut written = Written::default();
        events.iter().for_each(|event| written.add(now, event));
        self.write(|writer| writer.append(flow, now, events, written))
    }

    fn post(&self, flow: FlowId, events: &Arc<[Event]>) -> Timestamp {
        let at = self.clock.now();
        let mut written = Written::default();
        events.iter().for_each(|event| written.add(at, event));
        let is_full = self.shared.inbox.leave(Message::Events {
            flow,
            at,
            events: Arc::clone(events),
            written,
        });
        if is_full {
            self.write(|_| ());
        }
        at
    }

    fn apply(&self, by: Caller<'_>, effect: &Effect) -> Result<(Answer, Applied), StoreError> {
        self.with_rows(|writer, draft| writer.apply(by, effect, draft))
    }

    fn undo(&self, applied: &Applied) -> Result<(), StoreError> {
        self.with_rows(|writer, draft| writer.undo(applied, draft))
    }

    fn query(&self, by: Caller<'_>, query: &Query) -> Result<Value, StoreError> {
        self.with_rows(|writer, draft| writer.query(by, query, draft))
    }

    fn barrier(&self, flow: FlowId) -> Result<(), StoreError> {
        self.write(|writer| writer.barrier(flow))
    }

    fn when_durable(&self, flow: FlowId, then: WhenDurable) {
        // One a flow, after events of its own, which wait when there are too many: so these need not.
        let _ = self.shared.inbox.leave(Message::Waits(flow, then));
    }

    fn flush(&self) {
        // Whoever waits for the batch is told what became of it.
        let _ = self.write(Writer::commit);
    }

    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        self.write(|writer| writer.load(flow))
    }

    fn release(&self, flow: FlowId) {
        let _ = self.shared.inbox.leave(Message::Released(flow));
    }
}
