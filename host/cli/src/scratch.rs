//! Folders that are gone when the process ends, however that comes.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::exit::Failure;
use crate::interrupt::{self, Interrupt};

/// A temporary folder that is gone with this, and also when a signal ends the process.
pub struct Scratch {
    folder: TempDir,
    _interrupt: Interrupt,
}

impl Scratch {
    /// An empty folder.
    ///
    /// # Errors
    /// When it cannot be made, or signals cannot be caught.
    pub fn new() -> Result<Self, Failure> {
        // Before there is something to remove.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes a folder in which threads may still work: the process is about to end.
pub fn remove(folder: &Path) {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        // A file that was made meanwhile stands in the way.
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
    }
}
