//! Fetching rows that rules need, beside the writer: nobody waits for the writer while the database is read.

use rusqlite::Connection;

use super::file::Held;
use super::rows;
use super::tx::describe;
use super::writer::Writer;
use super::{Sqlite, open};
use crate::rows::{Draft, Fetched, Fetching, Wants};
use crate::store::StoreError;

/// How often rows are fetched beside the writer before they are fetched in its place: other processes that write may make
/// each fetch worthless.
const BESIDE: usize = 3;

/// A connection that only reads.
pub(super) struct Fetcher {
    connection: Option<Connection>,
    /// The files that the writer has open; `None` in memory, where nobody else can read.
    held: Option<Held>,
}

/// What comes of a run of rules.
enum Run<T> {
    Done(T),
    Needs(Wants),
}

impl Fetcher {
    pub(super) fn new(held: Option<Held>) -> Self {
        Self {
            connection: None,
            held,
        }
    }

    fn fetch(&mut self, held: &Held, wants: Wants) -> Result<Fetched, StoreError> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(open::again(held)?),
        };
        // The writer's connection is the one that is closed last.
        open::leave_files(connection);
        let fetched = rows::fetch_alone(connection, wants);
        fetched.map_err(|error| {
            self.connection = None;
            StoreError::Database(describe(&error))
        })
    }
}

impl Sqlite {
    /// Runs rules on the writer until no row that they need is missing.
    pub(super) fn with_rows<T>(
        &self,
        mut rules: impl FnMut(&mut Writer, &mut Draft) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let mut draft = Draft::new(self.clock.now());
        let mut under_way: Option<Fetching> = None;
        let mut fetched: Option<Fetched> = None;
        let mut fetches = 0;
        loop {
            let run = self.write(|writer| -> Result<Run<T>, StoreError> {
                if let (Some(fetching), Some(fetched)) = (&under_way, fetched.take())
                    && writer.overlay.is_current(fetching)
                {
                    writer.overlay.accept(&fetched);
                    draft.answered(fetching, fetched);
                }
                loop {
                    if let Some(done) = rules(writer, &mut draft)? {
                        return Ok(Run::Done(done));
                    }
                    let wants = draft.take_wants();
                    if writer.held.is_some() && fetches < BESIDE {
                        under_way = Some(writer.overlay.begin_fetch());
                        return Ok(Run::Needs(wants));
                    }
                    // Nobody else writes while a batch is open.
                    writer.begin()?;
                    let fetching = writer.overlay.begin_fetch();
                    let fetched = rows::fetch(&writer.connection, wants)
                        .map_err(|error| StoreError::Database(describe(&error)))?;
                    writer.overlay.accept(&fetched);
                    draft.answered(&fetching, fetched);
                }
            })?;
            let wants = match run {
                Run::Done(done) => return Ok(done),
                Run::Needs(wants) => wants,
            };
            fetches += 1;
            let mut fetcher = self.shared.fetcher.lock();
            if let Some(held) = fetcher.held.clone() {
                fetched = Some(fetcher.fetch(&held, wants)?);
            }
        }
    }
}
