//! Temporary folders that are removed when the process ends, also by a signal.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::exit::Failure;
use crate::interrupt::{self, Interrupt};

/// A temporary folder that is removed on drop, and when a signal ends the process.
pub struct Scratch {
    folder: TempDir,
    _interrupt: Interrupt,
}

impl Scratch {
    /// Creates an empty folder.
    ///
    /// # Errors
    /// When it cannot be made, or signals cannot be caught.
    pub fn new() -> Result<Self, Failure> {
        // Before the folder exists, so that no signal leaves it behind.
        let signals = interrupt::catch()?;
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::host(format!("no temporary folder can be made: {error}")))?;
        let path = folder.path().to_owned();
        let interrupt = Interrupt::before_the_end(signals, move || remove(&path))?;
        Ok(Self {
            folder,
            _interrupt: interrupt,
        })
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes a folder in which threads may still write, because the process is about to end.
pub fn remove(folder: &Path) {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        // Fails if a thread created a file meanwhile.
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
    }
}
