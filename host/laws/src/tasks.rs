//! The tasks that observe the subject in a case's flow, and the wrapper around tasks of plugins.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use cairn::error::{Cause, HostErrorKind};
use cairn::event::Disposition;
use cairn::id::Phase;
use cairn::store::view::Dump;
use cairn::task::Outcome;
use cairn::{Context, Identity, Object, Sqlite, Task, TaskError, TaskSpec, Value};

use crate::watch::{Fault, Role, Watch, Watched};

/// The observations of the subject.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The database before the subject's call.
    pub(crate) before: Option<Dump>,
    /// The database after its revert.
    pub(crate) after: Option<Dump>,
    /// The result of its call.
    pub(crate) result: Option<Result<Value, TaskError>>,
    /// The answer of each of its reverts.
    pub(crate) reverts: Vec<Result<Disposition, TaskError>>,
}

/// The observations, shared by the tasks that collect them.
#[derive(Clone, Default)]
pub(crate) struct Sight(Arc<Mutex<Seen>>);

impl Sight {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock()
    }
}

fn dump(store: &Sqlite) -> Result<Dump, TaskError> {
    let dump = store.read(&Identity::default(), |view| view.dump(&Default::default()));
    dump.map_err(|error| TaskError::host(HostErrorKind::StoreLost, error.to_string()))
}

/// Precedes the subject: dumps the database before its call and after its revert.
pub(crate) struct Before {
    pub(crate) spec: TaskSpec,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) sight: Sight,
}

impl Task for Before {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, _context: &Arc<dyn Context>, _inputs: Object) -> Result<Value, TaskError> {
        let dump = dump(&self.store)?;
        self.sight.lock().before = Some(dump);
        Ok(Value::Null)
    }

    fn revert(
        &self,
        _context: &Arc<dyn Context>,
        _outcome: &Outcome,
        _cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        let dump = dump(&self.store)?;
        self.sight.lock().after = Some(dump);
        Ok(Disposition::Undo)
    }
}

/// Follows the subject, and fails, so that the flow is rolled back.
pub(crate) struct After(pub(crate) TaskSpec);

impl Task for After {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _context: &Arc<dyn Context>, _inputs: Object) -> Result<Value, TaskError> {
        Err(TaskError::new("Failed", "a later task failed"))
    }
}

/// A plugin's task, with a watch between it and the host.
pub(crate) struct Observed {
    pub(crate) task: Arc<dyn Task>,
    pub(crate) role: Role,
    pub(crate) watch: Arc<Watch>,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) sight: Sight,
    pub(crate) fault: Option<Fault>,
    /// Whether its revert is done twice.
    pub(crate) twice: bool,
}

impl Observed {
    fn context(&self, context: &Arc<dyn Context>) -> Arc<dyn Context> {
        Arc::new(Watched {
            inner: Arc::clone(context),
            watch: Arc::clone(&self.watch),
            store: Arc::clone(&self.store),
        })
    }

    fn revert_once(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.watch.enter(self.role, Phase::Revert);
        let answer = self.task.revert(&self.context(context), outcome, cause);
        self.watch.leave();
        if self.role == Role::Subject {
            self.sight.lock().reverts.push(answer.clone());
        }
        answer
    }
}

impl Task for Observed {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        if self.role == Role::Before {
            self.watch.enter(self.role, Phase::Call);
            let result = self.task.call(&self.context(context), inputs);
            self.watch.leave();
            return result;
        }
        if self.fault == Some(Fault::Death(0)) {
            self.watch.die(&self.store);
        } else {
            self.watch.enter(self.role, Phase::Call);
            let result = self.task.call(&self.context(context), inputs);
            self.watch.leave();
            if self.fault == Some(Fault::DeathAtEnd) && self.watch.fired().is_none() {
                self.watch.die(&self.store);
            }
            self.sight.lock().result = Some(result);
        }
        // An injected fault takes precedence over the plugin's own result.
        let seen = self.sight.lock().result.clone();
        match (self.watch.fired(), seen) {
            (Some(ended), _) => Err(ended),
            (None, Some(result)) => result,
            (None, None) => Err(TaskError::host(HostErrorKind::Trap, "it was not called")),
        }
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        let once = self.revert_once(context, outcome, cause)?;
        if !self.twice {
            return Ok(once);
        }
        // The checkpoint keeps the changes of the first revert, if the second one fails and is undone.
        context.checkpoint()?;
        self.revert_once(context, outcome, cause)
    }
}
