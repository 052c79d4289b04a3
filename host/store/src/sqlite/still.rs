//! Keeps other processes from a database in a file while it is copied elsewhere.

use std::path::Path;
use std::sync::Arc;

use cairn_model::clock::Clock;

use super::file::{DatabaseFile, invalid};
use super::lease::is_anybody_alive;
use super::reader::FileReader;
use super::restore::lock_out_others;
use super::turnstile::{KeptTurn, Turnstile};
use super::{SqliteConfig, database};
use crate::StoreError;

/// A database in a file that no other process works on. Until this is dropped, no process of Cairn can write to it.
pub(crate) struct Still {
    reader: FileReader,
    /// Released last.
    _turn: KeptTurn,
}

impl Still {
    /// Opens the database at `path` for reading, and keeps its turnstile, which every process passes before it writes. Changes nothing in
    /// the database.
    ///
    /// # Errors
    /// `InvalidInput` when a process works on the database or its schema is older; those of [`FileReader::open`].
    pub(crate) fn hold(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let file = DatabaseFile::named(path).locks_in(config.locks.as_deref());
        let locks = file.locks().path;
        // Looked at first, because its errors say more than those of the locks.
        FileReader::open(path, config.clone(), Arc::clone(&clock))?.require_newest()?;
        let failed = |error: std::io::Error| file.failed(&error);
        std::fs::create_dir_all(&locks).map_err(failed)?;
        let turnstile = Turnstile::open(&locks).map_err(failed)?;
        let turn = match turnstile.keep(config.patience).map_err(failed)? {
            Ok(turn) => turn,
            Err(turnstile) => return Err(database::busy(Some(&turnstile), config.patience)),
        };
        // A process that opens the database from here on waits for the turn.
        if is_anybody_alive(&locks) || lock_out_others(&file)?.is_none() {
            return Err(invalid(format!(
                "a process works on {}: end it first, so that the copy is complete",
                file.path().display()
            )));
        }
        let reader = FileReader::open_with(file, config.into(), clock)?;
        Ok(Self {
            reader,
            _turn: turn,
        })
    }

    /// Returns the database.
    pub(crate) fn reader(&self) -> &FileReader {
        &self.reader
    }
}
