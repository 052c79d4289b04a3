//! Whose turn it is to write. SQLite lets whoever asks first after a commit write next, which is nearly always the busy host
//! that asks at once; so everybody who wants to write passes a turnstile first, and a busy host waits there behind others.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at a turnstile that another holds.
const LOOK: Duration = Duration::from_micros(500);

/// A file whose lock is held while its holder waits to write. In it stands the process that wrote last.
pub(super) struct Turnstile(File);

/// The turn; it ends when this is dropped.
pub(super) struct Turn<'a>(&'a File);

impl Turnstile {
    /// The turnstile in a folder of locks.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(folder.join("turnstile"))?))
    }

    /// Waits for the turn, but not longer than `patience`; `None` when others had it all that time.
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

    /// The process that wrote last: while the database is locked, the one that locked it.
    pub(super) fn last_writer(&self) -> Option<u32> {
        let mut pid = [0; 4];
        self.0.read_exact_at(&mut pid, 0).ok()?;
        Some(u32::from_le_bytes(pid))
    }

    /// Notes that this process writes.
    pub(super) fn mark(&self) -> io::Result<()> {
        let pid = std::process::id();
        if self.last_writer() == Some(pid) {
            return Ok(());
        }
        self.0.write_all_at(&pid.to_le_bytes(), 0)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the turnstile stays closed until this process ends");
        }
    }
}
