//! Lanes: places for acts outside the database. They take long, so a worker that enters one is replaced until it returns.

use std::sync::{Arc, Weak};

use super::Core;
use super::lane_count::works_for;
use crate::flow::{Lane, Lanes};

/// The lanes of a host. While all are used, further acts wait. Each worker that waits is replaced, too, as long as there are few.
pub(super) struct HostLanes(pub(super) Weak<Core>);

impl Lanes for HostLanes {
    fn enter(&self) -> Box<dyn Lane> {
        let core = self.0.upgrade();
        let mut is_worker = false;
        if let Some(core) = &core {
            is_worker = works_for(std::ptr::from_ref(&core.pool).addr());
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
