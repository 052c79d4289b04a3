use cairn_store::WhenDurable;

use super::{Flow, FlowError};

/// The result of an operation that may not be durable yet. Wait until it is before reporting it to a caller.
#[must_use = "the result of the operation is not on disk yet: wait for that"]
pub struct Completion {
    flow: Flow,
    result: Result<(), FlowError>,
}

impl Completion {
    pub(super) fn new(flow: &Flow, result: Result<(), FlowError>) -> Self {
        Self {
            flow: flow.clone(),
            result,
        }
    }

    /// Returns the result so far; a lost batch may still undo it.
    ///
    /// # Errors
    /// The operation's own.
    pub fn so_far(&self) -> Result<(), FlowError> {
        self.result.clone()
    }

    /// Waits until everything that the operation wrote is on disk.
    ///
    /// # Errors
    /// The operation's own; [`FlowError::Store`] when it is lost instead.
    pub fn wait(self) -> Result<(), FlowError> {
        let durable = self.flow.0.store.barrier(self.flow.0.id);
        settled(self.result, durable.map_err(FlowError::from))
    }

    /// Waits until everything that the operation wrote is on disk, also while the flow sleeps, and runs the rest of it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(super) fn see_through(mut self) -> Result<(), FlowError> {
        loop {
            let flow = self.flow.clone();
            let result = self.wait();
            if result.is_err() || !flow.sleeps() {
                return result;
            }
            flow.sleep_out();
            self = flow.wake_to_end();
        }
    }

    /// Calls `tell` with what [`wait`](Self::wait) would return, once it is durable. Blocks no thread until then.
    pub fn then(self, tell: impl FnOnce(Result<(), FlowError>) + Send + 'static) {
        let Self { flow, result } = self;
        let (store, id) = (flow.0.store.clone(), flow.0.id);
        store.when_durable(
            id,
            WhenDurable::new(move |durable| {
                tell(settled(result, durable.map_err(FlowError::from)));
                // Keeps the flow alive until `tell` has returned.
                drop(flow);
            }),
        );
    }
}

/// A store error takes precedence over a task failure: the rollback was not persisted.
fn settled(result: Result<(), FlowError>, durable: Result<(), FlowError>) -> Result<(), FlowError> {
    match (result, durable) {
        (Err(error @ FlowError::Store(_)), _) | (_, Err(error)) => Err(error),
        (result, Ok(())) => result,
    }
}
