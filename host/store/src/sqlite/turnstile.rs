//! Makes write access fair between processes. SQLite gives the write lock to the first process that asks after a commit, nearly
//! always the busy host that asks at once. So every writer first takes a turnstile lock, where a busy host waits behind others.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The pause between two attempts at a turnstile that another process holds.
const LOOK: Duration = Duration::from_micros(500);

/// A file whose lock a process holds while it waits for the write lock. It contains the id of the process that wrote last.
pub(super) struct Turnstile(File);

/// A guard of the turn, which ends when this is dropped.
pub(super) struct Turn<'a>(&'a File);

/// A turn that ends when this is dropped.
#[cfg(feature = "postgres")]
pub(super) struct KeptTurn(File);

impl Turnstile {
    /// Opens the turnstile in a folder of locks.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(folder.join("turnstile"))?))
    }

    /// Waits for the turn, at most for `patience`; returns `None` when other processes had it for that time.
    pub(super) fn take(&self, patience: Duration) -> io::Result<Option<Turn<'_>>> {
        let since = Instant::now();
        loop {
            match self.0.try_lock() {
                Ok(()) => return Ok(Some(Turn(&self.0))),
                Err(TryLockError::WouldBlock) if since.elapsed() < patience => {
                    std::thread::sleep(LOOK);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    #[cfg(feature = "postgres")]
    /// Waits for the turn like [`take`](Self::take), and keeps it as a value of its own. Returns the turnstile when other processes had the
    /// turn for that time.
    pub(super) fn keep(self, patience: Duration) -> io::Result<Result<KeptTurn, Self>> {
        let Some(turn) = self.take(patience)? else {
            return Ok(Err(self));
        };
        // The lock stays until the file is closed.
        std::mem::forget(turn);
        self.mark()?;
        Ok(Ok(KeptTurn(self.0)))
    }

    /// Returns the process that wrote last; while the database is locked, the one that locked it.
    pub(super) fn last_writer(&self) -> Option<u32> {
        let mut pid = [0; 4];
        self.0.read_exact_at(&mut pid, 0).ok()?;
        Some(u32::from_le_bytes(pid))
    }

    /// Records that this process writes.
    pub(super) fn mark(&self) -> io::Result<()> {
        let pid = std::process::id();
        if self.last_writer() == Some(pid) {
            return Ok(());
        }
        self.0.write_all_at(&pid.to_le_bytes(), 0)
    }
}

#[cfg(feature = "postgres")]
impl Drop for KeptTurn {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the turnstile cannot be unlocked and stays locked until this process ends");
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the turnstile cannot be unlocked and stays locked until this process ends");
        }
    }
}
