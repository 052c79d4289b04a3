//! Bounds the requests in flight of a run with many requests: those that were read, and not reported yet.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The maximum weight of all requests in flight, in bytes. A thousand small ones keep all workers busy.
const ROOM: usize = 32 << 20;

/// Waiting requests continue when this weight or less is in flight: reports come one by one, and waking a thread for each would cost
/// more than reading a request.
const LOW: usize = ROOM / 4 * 3;

/// The weight of a request besides its text: its flow and its report. Chosen so that 1,024 requests of a dozen bytes fit.
const FLOW: usize = ROOM / 1024 - 12 * COPIES;

/// Copies of a request's text in memory: in the line, in the flow, and in the results that repeat it.
const COPIES: usize = 8;

/// Back-pressure: requests wait until reports are written, and so for the reader of the reports.
#[derive(Default)]
pub(super) struct Traffic {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    weight: usize,
    taken: u64,
    is_closed: bool,
    /// How many requests wait for room.
    waiting: usize,
}

/// Holds the room of one request until its report is written.
pub(super) struct Ticket {
    traffic: Arc<Traffic>,
    weight: usize,
}

impl Traffic {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits until there is room for a request of `bytes`; `None` once the traffic is closed. A request that is heavier than all the
    /// room waits until it is alone.
    pub(super) fn admit(self: &Arc<Self>, bytes: usize) -> Option<Ticket> {
        let weight = FLOW.saturating_add(bytes.saturating_mul(COPIES));
        let mut state = self.state();
        state.taken += 1;
        let is_full = |state: &State| {
            !state.is_closed && state.weight > 0 && state.weight.saturating_add(weight) > ROOM
        };
        while is_full(&state) {
            state.waiting += 1;
            self.changed.wait(&mut state);
            state.waiting -= 1;
        }
        if state.is_closed {
            return None;
        }
        state.weight = state.weight.saturating_add(weight);
        Some(Ticket {
            traffic: Arc::clone(self),
            weight,
        })
    }

    /// Admits no more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Returns how many requests asked for admission, those after the end included.
    pub(super) fn taken(&self) -> u64 {
        self.state().taken
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.traffic.state();
        state.weight -= self.weight;
        if state.waiting > 0 && state.weight <= LOW {
            drop(state);
            self.traffic.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_waits_until_a_quarter_of_the_others_is_reported() {
        let traffic = Arc::new(Traffic::default());
        let mut tickets: Vec<_> = (0..ROOM / FLOW).map(|_| traffic.admit(0)).collect();
        let (told, entered) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| told.send(traffic.admit(0).is_some()));
            assert!(entered.recv_timeout(Duration::from_millis(50)).is_err());
            tickets.truncate(LOW / FLOW + 1);
            assert!(entered.recv_timeout(Duration::from_millis(50)).is_err());
            assert!(tickets.pop().flatten().is_some());
            assert_eq!(entered.recv(), Ok(true));
        });
        assert_eq!(traffic.taken(), (ROOM / FLOW) as u64 + 1);
    }

    #[test]
    fn a_request_that_is_too_heavy_for_the_room_is_alone_in_it() {
        let traffic = Arc::new(Traffic::default());
        let heavy = traffic.admit(ROOM);
        let (told, entered) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| told.send(traffic.admit(0).is_some()));
            assert!(entered.recv_timeout(Duration::from_millis(50)).is_err());
            drop(heavy);
            assert_eq!(entered.recv(), Ok(true));
        });
    }

    #[test]
    fn who_waits_is_turned_away_when_no_more_are_taken() {
        let traffic = Arc::new(Traffic::default());
        let heavy = traffic.admit(ROOM);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| traffic.admit(0).is_none());
            traffic.close();
            assert!(waiting.join().unwrap());
        });
        drop(heavy);
        assert!(traffic.admit(0).is_none() && traffic.is_closed());
        assert_eq!(traffic.taken(), 3);
    }
}
