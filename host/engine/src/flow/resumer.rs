use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::id::TaskId;
use cairn_model::value::Value;

use super::Flow;

/// Reports finished tasks and their results, so that a flow does not run them again.
pub trait Resumer: Send + Sync {
    /// Returns the finished tasks of `order`, which lists the flow's tasks with their names. The others are run.
    ///
    /// # Errors
    /// The flow fails with it before any task runs: there is nothing to revert, and its parents are not rolled back.
    fn finished(
        &self,
        flow: &Flow,
        order: &[(TaskId, Arc<str>)],
    ) -> Result<Vec<Finished>, TaskError>;
}

/// A task that a resumer reports as finished.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The task.
    pub task: TaskId,
    /// Its result; an error fails the flow again.
    pub result: Result<Value, TaskError>,
}
