//! The thread that delivers. The database is its queue: it reads messages that are due in pages, publishes them, and records what became
//! of them before it reads on.

mod record;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use cairn_effects::effect::Caller;
use cairn_effects::outbox::{Deliver, Message};
use cairn_manifest::config::DeliverConfig;
use cairn_model::clock::{Clock, SystemClock, Timestamp};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_store::deliver::Outbox;
use cairn_store::{HostStore, StoreError};

use crate::backlog::Backlog;
use crate::backoff;
use crate::transport::{Outcome, Transport};

/// How many messages are published at once.
const PAGE: usize = 64;

/// Between two looks while no flow of this process succeeds.
const LOOK: Duration = Duration::from_secs(1);

/// After a page that was not full: messages that come meanwhile are published together.
const LINGER: Duration = Duration::from_millis(3);

/// How long a publisher that is at work may hold up the end of the process.
const LEAVE: Duration = Duration::from_millis(250);

/// When messages are given up, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a message is published before it is `failed`.
    pub attempts: i64,
    /// How long it is tried before it is `failed`.
    pub max_age: Duration,
    /// How many messages of a project may be undelivered before its new flows are refused.
    pub most: u64,
}

impl Limits {
    /// The limits that an operator has set.
    pub fn of(config: &DeliverConfig) -> Self {
        Self {
            attempts: i64::from(config.attempts),
            max_age: config.max_age,
            most: config.most,
        }
    }
}

/// Delivers the messages of a database. One process does at a time; the others look every second whether it still does.
///
/// When it is dropped, a message that is being published may be published again by the next dispatcher.
pub struct Dispatcher {
    shared: Arc<Shared>,
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    thread: Option<JoinHandle<()>>,
}

/// What is still to be delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// How many messages are `sending`.
    pub messages: u64,
    /// Why the last one was not delivered, where that is known.
    pub error: Option<String>,
}

#[derive(Default)]
struct Shared {
    /// A flow has ended since the last look.
    woken: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// The thread has ended.
    ended: bool,
    /// How many rounds were made.
    rounds: u64,
    last: Round,
    error: Option<String>,
}

/// What a round of the thread came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Round {
    /// Messages were published.
    #[default]
    Published,
    /// None is due; the next one is at this time.
    Idle(Option<Timestamp>),
    /// The other side could not be reached.
    Down,
    /// Another process delivers, or the database cannot be read.
    Elsewhere,
}

impl Dispatcher {
    /// Starts to deliver what is and will be in the outbox of `store`.
    ///
    /// # Errors
    /// [`StoreError::Database`]; also of a store that is in memory only.
    pub fn start(
        store: &Arc<dyn HostStore>,
        transport: Box<dyn Transport>,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        Self::start_by(store, transport, limits, Arc::new(SystemClock))
    }

    /// [`start`](Self::start), by another clock: that of the store.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_by(
        store: &Arc<dyn HostStore>,
        transport: Box<dyn Transport>,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let open = || -> Result<Box<dyn Outbox>, StoreError> {
            store.outbox()?.ok_or_else(|| {
                StoreError::Database(
                    "messages are delivered from a database on disk only".to_owned(),
                )
            })
        };
        let shared = Arc::new(Shared::default());
        let mut work = Work {
            outbox: open()?,
            store: Arc::downgrade(store),
            transport,
            limits,
            clock: Arc::clone(&clock),
            shared: Arc::clone(&shared),
            failures: 0,
        };
        let thread = std::thread::Builder::new()
            .name("cairn-dispatcher".to_owned())
            .spawn(move || {
                work.run();
                let shared = Arc::clone(&work.shared);
                drop(work);
                shared.state.lock().ended = true;
                shared.changed.notify_all();
            })
            .map_err(|error| StoreError::Database(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            shared,
            backlog: Backlog::new(open()?, limits.most),
            clock,
            thread: Some(thread),
        })
    }

    /// Says that a flow has ended and is on disk: it may have sent something. Costs next to nothing while messages are being published.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Admits a flow of a project.
    ///
    /// # Errors
    /// `Backlog` when too many of the project's messages are undelivered.
    pub fn admit(&self, project: &str) -> Result<(), TaskError> {
        self.backlog.admit(project)
    }

    /// Waits until nothing is to be delivered, but not longer than `patience`; nor while the other side cannot be reached, or all that is
    /// left waits for a later attempt. Returns what is left.
    pub fn settle(&self, patience: Duration) -> Unsent {
        let until = Instant::now() + patience;
        // A round that is under way may have looked before the last flow ended.
        let begun = self.shared.state.lock().rounds + 1;
        loop {
            let messages = self.backlog.sending();
            if messages == 0 {
                return Unsent::default();
            }
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            let mut state = self.shared.state.lock();
            let is_over = match state.last {
                Round::Idle(None) | Round::Down => true,
                Round::Idle(Some(next)) => next.since(self.clock.now()) > left,
                Round::Published | Round::Elsewhere => false,
            };
            if (state.rounds > begun && is_over) || left.is_zero() || state.ended {
                let error = state.error.clone();
                return Unsent { messages, error };
            }
            self.shared.woken.store(true, Ordering::Release);
            self.shared.changed.notify_all();
            let wait = left.min(Duration::from_millis(20));
            self.shared.changed.wait_for(&mut state, wait);
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        self.shared.changed.notify_all();
        let until = Instant::now() + LEAVE;
        while !state.ended {
            if self
                .shared
                .changed
                .wait_until(&mut state, until)
                .timed_out()
            {
                // It is publishing, and ends when that ends: what it publishes now is published again.
                return;
            }
        }
        drop(state);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the dispatcher panicked");
        }
    }
}

impl Shared {
    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // The thread looks at the mark under this lock before it waits.
            drop(self.state.lock());
            self.changed.notify_all();
        }
    }
}

/// What the thread works with.
struct Work {
    outbox: Box<dyn Outbox>,
    /// Dropped by the host while a transport is at work.
    store: Weak<dyn HostStore>,
    transport: Box<dyn Transport>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// How often in a row the other side was not reached.
    failures: i64,
}

impl Work {
    fn run(&mut self) {
        loop {
            // What comes from here on is seen by this round, or wakes the next one.
            self.shared.woken.store(false, Ordering::Release);
            let round = self.round();
            let (wait, wakes) = match round {
                Ok((Round::Published, PAGE..)) => (Duration::ZERO, true),
                Ok((Round::Published, _)) => (LINGER, false),
                Ok((Round::Idle(next), _)) => (self.until(next), true),
                Ok((Round::Down, _)) => (backoff::after_failure(self.failures), false),
                Ok((Round::Elsewhere, _)) => (LOOK, false),
                Err(ref error) => {
                    tracing::warn!(%error, "messages are not delivered");
                    if matches!(error, StoreError::Fenced | StoreError::Gone(_)) {
                        return;
                    }
                    self.failures += 1;
                    (backoff::after_failure(self.failures), false)
                }
            };
            let round = round.map_or(Round::Elsewhere, |(round, _)| round);
            let mut state = self.shared.state.lock();
            state.rounds += 1;
            state.last = round;
            self.shared.changed.notify_all();
            let until = Instant::now() + wait;
            while !(state.closed || wakes && self.shared.woken.load(Ordering::Acquire)) {
                if self
                    .shared
                    .changed
                    .wait_until(&mut state, until)
                    .timed_out()
                {
                    break;
                }
            }
            if state.closed || self.store.strong_count() == 0 {
                return;
            }
        }
    }

    /// Publishes a page of messages; returns how many were on it.
    fn round(&mut self) -> Result<(Round, usize), StoreError> {
        if !self.outbox.claim()? {
            return Ok((Round::Elsewhere, 0));
        }
        let messages = self.outbox.due(self.clock.now(), PAGE)?;
        if messages.is_empty() {
            return Ok((Round::Idle(self.outbox.next_due()?), 0));
        }
        let outcomes = self.publish(&messages);
        reach(CrashPoint::MessagesPublished);
        let down = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Unreached(reason) => Some(reason.clone()),
            _ => None,
        });
        let deliveries = record::deliveries(&messages, &outcomes, self.limits, self.clock.now());
        self.note(&outcomes, down.as_deref());
        if !deliveries.is_empty() {
            self.record(Deliver(deliveries))?;
            reach(CrashPoint::MessagesSettled);
        }
        let round = if down.is_some() {
            Round::Down
        } else {
            Round::Published
        };
        Ok((round, messages.len()))
    }

    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let transport = &mut self.transport;
        let published = catch_unwind(AssertUnwindSafe(|| transport.publish(messages)));
        let mut outcomes = published.unwrap_or_else(|_| {
            tracing::error!("the transport panicked");
            Vec::new()
        });
        let missing = || Outcome::Unreached("the transport did not answer".to_owned());
        outcomes.resize_with(messages.len(), missing);
        outcomes
    }

    /// Records what became of messages, on disk when this returns: they are read again if that fails.
    fn record(&self, deliver: Deliver) -> Result<(), StoreError> {
        let Some(store) = self.store.upgrade() else {
            return Ok(());
        };
        let nobody = Identity::default();
        let by = Caller {
            call: None,
            requester: &nobody,
        };
        store.apply_dyn(by, &deliver)?;
        store.flush();
        Ok(())
    }

    /// Keeps the last error, and logs that the other side is not reached, or is again.
    fn note(&mut self, outcomes: &[Outcome], down: Option<&str>) {
        let before = self.failures;
        self.failures = if down.is_some() { before + 1 } else { 0 };
        let error = outcomes.iter().rev().find_map(record::reason);
        let mut state = self.shared.state.lock();
        match down {
            Some(reason) if before == 0 || state.error.as_deref() != Some(reason) => {
                tracing::warn!(reason, "messages wait: their receiver is not reached");
            }
            None if before > 0 => tracing::info!("messages are delivered again"),
            _ => {}
        }
        if error.is_some() || !outcomes.is_empty() {
            state.error = error.map(str::to_owned);
        }
    }

    /// How long until the next message is due, or the next look.
    fn until(&self, next: Option<Timestamp>) -> Duration {
        let due = next.map(|next| next.since(self.clock.now()));
        due.map_or(LOOK, |due| due.clamp(Duration::from_millis(1), LOOK))
    }
}
