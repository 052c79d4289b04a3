//! A store that records its operations and is copied at chosen points: the state that a crash there would leave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::any::{Answer, Effect};
use cairn::clock::{Clock, Timestamp};
use cairn::effect::{Applied, Caller, Change};
use cairn::event::{Entry, Event, FlowState};
use cairn::id::{CallId, HostId};
use cairn::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn::store::{HostStore, Survivor, WhenDurable};
use cairn::{Domains, FlowId, Identity, SqliteConfig, Store, StoreError};

use crate::known::Known;
use crate::place::Place;

/// A change of tables other than the journal; kept in order.
#[derive(Clone, Debug)]
pub enum Noted {
    Applied {
        flow: FlowId,
        number: u32,
        effect: Effect,
        answer: Answer,
        changes: Vec<Change>,
    },
    Undone {
        flow: FlowId,
        number: u32,
    },
    Ended {
        flow: FlowId,
        state: FlowState,
    },
}

/// A copy of the database after some operation, with the log up to there.
pub struct Crash {
    pub place: Place,
    pub log: Vec<Noted>,
    pub known: Known,
}

/// Refusals, for the statistics.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    pub undos: usize,
    /// Kind of error -> count.
    pub effects: BTreeMap<String, usize>,
}

pub struct Recorder {
    pub inner: Arc<dyn HostStore>,
    pub place: Place,
    notes: Mutex<Notes>,
}

struct Notes {
    log: Vec<Noted>,
    known: Known,
    refusals: Refusals,
    operations: usize,
    /// Operations after which the database is copied.
    crash_after: Vec<usize>,
    crashes: Vec<Crash>,
}

/// A clock that advances whenever it is read.
pub struct Ticking(std::sync::atomic::AtomicI64);

impl Ticking {
    const STEP: i64 = 200_000;

    pub fn new() -> Arc<Self> {
        Arc::new(Self(std::sync::atomic::AtomicI64::new(1_000_000)))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let before = self
            .0
            .fetch_add(Self::STEP, std::sync::atomic::Ordering::SeqCst);
        Timestamp(before)
    }
}

impl Recorder {
    pub fn open(
        place: &Place,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
        (log, known): (Vec<Noted>, Known),
        crash_after: Vec<usize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: place.open(config, clock),
            place: place.clone(),
            notes: Mutex::new(Notes {
                log,
                known,
                refusals: Refusals::default(),
                operations: 0,
                crash_after,
                crashes: Vec::new(),
            }),
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    pub fn with_known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.notes().known)
    }

    pub fn log(&self) -> Vec<Noted> {
        self.notes().log.clone()
    }

    pub fn refusals(&self) -> Refusals {
        self.notes().refusals.clone()
    }

    pub fn take_crashes(&self) -> Vec<Crash> {
        std::mem::take(&mut self.notes().crashes)
    }

    /// Counts an operation, and copies the database if a crash is to follow it.
    fn done(&self, noted: Option<Noted>) {
        let mut notes = self.notes();
        notes.log.extend(noted);
        notes.operations += 1;
        if !notes.crash_after.contains(&notes.operations) {
            return;
        }
        // A read commits first, and holds the writer's lock.
        let copied = self.inner.read(&Identity::default(), |_| {
            Ok(self.place.copy(notes.operations))
        });
        let crash = Crash {
            place: copied.unwrap(),
            log: notes.log.clone(),
            known: notes.known.clone(),
        };
        notes.crashes.push(crash);
    }
}

/// Returns the end of a flow, if the events contain it.
fn ended(flow: FlowId, events: &[Event]) -> Option<Noted> {
    events.iter().find_map(|event| match event {
        Event::State { to, .. } if matches!(to, FlowState::Success | FlowState::Failure) => {
            Some(Noted::Ended { flow, state: *to })
        }
        _ => None,
    })
}

impl Store for Recorder {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn append(&self, flow: FlowId, events: &[Event]) -> Result<Timestamp, StoreError> {
        let result = self.inner.append(flow, events);
        self.done(ended(flow, events));
        result
    }

    fn post(&self, flow: FlowId, events: &Arc<[Event]>) -> Timestamp {
        let at = self.inner.post(flow, events);
        self.done(ended(flow, events));
        at
    }

    fn domains(&self) -> &Domains {
        self.inner.domains()
    }

    fn apply_dyn(
        &self,
        by: Caller<'_>,
        effect: &dyn DynEffect,
    ) -> Result<(AnyAnswer, Applied), StoreError> {
        let result = self.inner.apply_dyn(by, effect);
        match &result {
            Ok((answer, applied)) => self.done(Some(Noted::Applied {
                flow: applied.call.flow,
                number: applied.number,
                effect: Effect::of(effect),
                answer: Answer::of(answer),
                changes: applied.changes.clone(),
            })),
            Err(error) => {
                let kind = match error {
                    StoreError::Refused(error) => error.kind.clone(),
                    other => other.to_string(),
                };
                *self.notes().refusals.effects.entry(kind).or_default() += 1;
                self.done(None);
            }
        }
        result
    }

    fn step_dyn(
        &self,
        call: CallId,
        step: &dyn DynEffect,
        event: &Event,
    ) -> Result<AnyAnswer, StoreError> {
        self.inner.step_dyn(call, step, event)
    }

    fn undo(&self, applied: &Applied) -> Result<(), StoreError> {
        let result = self.inner.undo(applied);
        match &result {
            Ok(()) => self.done(Some(Noted::Undone {
                flow: applied.call.flow,
                number: applied.number,
            })),
            Err(_) => {
                self.notes().refusals.undos += 1;
                self.done(None);
            }
        }
        result
    }

    fn look_up_dyn(
        &self,
        by: Caller<'_>,
        look_up: &dyn DynLookUp,
    ) -> Result<AnyAnswer, StoreError> {
        self.inner.look_up_dyn(by, look_up)
    }

    fn host(&self) -> HostId {
        self.inner.host()
    }

    fn survivor(&self, host: HostId) -> Result<Option<Survivor>, StoreError> {
        self.inner.survivor(host)
    }

    fn barrier(&self, flow: FlowId) -> Result<(), StoreError> {
        self.inner.barrier(flow)
    }

    fn when_durable(&self, flow: FlowId, then: WhenDurable) {
        self.inner.when_durable(flow, then);
    }

    fn flush(&self) {
        self.inner.flush();
    }

    fn load(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        self.inner.load(flow)
    }

    fn release(&self, flow: FlowId) {
        self.inner.release(flow);
    }
}
