//! Lanes: places for acts outside the database. They take long, so a worker that enters one is replaced until it returns.

use std::cell::Cell;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::Core;
use super::pool::Pool;
use crate::flow::{Lane, Lanes};

/// How many acts run at once.
const MOST: usize = 64;

/// How many acts wait for a lane without holding up their worker.
const WAITING: usize = 64;

thread_local! {
    /// The address of the pool that this thread works for.
    static POOL: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Notes that this thread is a worker of a pool.
pub(super) fn become_worker(pool: &Pool) {
    POOL.set(Some(std::ptr::from_ref(pool).addr()));
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

    fn begin(&self) {
        self.count.lock().waiting += 1;
    }

    fn enter(&self) {
        let mut count = self.count.lock();
        self.left.wait_while(&mut count, |count| count.used >= MOST);
        count.waiting -= 1;
        count.used += 1;
    }

    fn leave(&self) {
        self.count.lock().used -= 1;
        self.left.notify_one();
    }
}

/// The lanes of a host. While all are used, further acts wait. Each worker that waits is replaced, too, as long as there are few.
pub(super) struct HostLanes(pub(super) Weak<Core>);

impl Lanes for HostLanes {
    fn enter(&self) -> Box<dyn Lane> {
        let core = self.0.upgrade();
        let mut is_worker = false;
        if let Some(core) = &core {
            is_worker = POOL.get() == Some(std::ptr::from_ref(&core.pool).addr());
            core.pool.lanes.begin();
            if is_worker {
                core.pool.step_aside(core);
            }
            core.pool.lanes.enter();
        }
        Box::new(HostLane { core, is_worker })
    }
}

struct HostLane {
    core: Option<Arc<Core>>,
    is_worker: bool,
}

impl Lane for HostLane {
    fn is_alone(&self) -> bool {
        let core = self.core.as_ref();
        core.is_none_or(|core| core.pool.unfinished() <= core.pool.lanes.used())
    }
}

impl Drop for HostLane {
    fn drop(&mut self) {
        if let Some(core) = &self.core {
            core.pool.lanes.leave();
            if self.is_worker {
                core.pool.step_back();
            }
        }
    }
}
