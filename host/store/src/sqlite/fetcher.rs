//! Fetching rows that rules need, beside the writer: nobody waits for the writer while the database is read.

use rusqlite::Connection;

use cairn_effects::rows::{Draft, Fetched, Fetching, Wants};

use super::file::Held;
use super::rows;
use super::tx::describe;
use super::writer::Writer;
use super::{Sqlite, open};
use crate::StoreError;

/// How often rows are fetched beside the writer before they are fetched in its place: other processes that write may make
/// each fetch worthless.
const BESIDE: usize = 3;

/// A connection that only reads.
pub(super) struct Fetcher {
    connection: Option<Connection>,
    /// How often the writer had opened its connection anew when this one was opened.
    reopened: u64,
    /// The files that the writer has open; `None` in memory, where nobody else can read.
    held: Option<Held>,
}

/// What comes of a run of rules.
enum Run<T> {
    Done(T),
    Needs(Fetching, Wants),
}

impl Fetcher {
    pub(super) fn new(held: Option<Held>) -> Self {
        Self {
            connection: None,
            reopened: 0,
            held,
        }
    }

    /// Reads rows. `reopened` is how often the writer opened its connection anew: what another one knows of the file may be
    /// wrong then, too.
    fn fetch(&mut self, reopened: u64, wants: Wants) -> Result<Fetched, StoreError> {
        let Some(held) = &self.held else {
            return Err(StoreError::Database(
                "a database in memory has one connection".to_owned(),
            ));
        };
        if std::mem::replace(&mut self.reopened, reopened) != reopened {
            self.connection = None;
        }
        let connection = match &self.connection {
            Some(connection) => connection,
            None => {
                let opened = self.connection.insert(open::again(held)?);
                // The writer's connection is the one that is closed last.
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

impl Sqlite {
    /// Runs rules on the writer until no row that they need is missing.
    ///
    /// # Errors
    /// Those of `rules`; [`StoreError::Database`] when rows cannot be read beside the writer, which leaves the batch as it is;
    /// [`StoreError::Lost`] when they cannot be read in its place.
    pub(super) fn with_rows<T>(
        &self,
        mut rules: impl FnMut(&mut Writer, &mut Draft) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let mut draft = Draft::new(self.clock.now());
        let mut arrived: Option<(Fetching, Fetched)> = None;
        let mut fetches = 0;
        loop {
            let (run, reopened) = self.write(|writer| {
                let run = run(writer, &mut draft, arrived.take(), fetches, &mut rules);
                (run, writer.reopened)
            });
            let (fetching, wants) = match run? {
                Run::Done(done) => return Ok(done),
                Run::Needs(fetching, wants) => (fetching, wants),
            };
            fetches += 1;
            let fetched = self.shared.fetcher.lock().fetch(reopened, wants)?;
            arrived = Some((fetching, fetched));
        }
    }
}

/// Runs rules with what has arrived. After [`BESIDE`] fetches, and in memory, rows are fetched here.
fn run<T>(
    writer: &mut Writer,
    draft: &mut Draft,
    arrived: Option<(Fetching, Fetched)>,
    fetches: usize,
    rules: &mut impl FnMut(&mut Writer, &mut Draft) -> Result<Option<T>, StoreError>,
) -> Result<Run<T>, StoreError> {
    if let Some((fetching, fetched)) = arrived
        && writer.overlay.is_current(&fetching)
    {
        writer.overlay.accept(&fetched);
        draft.answered(fetching, fetched);
    }
    loop {
        if let Some(done) = rules(writer, draft)? {
            if fetches > 0 {
                writer.overlay.shrink();
            }
            return Ok(Run::Done(done));
        }
        let wants = draft.take_wants();
        if writer.held.is_some() && fetches < BESIDE {
            return Ok(Run::Needs(writer.overlay.begin_fetch(), wants));
        }
        // Nobody else writes while a batch is open.
        writer.begin()?;
        let fetching = writer.overlay.begin_fetch();
        let fetched = match rows::fetch(&writer.connection, wants) {
            Ok(fetched) => fetched,
            // SQLite may have ended the transaction.
            Err(error) => return Err(writer.lose(&error)),
        };
        writer.overlay.accept(&fetched);
        draft.answered(fetching, fetched);
    }
}
