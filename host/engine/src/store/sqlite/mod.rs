//! The store on SQLite: the only place that names rusqlite.

pub mod admin;
mod changes;
mod effects;
mod keys;
mod lookup;
mod open;
mod quota;
mod row;
mod session;
#[cfg(test)]
mod tests;
mod tx;
pub mod view;
mod volumes;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::effect::{Answer, Applied, Effect, Query};
use crate::event::{Entry, Event};
use crate::id::FlowId;
use crate::keyring::MasterKey;
use crate::quota::QuotaConfig;
use crate::store::{Caller, Store, StoreError};
use crate::value::Value;

use writer::Writer;

/// A batch that nobody waits for is committed when it has been open this long, so that other processes see and may write.
const BATCH_AGE: Duration = Duration::from_millis(4);

/// How the store behaves.
#[derive(Clone, Debug, Default)]
pub struct SqliteConfig {
    /// Limits, refreshes and expiry.
    pub quota: QuotaConfig,
    /// Name of the type of volumes for which none is asked.
    pub default_volume_type: Option<String>,
    /// Where the master key of the key store is; it is made when the first key is. `None` keeps one in memory.
    pub master_key: Option<PathBuf>,
}

/// One database, written through one connection.
pub struct Sqlite {
    shared: Arc<Shared>,
    flusher: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    writer: Mutex<Writer>,
    /// Told when a batch opens, and when the store closes.
    opened: Condvar,
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
}

impl Sqlite {
    /// Opens the database at `path`, and makes or migrates it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be written, is no database, or was made by a newer version.
    pub fn open(
        path: &std::path::Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::with_connection(open::at(path)?, Some(path), config, clock)
    }

    /// A database that is gone with its last handle.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no memory for it.
    pub fn in_memory(config: SqliteConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::with_connection(open::in_memory()?, None, config, clock)
    }

    fn with_connection(
        connection: rusqlite::Connection,
        path: Option<&std::path::Path>,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            writer: Mutex::new(Writer::new(
                connection,
                path.map(PathBuf::from),
                Env::new(config, clock),
            )),
            opened: Condvar::new(),
        });
        let flusher = std::thread::Builder::new()
            .name("cairn-flusher".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.flush_old_batches()
            })
            .map_err(|error| StoreError::Database(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            shared,
            flusher: Some(flusher),
        })
    }

    /// How many transactions were committed since the store was opened.
    pub fn commits(&self) -> u64 {
        self.writer().commits
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.shared.writer()
    }

    /// Runs `work` on the writer, and wakes the flusher when that opened a batch.
    fn write<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> T {
        let mut writer = self.writer();
        let was_open = writer.batch_age().is_some();
        let result = work(&mut writer);
        if !was_open && writer.batch_age().is_some() {
            self.shared.opened.notify_one();
        }
        result
    }
}

impl Shared {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            self.writer.clear_poison();
            let mut writer = poisoned.into_inner();
            writer.abandon();
            writer
        })
    }

    fn flush_old_batches(&self) {
        let mut writer = self.writer();
        while !writer.closing {
            writer = match writer.batch_age() {
                None => self
                    .opened
                    .wait(writer)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(age) if age >= BATCH_AGE => {
                    // Whoever waits for this batch at a barrier is told there that it was lost.
                    if let Err(error) = writer.commit() {
                        tracing::warn!(%error, "a batch was lost");
                    }
                    writer
                }
                Some(age) => {
                    self.opened
                        .wait_timeout(writer, BATCH_AGE - age)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        {
            let mut writer = self.writer();
            writer.closing = true;
            if let Err(error) = writer.commit() {
                tracing::warn!(%error, "the last batch was lost");
            }
        }
        self.shared.opened.notify_one();
        if let Some(flusher) = self.flusher.take()
            && flusher.join().is_err()
        {
            tracing::error!("the flusher panicked");
        }
    }
}

impl Store for Sqlite {
    fn append(&self, flow: FlowId, events: Vec<Event>) -> Result<Timestamp, StoreError> {
        self.write(|writer| writer.append(flow, events))
    }

    fn apply(&self, by: Caller<'_>, effect: &Effect) -> Result<(Answer, Applied), StoreError> {
        self.write(|writer| writer.apply(by, effect))
    }

    fn undo(&self, applied: &Applied) -> Result<(), StoreError> {
        self.write(|writer| writer.undo(applied))
    }

    fn query(&self, by: Caller<'_>, query: &Query) -> Result<Value, StoreError> {
        self.write(|writer| writer.query(by, query))
    }

    fn barrier(&self, flow: FlowId) -> Result<(), StoreError> {
        self.write(|writer| writer.barrier(flow))
    }

    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        self.write(|writer| writer.load(flow))
    }

    fn release(&self, flow: FlowId) {
        self.write(|writer| writer.release(flow));
    }
}
