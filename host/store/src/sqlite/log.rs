//! Checkpoints the write-ahead log outside of the commit path: a thread copies committed pages into the database, and a long log
//! is restarted between two batches.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use cairn_model::crash::{CrashPoint, reach};

use super::file::Held;
use super::open;

/// The lengths at which the write-ahead log is copied and restarted, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct WalConfig {
    /// A longer log is copied into the database.
    pub copy_above: u64,
    /// A longer log is restarted between two batches once it is copied.
    pub restart_above: u64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            copy_above: 4 << 20,
            restart_above: 16 << 20,
        }
    }
}

/// Commits between two checks of the log's length.
const COMMITS: u64 = 16;

/// The pause between two copies.
const PAUSE: Duration = Duration::from_millis(50);

/// The log of a database on disk.
pub(super) struct Log {
    database: Held,
    log: PathBuf,
    config: WalConfig,
    /// Whether the log is long enough to be restarted; set by the thread that copies.
    is_long: Arc<AtomicBool>,
    copier: Option<Copier>,
}

/// The thread that copies.
struct Copier {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn of(database: &Held, config: WalConfig) -> Self {
        Self {
            log: database.file.beside("-wal"),
            database: database.clone(),
            config,
            is_long: Arc::default(),
            copier: None,
        }
    }

    /// Wakes the thread that copies, if the log is long. To be called after each commit, with the number of commits so far.
    pub(super) fn committed(&mut self, commits: u64) {
        if !commits.is_multiple_of(COMMITS) {
            return;
        }
        let length = fs::metadata(&self.log).map_or(0, |file| file.len());
        if length <= self.config.copy_above {
            return;
        }
        if self.copier.is_none() {
            match self.start() {
                Ok(copier) => self.copier = Some(copier),
                // SQLite copies the log when the database is closed.
                Err(error) => {
                    tracing::warn!(%error, "the thread that copies the log did not start")
                }
            }
        }
        if let Some(wake) = self.copier.as_ref().and_then(|copier| copier.wake.as_ref()) {
            // When the channel is full the thread is already woken.
            let _ = wake.try_send(());
        }
    }

    /// Restarts a log that has become long. No transaction may be open.
    pub(super) fn shorten(&self, connection: &Connection, patience: Duration) {
        if !self.is_long.swap(false, Ordering::Relaxed) {
            return;
        }
        // Does not wait for a reader that uses the log.
        let quick = connection.busy_timeout(Duration::ZERO);
        if let Err(error) = quick.and_then(|()| checkpoint(connection, "RESTART")) {
            tracing::debug!(%error, "the log was not restarted");
        }
        if let Err(error) = connection.busy_timeout(patience) {
            tracing::warn!(%error, "SQLite does not wait for other processes");
        }
    }

    fn start(&self) -> std::io::Result<Copier> {
        let (wake, awake) = sync_channel(1);
        let (database, is_long) = (self.database.clone(), Arc::clone(&self.is_long));
        let most = self.config.restart_above;
        let thread = std::thread::Builder::new()
            .name("cairn-log".to_owned())
            .spawn(move || copy_when_woken(&database, &awake, most, &is_long))?;
        Ok(Copier {
            wake: Some(wake),
            thread: Some(thread),
        })
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that copies the log panicked");
        }
    }
}

fn copy_when_woken(database: &Held, awake: &Receiver<()>, most: u64, is_long: &AtomicBool) {
    let connection = match open::again(database) {
        Ok(connection) => connection,
        Err(error) => return tracing::warn!(%error, "the log is not copied"),
    };
    // The writer checkpoints and removes the log when it closes, unless the log belongs to another database by then.
    open::leave_files(&connection);
    while awake.recv().is_ok() {
        match checkpoint(&connection, "PASSIVE") {
            Ok(length) => is_long.store(length > most, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the log was not copied"),
        }
        reach(CrashPoint::LogCopied);
        std::thread::sleep(PAUSE);
    }
}

/// Runs a checkpoint; returns the length of the log in bytes.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u64> {
    let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let frames: i64 =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            row.get(1)
        })?;
    Ok(u64::try_from(frames).unwrap_or(0) * u64::from(page))
}
