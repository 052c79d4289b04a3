//! The outbox as the dispatcher reads it, on a connection of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use rusqlite::Connection;

use cairn_effects::outbox::Message;
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;

use super::file::Held;
use super::open;
use crate::StoreError;
use crate::deliver::{self, Outbox};
use crate::sql::Sql as _;

/// All messages: one process delivers those of a database.
const MINE: &str = "TRUE";

/// Reads messages beside the store. While it holds the lock `deliver` in the folder of locks, no other process delivers.
pub(super) struct Beside {
    connection: Connection,
    path: PathBuf,
    lock: Option<File>,
}

impl Beside {
    pub(super) fn open(held: &Held) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open::read_only(&held.file)?,
            path: held.file.beside(".locks").join("deliver"),
            lock: None,
        })
    }

    fn read(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, StoreError> {
        Ok(self.connection.query(statement, parameters)?)
    }
}

impl Outbox for Beside {
    fn claim(&mut self) -> Result<bool, StoreError> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let failed = |error: std::io::Error| {
            StoreError::Database(format!("{}: {error}", self.path.display()))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&self.path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(self.lock.is_some())
    }

    fn due(&mut self, now: Timestamp, most: usize) -> Result<Vec<Message>, StoreError> {
        deliver::due(
            &|statement, cells| self.read(statement, cells),
            MINE,
            now,
            most,
        )
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        deliver::next_due(&|statement, cells| self.read(statement, cells), MINE)
    }

    fn undelivered(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        deliver::undelivered(&|statement, cells| self.read(statement, cells))
    }

    fn sending(&mut self) -> Result<u64, StoreError> {
        deliver::sending(&|statement, cells| self.read(statement, cells))
    }
}
