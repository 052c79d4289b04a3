//! What flows say while somebody else writes: nobody waits for the writer to say what nobody has to answer. Whoever holds the
//! writer next takes it in first, so the order of each flow's entries is that in which they were said.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use cairn_effects::event::Event;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::entries::Written;
use crate::WhenDurable;

/// How many bytes of messages the inbox holds. A thread that leaves more waits for the writer.
pub(crate) const MOST: usize = 16 << 20;

/// What a message takes besides its text, at the most.
const MESSAGE: usize = 512;

/// Something that was said to the writer.
pub(super) enum Said {
    /// This happened to a flow.
    Events {
        flow: FlowId,
        at: Timestamp,
        events: Arc<[Event]>,
        written: Written,
    },
    /// Somebody waits until all that this flow wrote is on disk.
    Waits(FlowId, WhenDurable),
    /// A handle of this flow is gone.
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

/// Messages that the writer has not taken in, and the alarm of the thread that sees to it that it does.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    messages: Vec<Said>,
    /// What the messages take, in bytes.
    size: usize,
    /// The alarm was rung since it was last waited for.
    rung: bool,
    /// Whoever waits for the alarm comes by in a moment anyway.
    expected: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Leaves a message. Says whether the inbox is full: the caller must have the writer take the messages in then.
    #[must_use]
    pub(super) fn leave(&self, message: Said) -> bool {
        let mut state = self.state();
        state.size += message.size();
        let is_full = state.size > MOST;
        state.messages.push(message);
        self.wake(state);
        is_full
    }

    /// There is something to keep up with.
    pub(super) fn ring(&self) {
        self.wake(self.state());
    }

    /// There is something to do at once.
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

    /// Takes the messages out.
    pub(super) fn take(&self) -> Vec<Said> {
        let mut state = self.state();
        state.size = 0;
        std::mem::take(&mut state.messages)
    }

    /// Waits for the alarm, `most` at the longest. Whoever is `expected` to come by soon is not woken before.
    pub(super) fn wait(&self, most: Option<Duration>, expected: bool) {
        let mut state = self.state();
        state.expected = expected && !state.rung;
        let quiet = |state: &mut State| !state.rung;
        match most {
            None => self.rung.wait_while(&mut state, quiet),
            Some(most) => {
                // The loop around this looks at the clock itself.
                let _late = self.rung.wait_while_for(&mut state, quiet, most);
            }
        }
        state.rung = false;
        state.expected = false;
    }
}
