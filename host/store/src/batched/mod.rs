//! A store over any database that groups the writes of many flows into batches: one writer, one open batch, a row cache in memory.

mod entries;
mod gate;
mod handles;
mod inbox;
mod keys;
mod ledger;
mod owning;
mod rows;
mod session;
mod trouble;
mod writer;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use cairn_effects::domain::Domains;
use cairn_effects::effect::Applied;
use cairn_effects::event::{Entry, Event};
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::id::{CallId, FlowId, HostId};

use crate::backend::Backend;
use crate::config::{Env, StoreConfig};
use crate::observer::Observer;
use crate::survivor::Survivor;
use crate::{Caller, Store, StoreError, WhenDurable};

use entries::Written;
use gate::Gate;
#[cfg(test)]
pub(crate) use inbox::MOST as INBOX_MOST;
use inbox::{Inbox, Said};
use trouble::Trouble;
pub(crate) use writer::Writer;

/// A store over one database, with one writer. Dropping it commits the open batch.
pub struct Batched<B: Backend> {
    shared: Arc<Shared<B>>,
    clock: Arc<dyn Clock>,
    domains: Domains,
    host: HostId,
    pub(crate) trouble: Arc<Trouble>,
    flusher: Option<std::thread::JoinHandle<()>>,
}

struct Shared<B: Backend> {
    /// Reads the rows that rules need. Dropped before the writer, whose connection must be closed last.
    reader: Mutex<B::Reader>,
    writer: Gate<Writer<B>>,
    /// Messages to the writer; its alarm wakes the flusher when a batch opens and when the store closes.
    inbox: Inbox,
}

impl<B: Backend> Batched<B> {
    /// Creates a store over an open database.
    ///
    /// # Errors
    /// [`StoreError::Clock`]; [`StoreError::Database`] when no thread can be started.
    pub fn over(
        backend: B,
        config: StoreConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        clock.now().check()?;
        let reader = Mutex::new(backend.reader());
        let domains = config.domains.clone();
        let host = backend.host_id();
        let writer = Writer::new(backend, Env::new(config, Arc::clone(&clock)));
        let long = Arc::clone(&writer.ledger.long);
        let trouble = Arc::clone(&writer.ledger.trouble);
        let shared = Arc::new(Shared {
            reader,
            writer: Gate::before(writer, long),
            inbox: Inbox::default(),
        });
        let flusher = std::thread::Builder::new()
            .name("cairn-flusher".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.keep_up()
            })
            .map_err(|error| StoreError::Database(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            shared,
            clock,
            domains,
            host,
            trouble,
            flusher: Some(flusher),
        })
    }

    /// Returns how many batches were committed since the database was opened.
    pub fn commits(&self) -> u64 {
        self.writer().ledger.commits
    }

    /// Takes over the flows of dead processes, and returns the flows that this process owns but does not run: it must recover
    /// them. Stuck flows are left out unless `stuck_too`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        self.write(|writer| writer.take_over(stuck_too))
    }

    /// Tells an observer of all that is written from now on.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        self.writer().ledger.observer = Some(observer);
    }

    pub(crate) fn writer(&self) -> AtWork<'_, B> {
        self.shared.writer()
    }

    /// Runs `work` on the writer after the queued messages; then wakes the flusher when a batch was opened, and runs the
    /// callbacks of flows that waited.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&mut Writer<B>) -> T) -> T {
        let (result, told, opened) = {
            let mut writer = self.writer();
            let was_idle = writer.ledger.batch.is_none();
            writer.take_in(self.shared.inbox.take());
            let result = work(&mut writer);
            let opened = was_idle && writer.ledger.batch.is_some();
            (result, std::mem::take(&mut writer.ledger.told), opened)
        };
        if opened {
            self.shared.inbox.ring();
        }
        tell(told);
        result
    }
}

fn tell(told: Vec<ledger::Told>) {
    for (then, result) in told {
        then.tell(result);
    }
}

/// A guard that gives one thread the writer. When that thread panics, the guard rolls the open batch back.
pub(crate) struct AtWork<'a, B: Backend> {
    writer: MutexGuard<'a, Writer<B>>,
    /// Whether the thread was already panicking when it took the writer.
    panics: bool,
}

impl<B: Backend> Deref for AtWork<'_, B> {
    type Target = Writer<B>;

    fn deref(&self) -> &Writer<B> {
        &self.writer
    }
}

impl<B: Backend> DerefMut for AtWork<'_, B> {
    fn deref_mut(&mut self) -> &mut Writer<B> {
        &mut self.writer
    }
}

impl<B: Backend> Drop for AtWork<'_, B> {
    fn drop(&mut self) {
        if !self.panics && std::thread::panicking() {
            self.writer.ledger.abandon();
        }
    }
}

impl<B: Backend> Shared<B> {
    fn writer(&self) -> AtWork<'_, B> {
        AtWork {
            writer: self.writer.enter(),
            panics: std::thread::panicking(),
        }
    }

    /// Runs the flusher: commits batches that have reached their age, and renews the lease while nothing is written.
    fn keep_up(&self) {
        let mut commits = 0;
        loop {
            let mut writer = self.writer();
            let something_said = writer.take_in(self.inbox.take());
            if writer.closing {
                return;
            }
            let old = writer.env.config.batch.age;
            let ledger = &writer.ledger;
            let wait = match (ledger.batch_age(), ledger.backend.renewal()) {
                (Some(age), _) => Some(old.saturating_sub(age)),
                (None, Some(at)) if ledger.barred.is_none() => {
                    Some(at.saturating_duration_since(Instant::now()))
                }
                (None, _) => None,
            };
            if wait.is_some_and(|wait| wait.is_zero()) {
                let ledger = &mut writer.ledger;
                if ledger.batch.is_none() && !ledger.backend.must_write() {
                    continue;
                }
                // Opening a batch renews a lease that is due. The callbacks of a lost batch get its error.
                if let Err(error) = ledger.begin().and_then(|()| ledger.commit()) {
                    tracing::warn!(%error, "events and effects of flows could not be written to the database, or this process's lease was not renewed");
                    ledger.backend.postpone_renewal();
                }
                let told = std::mem::take(&mut ledger.told);
                drop(writer);
                tell(told);
                continue;
            }
            // While flows are active the flusher polls at this interval, so that it need not be woken for each batch.
            let done = writer.ledger.commits;
            let something_done = std::mem::replace(&mut commits, done) != done;
            let at_work = something_said || something_done || writer.ledger.batch.is_some();
            let wait = match at_work {
                true => Some(wait.map_or(old, |wait| wait.min(old))),
                false => wait,
            };
            let told = std::mem::take(&mut writer.ledger.told);
            drop(writer);
            tell(told);
            self.inbox.wait(wait, at_work);
        }
    }
}

impl<B: Backend> Drop for Batched<B> {
    fn drop(&mut self) {
        self.write(|writer| {
            writer.closing = true;
            if let Err(error) = writer.ledger.commit() {
                tracing::warn!(%error, "the last events and effects could not be written to the database");
            }
            writer.ledger.backend.close();
        });
        self.shared.inbox.ring_now();
        // This may run on the flusher itself, in the callback of a flow that held the last handle; it cannot join itself.
        let flusher = self.flusher.take();
        let flusher =
            flusher.filter(|flusher| flusher.thread().id() != std::thread::current().id());
        if let Some(flusher) = flusher
            && flusher.join().is_err()
        {
            tracing::error!("the flusher panicked");
        }
    }
}

impl<B: Backend> Store for Batched<B> {
    fn domains(&self) -> &Domains {
        &self.domains
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn append(&self, flow: FlowId, events: &[Event]) -> Result<Timestamp, StoreError> {
        // Serialized before the writer is taken, so that no other thread waits for it.
        let now = self.clock.now();
        let mut written = Written::default();
        events.iter().for_each(|event| written.add(now, event));
        self.write(|writer| writer.append(flow, now, events, written))
    }

    fn post(&self, flow: FlowId, events: &Arc<[Event]>) -> Timestamp {
        let at = self.clock.now();
        let mut written = Written::default();
        events.iter().for_each(|event| written.add(at, event));
        let is_full = self.shared.inbox.leave(Said::Events {
            flow,
            at,
            events: Arc::clone(events),
            written,
        });
        if is_full {
            self.write(|_| ());
        }
        at
    }

    fn apply_dyn(
        &self,
        by: Caller<'_>,
        effect: &dyn DynEffect,
    ) -> Result<(AnyAnswer, Applied), StoreError> {
        self.with_rows(|writer, draft| writer.apply(by, effect, draft))
    }

    fn step_dyn(
        &self,
        call: CallId,
        step: &dyn DynEffect,
        event: &Event,
    ) -> Result<AnyAnswer, StoreError> {
        self.with_rows(|writer, draft| writer.step(call, step, event, draft))
    }

    fn undo(&self, applied: &Applied) -> Result<(), StoreError> {
        self.with_rows(|writer, draft| writer.undo(applied, draft))
    }

    fn look_up_dyn(
        &self,
        by: Caller<'_>,
        look_up: &dyn DynLookUp,
    ) -> Result<AnyAnswer, StoreError> {
        self.with_rows(|writer, draft| writer.look_up(by, look_up, draft))
    }

    fn host(&self) -> HostId {
        self.host
    }

    fn survivor(&self, host: HostId) -> Result<Option<Survivor>, StoreError> {
        self.write(|writer| writer.ledger.backend.survivor(host))
    }

    fn barrier(&self, flow: FlowId) -> Result<(), StoreError> {
        self.write(|writer| writer.barrier(flow))
    }

    fn when_durable(&self, flow: FlowId, then: WhenDurable) {
        // Needs no back-pressure: there is one for each flow, after events of the flow, which wait when the inbox is full.
        let _ = self.shared.inbox.leave(Said::Waits(flow, then));
    }

    fn flush(&self) {
        // The callbacks of the batch get its error.
        let _ = self.write(|writer| writer.ledger.commit());
    }

    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        self.write(|writer| writer.load(flow))
    }

    fn release(&self, flow: FlowId) {
        let _ = self.shared.inbox.leave(Said::Released(flow));
    }
}
