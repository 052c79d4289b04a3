//! Lanes: places for acts outside the database. They take long, so a worker that enters one is replaced until it returns.

use std::cell::Cell;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::Core;
use crate::flow::{Lane, Lanes};

/// How many acts run at once.
const MOST: usize = 64;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread is a worker of a pool.
pub(super) fn become_worker() {
    IS_WORKER.set(true);
}

/// Counts the lanes that are used.
#[derive(Default)]
pub(super) struct LaneCount {
    used: Mutex<usize>,
    left: Condvar,
}

impl LaneCount {
    pub(super) fn used(&self) -> usize {
        *self.used.lock()
    }

    fn enter(&self) {
        let mut used = self.used.lock();
        self.left.wait_while(&mut used, |used| *used >= MOST);
        *used += 1;
    }

    fn leave(&self) {
        *self.used.lock() -= 1;
        self.left.notify_one();
    }
}

/// The lanes of a host. While all are used, a worker that wants one waits; there are never more workers that wait than the host has.
pub(super) struct HostLanes(pub(super) Weak<Core>);

impl Lanes for HostLanes {
    fn enter(&self) -> Box<dyn Lane> {
        let core = self.0.upgrade();
        let is_worker = IS_WORKER.get();
        if let Some(core) = &core {
            core.pool.lanes.enter();
            if is_worker {
                core.pool.step_aside(core);
            }
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
