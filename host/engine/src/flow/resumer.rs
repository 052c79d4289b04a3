use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::id::TaskId;
use cairn_model::value::Value;

use super::Flow;

/// Names finished tasks and their results, so that a flow need not run them again.
pub trait Resumer: Send + Sync {
    /// The finished ones of `order`, which is the flow's tasks with their names. The others are run.
    ///
    /// # Errors
    /// The flow fails with it before anything ran: there is nothing to revert, and its parents are left alone.
    fn finished(
        &self,
        flow: &Flow,
        order: &[(TaskId, Arc<str>)],
    ) -> Result<Vec<Finished>, TaskError>;
}

/// A task that a resumer names as finished.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The task.
    pub task: TaskId,
    /// Its result; an error fails the flow again.
    pub result: Result<Value, TaskError>,
}
