//! Queues messages that need no answer, so that a flow can post one while another thread holds the writer. The next thread that
//! takes the writer processes the queue first, so each flow's entries keep their order.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use cairn_effects::event::Event;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::entries::Written;
use crate::WhenDurable;

/// How many bytes of messages the inbox holds. A thread that exceeds it waits for the writer (back-pressure).
pub(crate) const MOST: usize = 16 << 20;

/// The most bytes that a message takes besides its text.
const MESSAGE: usize = 512;

/// A message to the writer.
pub(super) enum Said {
    /// Events to append to a flow.
    Events {
        flow: FlowId,
        at: Timestamp,
        events: Arc<[Event]>,
        written: Written,
    },
    /// A callback to run once everything this flow wrote is on disk.
    Waits(FlowId, WhenDurable),
    /// A handle of this flow was dropped.
    Released(FlowId),
}

impl Said {
    fn size(&self) -> usize {
        match self {
            Self::Events { written, .. } => MESSAGE + written.size(),
            Self::Waits(..) | Self::Released(_) => MESSAGE,
        }
    }
}

/// Messages that the writer has not processed, and the alarm that wakes the flusher thread to process them.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    messages: Vec<Said>,
    /// The size of the messages, in bytes.
    size: usize,
    /// Whether the alarm was rung since the last wait.
    rung: bool,
    /// Whether the waiting thread wakes up soon anyway, so that it need not be notified.
    expected: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Queues a message. Returns whether the inbox is full: then the caller must have the writer process the messages.
    #[must_use]
    pub(super) fn leave(&self, message: Said) -> bool {
        let mut state = self.state();
        state.size += message.size();
        let is_full = state.size > MOST;
        state.messages.push(message);
        self.wake(state);
        is_full
    }

    /// Wakes the flusher, unless it wakes up soon anyway.
    pub(super) fn ring(&self) {
        self.wake(self.state());
    }

    /// Wakes the flusher at once.
    pub(super) fn ring_now(&self) {
        let mut state = self.state();
        state.expected = false;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.expected || std::mem::replace(&mut state.rung, true) {
            return;
        }
        drop(state);
        self.rung.notify_one();
    }

    /// Removes and returns the messages.
    pub(super) fn take(&self) -> Vec<Said> {
        let mut state = self.state();
        state.size = 0;
        std::mem::take(&mut state.messages)
    }

    /// Waits for the alarm, at most for `most`. When `expected`, only [`ring_now`](Self::ring_now) wakes the thread earlier.
    pub(super) fn wait(&self, most: Option<Duration>, expected: bool) {
        let mut state = self.state();
        state.expected = expected && !state.rung;
        let quiet = |state: &mut State| !state.rung;
        match most {
            None => self.rung.wait_while(&mut state, quiet),
            Some(most) => {
                // The caller's loop checks the time itself.
                let _late = self.rung.wait_while_for(&mut state, quiet, most);
            }
        }
        state.rung = false;
        state.expected = false;
    }
}
