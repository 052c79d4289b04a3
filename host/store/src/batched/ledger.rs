//! The open batch: how it begins, what is written at its end, who is told, and what happens when it is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use cairn_effects::rows::Overlay;
use cairn_model::clock::Clock;
use cairn_model::id::FlowId;

use super::gate::Long;
use super::session::Session;
use crate::backend::{self, Backend, Fault, GivenKey};
use crate::{StoreError, WhenDurable};

/// Bytes of the cache of rows.
const CACHE: usize = 64 << 20;

/// Effects and events of many flows, on the way to one commit.
pub(crate) struct Batch {
    opened: Instant,
    /// Flows with entries that are not written yet.
    touched: Vec<FlowId>,
    pub(super) events: usize,
    /// Flows that wait for the commit, and whom to tell.
    pub(super) waiting: Vec<WhenDurable>,
    /// Idempotency keys that its flows were given.
    pub(super) keys: Vec<GivenKey>,
}

/// Somebody who waited for a batch, and what became of it.
pub(crate) type Told = (WhenDurable, Result<(), StoreError>);

/// A database with what is about to be written to it: rows in memory, flows that are worked on, the open batch.
pub(crate) struct Ledger<B> {
    pub(crate) backend: B,
    clock: Arc<dyn Clock>,
    /// What rules look at and change; a commit writes it to the database.
    pub(crate) overlay: Overlay,
    /// Why this process may write nothing more.
    pub(crate) barred: Option<StoreError>,
    pub(crate) batch: Option<Batch>,
    pub(super) flows: HashMap<FlowId, Session>,
    /// Who is to be told, once the writer is free, what became of a batch.
    pub(super) told: Vec<Told>,
    /// How many batches were committed.
    pub(crate) commits: u64,
    /// Set during a commit, which takes long.
    pub(super) long: Arc<AtomicBool>,
}

impl<B: Backend> Ledger<B> {
    pub(super) fn new(backend: B, clock: Arc<dyn Clock>) -> Self {
        Self {
            backend,
            clock,
            overlay: Overlay::new(CACHE),
            barred: None,
            batch: None,
            flows: HashMap::new(),
            told: Vec::new(),
            commits: 0,
            long: Arc::default(),
        }
    }

    pub(super) fn batch_age(&self) -> Option<Duration> {
        self.batch.as_ref().map(|batch| batch.opened.elapsed())
    }

    /// Opens a batch, unless one is open: waits for the turn to write, and finds out whether this process still may.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        if self.batch.is_some() {
            return Ok(());
        }
        self.check_barred()?;
        self.clock.now().check()?;
        let begun = self.backend.begin(&*self.clock);
        if !matches!(begun, Err(Fault::NotBegun(_))) {
            self.batch = Some(Batch {
                opened: Instant::now(),
                touched: Vec::new(),
                events: 0,
                waiting: Vec::new(),
                keys: Vec::new(),
            });
        }
        if self.settled(begun)? {
            self.overlay.forget();
        }
        Ok(())
    }

    /// [`begin`](Self::begin), for somebody who takes flows in hand: this process is known as a host from here on.
    pub(super) fn begin_as_host(&mut self) -> Result<(), StoreError> {
        self.backend.announce()?;
        self.begin()?;
        let registered = self.backend.register(self.clock.now());
        self.settled(registered)
    }

    /// What a backend answered in an open batch, which is lost with its faults.
    pub(crate) fn settled<T>(&mut self, answer: Result<T, Fault>) -> Result<T, StoreError> {
        answer.map_err(|fault| match fault {
            Fault::NotBegun(error) => error,
            Fault::Lost(reason) => self.lose(reason),
            Fault::Barred(why) => self.bar(why),
        })
    }

    /// When the open batch is lost, so is the flow.
    pub(super) fn touch(&mut self, flow: FlowId) {
        if let (Some(batch), Some(session)) = (&mut self.batch, self.flows.get_mut(&flow))
            && !std::mem::replace(&mut session.in_batch, true)
        {
            batch.touched.push(flow);
        }
    }

    /// Writes the batch whole, and ends it.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        let long = Long::begin(&self.long);
        let flows = batch.touched.iter().filter_map(|flow| {
            let session = self.flows.get(flow)?;
            session.entries(*flow)
        });
        let written = self.backend.commit(&backend::Batch {
            rows: self.overlay.written(),
            keys: &batch.keys,
            flows: flows.collect(),
        });
        drop(long);
        let mark = self.settled(written)?;
        self.commits += 1;
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        // A fetch cannot tell by the journal whether it saw rows that came without an entry: repairs of an effect that was
        // refused, and an operator's.
        let is_marked = batch.events > 0;
        let wrote_rows = self.overlay.has_changes();
        self.overlay.committed(mark);
        if wrote_rows && !is_marked {
            self.overlay.forget();
        }
        for flow in batch.touched {
            if let Some(session) = self.flows.get_mut(&flow) {
                session.committed();
                if session.handles == 0 {
                    self.flows.remove(&flow);
                }
            }
        }
        let waiting = batch.waiting.into_iter();
        self.told.extend(waiting.map(|then| (then, Ok(()))));
        Ok(())
    }

    /// The batch is gone: every flow with an event in it must be loaded anew.
    pub(crate) fn lose(&mut self, reason: String) -> StoreError {
        tracing::error!(%reason, "a commit failed: what flows did since the one before is taken back");
        let lost = StoreError::Lost(reason);
        self.roll_back(&lost);
        lost
    }

    /// Forgets rows when others have written since this was asked last.
    ///
    /// # Errors
    /// [`StoreError::Database`]: reading changes nothing, so there is no batch to lose.
    pub(super) fn look_for_others(&mut self) -> Result<(), StoreError> {
        if self
            .backend
            .have_others_written()
            .map_err(StoreError::Database)?
        {
            self.overlay.forget();
        }
        Ok(())
    }

    /// Refuses what a process asks that may write nothing more.
    pub(super) fn check_barred(&self) -> Result<(), StoreError> {
        self.barred.clone().map_or(Ok(()), Err)
    }

    /// Writes nothing more from here on; the open batch is lost.
    fn bar(&mut self, why: StoreError) -> StoreError {
        tracing::error!(reason = %why, "nothing is written any more");
        self.barred = Some(why.clone());
        self.roll_back(&why);
        let sessions = self.flows.values_mut();
        sessions.for_each(|session| session.lost = Some(why.clone()));
        why
    }

    /// Drops a batch that somebody's panic left half done: nothing of it may ever be committed.
    pub(super) fn abandon(&mut self) {
        if self.batch.is_some() || self.backend.is_open() {
            tracing::error!(
                "a panic came before a commit: what flows did since the one before is taken back"
            );
            self.roll_back(&StoreError::Lost(
                "a panic came before the commit".to_owned(),
            ));
        }
    }

    /// Something that a flow said was not taken: nothing more is, until it is loaded anew.
    pub(super) fn forsake(&mut self, flow: FlowId, why: StoreError) {
        let session = self.flows.entry(flow);
        let session = session.or_insert_with(|| Session::with_handles(1));
        session.lost.get_or_insert(why);
    }

    fn roll_back(&mut self, why: &StoreError) {
        self.backend.roll_back();
        self.overlay.forget();
        let Some(batch) = self.batch.take() else {
            return;
        };
        for flow in batch.touched {
            if let Some(session) = self.flows.get_mut(&flow) {
                session.lost.get_or_insert_with(|| why.clone());
                session.in_batch = false;
                session.pending.clear();
            }
        }
        let waiting = batch.waiting.into_iter();
        self.told
            .extend(waiting.map(|then| (then, Err(why.clone()))));
    }
}
