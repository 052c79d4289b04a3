//! Calls the callbacks of callers. They run on threads that serve other flows too, so nothing in them may wait for those threads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cairn_model::id::FlowId;

thread_local! {
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Calls a callback of a flow's caller. A panic in it is logged.
pub(super) fn call(flow: FlowId, then: impl FnOnce()) {
    let is_inside = IS_RUNNING.replace(true);
    if catch_unwind(AssertUnwindSafe(then)).is_err() {
        tracing::error!(%flow, "the callback of a submitted flow panicked");
    }
    IS_RUNNING.set(is_inside);
}

/// Returns whether this thread is inside of a callback.
pub(super) fn is_running() -> bool {
    IS_RUNNING.get()
}
