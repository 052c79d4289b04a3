//! Reads rows concurrently with the writer.

use rusqlite::Connection;

use cairn_effects::rows::{Fetched, Wants};

use super::file::Held;
use super::statement::describe;
use super::{open, rows};
use crate::StoreError;
use crate::backend::Reader;

/// A connection that only reads.
pub struct Fetcher {
    connection: Option<Connection>,
    /// The writer's generation when this connection was opened.
    generation: u64,
    /// The files that the writer has open; `None` in memory, where no other connection can read.
    held: Option<Held>,
}

impl Fetcher {
    pub(super) fn new(held: Option<Held>) -> Self {
        Self {
            connection: None,
            generation: 0,
            held,
        }
    }
}

impl Reader for Fetcher {
    fn fetch(&mut self, generation: u64, wants: Wants) -> Result<Fetched, StoreError> {
        let Some(held) = &self.held else {
            return Err(StoreError::Database(
                "a database in memory has only the writer's connection".to_owned(),
            ));
        };
        // When the writer had to reopen its connection, this one's state may be stale too.
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.connection = None;
        }
        let connection = match &self.connection {
            Some(connection) => connection,
            None => {
                let opened = self.connection.insert(open::again(held)?);
                // The writer's connection is closed last, and removes the log.
                open::leave_files(opened);
                opened
            }
        };
        let fetched = rows::fetch_alone(connection, wants);
        fetched.map_err(|error| {
            self.connection = None;
            StoreError::Database(describe(&error))
        })
    }
}
