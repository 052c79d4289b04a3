//! Injects a fault into the middle of a flow.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::rules::{AnyAnswer, DynEffect};
use cairn::task::{ContextLayer, Outcome};
use cairn::{Context, Flow, Object, Task, TaskError, TaskSpec, Value};

use crate::plan::{Fault, Moment, What};

/// The tasks of the flow, in order.
const TASKS: [&str; 7] = [
    "inject",
    "extract-volume-request",
    "quota-reserve",
    "entry-create",
    "quota-commit",
    "on-failure-change-status",
    "volume-cast",
];

/// The scheduled fault, the flow that it may interrupt, and the files that it saved.
pub struct Script {
    database: PathBuf,
    armed: Mutex<Option<Fault>>,
    flow: Mutex<Option<Flow>>,
    /// The database as it was on disk at the simulated death of the process.
    remains: Mutex<Option<PathBuf>>,
}

impl Script {
    pub fn new(database: &Path) -> Arc<Self> {
        Arc::new(Self {
            database: database.to_owned(),
            armed: Mutex::default(),
            flow: Mutex::default(),
            remains: Mutex::default(),
        })
    }

    /// Injects `fault` into the next flow that reaches its place; only the flow given here is interrupted.
    pub fn arm(&self, fault: Option<Fault>, flow: Option<&Flow>) {
        *self.armed.lock().unwrap() = fault;
        *self.flow.lock().unwrap() = flow.cloned();
    }

    /// Removes the fault; returns the saved files if the process was to die.
    pub fn disarm(&self) -> Option<PathBuf> {
        self.arm(None, None);
        self.remains.lock().unwrap().take()
    }

    /// # Errors
    /// If the call is to fail.
    fn reach(&self, task: usize, reverting: bool, moment: Moment) -> Result<(), TaskError> {
        let mut armed = self.armed.lock().unwrap();
        let here = |fault: &Fault| {
            (fault.task, fault.reverting, fault.moment) == (task, reverting, moment)
        };
        let Some(fault) = armed.take_if(|fault| here(fault)) else {
            return Ok(());
        };
        match fault.what {
            What::Fail => return Err(TaskError::new("Fault", "this is to fail")),
            What::Interrupt => {
                // A flow that is already reverting ignores it.
                let flow = self.flow.lock().unwrap().clone();
                flow.map(|flow| flow.interrupt());
            }
            What::Die => {
                let remains = self.database.with_extension("remains");
                for suffix in ["", "-wal"] {
                    let file = |path: &Path| format!("{}{suffix}", path.display());
                    std::fs::copy(file(&self.database), file(&remains)).unwrap();
                }
                *self.remains.lock().unwrap() = Some(remains);
            }
        }
        Ok(())
    }

    /// Wraps a task with this script.
    pub fn wrap(self: &Arc<Self>, plugin: &str, task: Arc<dyn Task>) -> Arc<dyn Task> {
        let number = TASKS.iter().position(|name| *name == plugin);
        Arc::new(Scripted {
            number: number.expect("a task of the volume-create flow"),
            script: Arc::clone(self),
            task,
        })
    }
}

struct Scripted {
    number: usize,
    script: Arc<Script>,
    task: Arc<dyn Task>,
}

impl Scripted {
    fn watched(&self, context: &Arc<dyn Context>, reverting: bool) -> Arc<dyn Context> {
        Arc::new(Watched {
            context: Arc::clone(context),
            number: self.number,
            reverting,
            effects: AtomicUsize::new(0),
            script: Arc::clone(&self.script),
        })
    }
}

impl Task for Scripted {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        self.script.reach(self.number, false, Moment::Before)?;
        let result = self.task.call(&self.watched(context, false), inputs)?;
        self.script.reach(self.number, false, Moment::After)?;
        Ok(result)
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.script.reach(self.number, true, Moment::Before)?;
        let context = self.watched(context, true);
        let disposition = self.task.revert(&context, outcome, cause)?;
        self.script.reach(self.number, true, Moment::After)?;
        Ok(disposition)
    }
}

/// Counts the effects of a call.
struct Watched {
    context: Arc<dyn Context>,
    number: usize,
    reverting: bool,
    effects: AtomicUsize,
    script: Arc<Script>,
}

impl ContextLayer for Watched {
    fn below(&self) -> &dyn Context {
        &*self.context
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        let answer = self.context.apply_dyn(effect)?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst);
        self.script
            .reach(self.number, self.reverting, Moment::Effect(number))?;
        Ok(answer)
    }
}
