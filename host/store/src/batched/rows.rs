//! Fetches rows that rules need without holding the writer, so that no other flow waits while the database is read.

use cairn_effects::rows::{Draft, Fetched, Fetching, Wants};
use cairn_model::stall;

use super::Batched;
use super::writer::Writer;
use crate::StoreError;
use crate::backend::{Backend, Reader as _};

/// How often rows are fetched concurrently before they are fetched in an open batch: writes of other processes can make
/// each concurrent fetch stale.
const BESIDE: usize = 3;

/// The outcome of one run of rules.
enum Run<T> {
    Done(T),
    Needs(Fetching, Wants),
}

impl<B: Backend> Batched<B> {
    /// Runs rules on the writer, and fetches the rows they lack, until none is missing.
    ///
    /// # Errors
    /// Those of `rules`; [`StoreError::Database`] when rows cannot be read concurrently, which leaves the batch as it is;
    /// [`StoreError::Lost`] when they cannot be read in the open batch.
    pub(super) fn with_rows<T>(
        &self,
        mut rules: impl FnMut(&mut Writer<B>, &mut Draft) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let mut draft = Draft::new(self.clock.now());
        let mut arrived: Option<(Fetching, Fetched)> = None;
        let mut fetches = 0;
        loop {
            let (run, generation) = self.write(|writer| {
                let run = run(writer, &mut draft, arrived.take(), fetches, &mut rules);
                (run, writer.ledger.backend.generation())
            });
            let (fetching, wants) = match run? {
                Run::Done(done) => return Ok(done),
                Run::Needs(fetching, wants) => (fetching, wants),
            };
            fetches += 1;
            let fetch = || self.shared.reader.lock().fetch(generation, wants);
            let fetched = stall::during(fetch)?;
            arrived = Some((fetching, fetched));
        }
    }
}

/// Runs rules with the fetched rows. After [`BESIDE`] fetches, and where the backend has no concurrent reader, fetches rows here in an
/// open batch.
fn run<B: Backend, T>(
    writer: &mut Writer<B>,
    draft: &mut Draft,
    arrived: Option<(Fetching, Fetched)>,
    fetches: usize,
    rules: &mut impl FnMut(&mut Writer<B>, &mut Draft) -> Result<Option<T>, StoreError>,
) -> Result<Run<T>, StoreError> {
    if let Some((fetching, fetched)) = arrived
        && writer.ledger.overlay.is_current(&fetching)
    {
        writer.ledger.overlay.accept(&fetched);
        draft.answered(fetching, fetched);
    }
    loop {
        if let Some(done) = rules(writer, draft)? {
            if fetches > 0 {
                writer.ledger.overlay.shrink();
            }
            return Ok(Run::Done(done));
        }
        let wants = draft.take_wants();
        let ledger = &mut writer.ledger;
        if ledger.backend.reads_beside() && fetches < BESIDE {
            return Ok(Run::Needs(ledger.overlay.begin_fetch(), wants));
        }
        // No other process writes while a batch is open.
        ledger.begin()?;
        let fetching = ledger.overlay.begin_fetch();
        let fetched = stall::during(|| ledger.backend.fetch(wants));
        let fetched = ledger.settled(fetched)?;
        ledger.overlay.accept(&fetched);
        draft.answered(fetching, fetched);
    }
}
