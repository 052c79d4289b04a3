//! Counts the lanes of a pool, and knows its workers.

use std::cell::Cell;

use parking_lot::{Condvar, Mutex};

/// How many acts run at once.
const MOST: usize = 64;

/// How many acts wait for a lane without holding up their worker.
const WAITING: usize = 64;

thread_local! {
    /// The address of the pool that this thread works for.
    static POOL: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Notes that this thread is a worker of the pool at an address.
pub(super) fn become_worker(pool: usize) {
    POOL.set(Some(pool));
}

/// Returns whether this thread is a worker of the pool at an address.
pub(super) fn works_for(pool: usize) -> bool {
    POOL.get() == Some(pool)
}

/// Counts the lanes that are used.
#[derive(Default)]
pub(super) struct LaneCount {
    count: Mutex<Count>,
    left: Condvar,
}

#[derive(Default)]
struct Count {
    used: usize,
    /// How many acts wait for one.
    waiting: usize,
}

impl LaneCount {
    /// Returns how many acts run.
    pub(super) fn used(&self) -> usize {
        self.count.lock().used
    }

    /// Returns how many workers may be replaced: those in lanes, and some that wait for one.
    pub(super) fn occupied(&self) -> usize {
        let count = self.count.lock();
        count.used + count.waiting.min(WAITING)
    }

    pub(super) fn begin(&self) {
        self.count.lock().waiting += 1;
    }

    pub(super) fn enter(&self) {
        let mut count = self.count.lock();
        self.left.wait_while(&mut count, |count| count.used >= MOST);
        count.waiting -= 1;
        count.used += 1;
    }

    pub(super) fn leave(&self) {
        self.count.lock().used -= 1;
        self.left.notify_one();
    }
}
