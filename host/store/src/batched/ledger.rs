//! The open batch: begins it, commits it, collects the callbacks of flows that wait for it, and rolls it back when it is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use cairn_effects::rows::Overlay;
use cairn_model::clock::Clock;
use cairn_model::id::FlowId;
use cairn_model::stall;

use super::gate::Long;
use super::session::Session;
use super::trouble::Trouble;
use crate::audit_row::AuditRow;
use crate::backend::{self, Backend, Fault, GivenKey};
use crate::observer::{Commit, Observer};
use crate::{StoreError, WhenDurable};

/// Capacity of the row cache, in bytes.
const CACHE: usize = 64 << 20;

/// Effects and events of many flows that one commit makes durable.
pub(crate) struct Batch {
    opened: Instant,
    /// Flows with entries that are not written yet.
    touched: Vec<FlowId>,
    pub(super) events: usize,
    /// Callbacks of flows that wait for the commit.
    pub(super) waiting: Vec<WhenDurable>,
    /// How many of them are of flows that rest; the others go on meanwhile.
    pub(super) resting: usize,
    /// Idempotency keys that its flows were given.
    pub(super) keys: Vec<GivenKey>,
    /// Operations on its flows, with the flows as they were before.
    pub(super) audit: Vec<(FlowId, AuditRow)>,
}

/// A callback to run, and the outcome of its batch.
pub(crate) type Told = (WhenDurable, Result<(), StoreError>);

/// A database with the state that is not written yet: the overlay of rows, the sessions of flows, the open batch.
pub(crate) struct Ledger<B> {
    pub(crate) backend: B,
    clock: Arc<dyn Clock>,
    /// The rows that rules read and change; a commit writes the dirty ones to the database.
    pub(crate) overlay: Overlay,
    /// Why this process must not write again.
    pub(crate) barred: Option<StoreError>,
    pub(crate) batch: Option<Batch>,
    pub(super) flows: HashMap<FlowId, Session>,
    /// Callbacks to run once the writer is released.
    pub(super) told: Vec<Told>,
    /// The number of committed batches.
    pub(crate) commits: u64,
    /// Why the last batch could not be written.
    pub(crate) trouble: Arc<Trouble>,
    /// Who is told of commits.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Set during a commit, a long operation for the [`Gate`](super::gate::Gate).
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
            trouble: Arc::default(),
            observer: None,
            long: Arc::default(),
        }
    }

    pub(super) fn batch_age(&self) -> Option<Duration> {
        self.batch.as_ref().map(|batch| batch.opened.elapsed())
    }

    /// Opens a batch, unless one is open: waits for the write lock, and checks that this process may still write.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        if self.batch.is_some() {
            return Ok(());
        }
        self.check_barred()?;
        self.clock.now().check()?;
        let begun = stall::during(|| self.backend.begin(&*self.clock));
        if !matches!(begun, Err(Fault::NotBegun(_))) {
            self.batch = Some(Batch {
                opened: Instant::now(),
                touched: Vec::new(),
                events: 0,
                waiting: Vec::new(),
                resting: 0,
                keys: Vec::new(),
                audit: Vec::new(),
            });
        }
        if self.settled(begun)? {
            self.overlay.forget();
        }
        Ok(())
    }

    /// Opens a batch like [`begin`](Self::begin) and registers this process as a host, which can own flows.
    pub(crate) fn begin_as_host(&mut self) -> Result<(), StoreError> {
        self.backend.announce()?;
        self.begin()?;
        let registered = self.backend.register(self.clock.now());
        self.settled(registered)
    }

    /// Converts a backend's answer; a fault in an open batch rolls the batch back.
    pub(crate) fn settled<T>(&mut self, answer: Result<T, Fault>) -> Result<T, StoreError> {
        answer.map_err(|fault| match fault {
            Fault::NotBegun(error) => {
                if matches!(error, StoreError::Database(_)) {
                    self.trouble.note(error.to_string());
                }
                error
            }
            Fault::Lost(reason) => self.lose(reason),
            Fault::Barred(why) => self.bar(why),
        })
    }

    /// Adds the flow to the open batch: when the batch is lost, the flow must be loaded again.
    pub(super) fn touch(&mut self, flow: FlowId) {
        if let (Some(batch), Some(session)) = (&mut self.batch, self.flows.get_mut(&flow))
            && !std::mem::replace(&mut session.in_batch, true)
        {
            batch.touched.push(flow);
        }
    }

    /// Commits the open batch.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        let long = Long::begin(&self.long);
        let flows = batch.touched.iter().filter_map(|flow| {
            let session = self.flows.get(flow)?;
            session.entries(*flow)
        });
        let audit = batch.audit.iter().map(|(flow, row)| AuditRow {
            after: self.flows.get(flow).map(Session::shown).unwrap_or_default(),
            ..row.clone()
        });
        let writes = backend::Batch {
            rows: self.overlay.written(),
            keys: &batch.keys,
            flows: flows.collect(),
            audit: audit.collect(),
        };
        let began = self.observer.as_ref().map(|_| self.clock.now());
        let written = stall::during(|| self.backend.commit(&writes));
        drop(long);
        if let (Some(observer), Some(began), Ok(_)) = (&self.observer, began, &written) {
            observer.committed(&Commit {
                began,
                ended: self.clock.now(),
                flows: &writes.flows,
            });
        }
        drop(writes);
        let mark = self.settled(written)?;
        self.commits += 1;
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        // The mark counts journal entries, so it does not show whether a fetch saw rows that were written without an entry:
        // repairs by a refused effect, and an operator's changes.
        let is_marked = batch.events > 0;
        let wrote_rows = self.overlay.has_changes();
        // An empty batch may succeed on a full disk.
        if is_marked || wrote_rows {
            self.trouble.is_over();
        }
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

    /// Rolls the batch back: every flow with an event in it must be loaded again.
    pub(crate) fn lose(&mut self, reason: String) -> StoreError {
        tracing::error!(%reason, "a commit failed: events and effects since the previous commit are rolled back");
        self.trouble.note(reason.clone());
        let lost = StoreError::Lost(reason);
        self.roll_back(&lost);
        lost
    }

    /// Clears the row cache when other processes have written since the last check.
    ///
    /// # Errors
    /// [`StoreError::Database`]; no batch is lost, because none is open.
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

    /// Fails when this process must not write again.
    pub(super) fn check_barred(&self) -> Result<(), StoreError> {
        self.barred.clone().map_or(Ok(()), Err)
    }

    /// Bars this process from writing again, and rolls the open batch back.
    fn bar(&mut self, why: StoreError) -> StoreError {
        tracing::error!(reason = %why, "this process no longer writes");
        self.barred = Some(why.clone());
        self.roll_back(&why);
        let sessions = self.flows.values_mut();
        sessions.for_each(|session| session.lost = Some(why.clone()));
        why
    }

    /// Rolls back a batch that a panic left incomplete, so that it is never committed.
    pub(super) fn abandon(&mut self) {
        if self.batch.is_some() || self.backend.is_open() {
            tracing::error!(
                "a panic came before a commit: events and effects since the previous commit are rolled back"
            );
            self.roll_back(&StoreError::Lost(
                "a panic came before the commit".to_owned(),
            ));
        }
    }

    /// Marks a flow whose posted events were refused: it must be loaded again before it can write.
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
