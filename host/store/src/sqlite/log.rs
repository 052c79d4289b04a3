//! Copying the write-ahead log into the database, off the path of commits: a thread copies what is committed, and between two
//! batches the log is begun anew when it has become long.

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

/// When the write-ahead log is copied, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct WalConfig {
    /// A log that is longer is copied into the database.
    pub copy_above: u64,
    /// A log that is longer, though it is copied, is begun anew between two batches.
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

/// Commits from one look at the log's length to the next.
const COMMITS: u64 = 16;

/// Between two copies.
const PAUSE: Duration = Duration::from_millis(50);

/// The log of a database on disk.
pub(super) struct Log {
    database: Held,
    log: PathBuf,
    config: WalConfig,
    /// The log is long although it is copied.
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

    /// A batch was committed, the `commits`th.
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
                // SQLite copies when the database is closed.
                Err(error) => {
                    tracing::warn!(%error, "the thread that copies the log did not start")
                }
            }
        }
        if let Some(wake) = self.copier.as_ref().and_then(|copier| copier.wake.as_ref()) {
            // It is awake when the channel is full.
            let _ = wake.try_send(());
        }
    }

    /// Begins the log anew when it has become long. Nothing may be open.
    pub(super) fn shorten(&self, connection: &Connection, patience: Duration) {
        if !self.is_long.swap(false, Ordering::Relaxed) {
            return;
        }
        // A reader in the middle of the log is not waited for.
        let quick = connection.busy_timeout(Duration::ZERO);
        if let Err(error) = quick.and_then(|()| checkpoint(connection, "RESTART")) {
            tracing::debug!(%error, "the log was not begun anew");
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
    // The writer does that, unless the log is another's by then.
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

/// Copies the log; says how long it is, in bytes.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u64> {
    let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let frames: i64 =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            row.get(1)
        })?;
    Ok(u64::try_from(frames).unwrap_or(0) * u64::from(page))
}
