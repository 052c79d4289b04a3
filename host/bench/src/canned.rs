//! Records the host's answers to each task of a real flow, and replays them without a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use cairn::event::LogLevel;
use cairn::host::ReadyTask;
use cairn::id::{CallId, Phase};
use cairn::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn::task::ContextLayer;
use cairn::{Context, FlowId, Identity, Object, Task, TaskError, TaskId, TaskSpec, Value};

use crate::BenchError;
use crate::stage::Stage;

/// A recorded call of a task: its inputs and the host's answers.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    pub(crate) requester: Identity,
    pub(crate) request: Value,
    pub(crate) inputs: Object,
    pub(crate) answers: Vec<Answered>,
    pub(crate) found: Vec<Answered>,
}

/// A recorded answer.
#[derive(Clone)]
pub(crate) struct Answered {
    again: Arc<dyn Fn() -> AnyAnswer + Send + Sync>,
    /// The answer in JSON.
    pub(crate) shown: Value,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shown.fmt(f)
    }
}

impl Answered {
    /// Records an answer, if it has one of the types that occur in the benchmark's tasks.
    fn new(answer: &AnyAnswer, shown: Value) -> Result<Self, TaskError> {
        type Again = Arc<dyn Fn() -> AnyAnswer + Send + Sync>;
        fn of<T: Clone + Send + Sync + 'static>(answer: &AnyAnswer) -> Option<Again> {
            let answer = answer.downcast_ref::<T>()?.clone();
            Some(Arc::new(move || Box::new(answer.clone())))
        }
        let again = of::<()>(answer)
            .or_else(|| of::<Value>(answer))
            .or_else(|| of::<Vec<String>>(answer))
            .or_else(|| of::<String>(answer))
            .or_else(|| of::<bool>(answer));
        let again =
            again.ok_or_else(|| TaskError::new("NotRecorded", "an answer of another type"))?;
        Ok(Self { again, shown })
    }
}

/// Runs one flow of the stage, and returns the recorded calls of its tasks, in order.
pub(crate) fn record(stage: &Stage) -> Result<Vec<Tape>, BenchError> {
    let tapes = Arc::new(Mutex::new(Vec::new()));
    let tasks = stage.ready.tasks().iter().cloned();
    let tasks: Vec<ReadyTask> = tasks
        .map(|(options, task)| {
            let tapes = Arc::clone(&tapes);
            let spy: Arc<dyn Task> = Arc::new(Spy { task, tapes });
            (options, spy)
        })
        .collect();
    stage.case.check(&stage.run_tasks(&tasks, stage.ask())?)?;
    let tapes = tapes.lock();
    Ok(tapes.clone())
}

/// A task whose calls are recorded.
struct Spy {
    task: Arc<dyn Task>,
    tapes: Arc<Mutex<Vec<Tape>>>,
}

impl Task for Spy {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let tape = Tape {
            requester: context.requester().clone(),
            request: context.request().clone(),
            inputs: inputs.clone(),
            answers: Vec::new(),
            found: Vec::new(),
        };
        let heard = Arc::new(Heard {
            context: Arc::clone(context),
            tape: Mutex::new(tape),
        });
        let context: Arc<dyn Context> = Arc::clone(&heard) as _;
        let result = self.task.call(&context, inputs);
        let mut tapes = self.tapes.lock();
        tapes.push(heard.tape().clone());
        result
    }
}

/// A context that records its answers.
struct Heard {
    context: Arc<dyn Context>,
    tape: Mutex<Tape>,
}

impl Heard {
    fn tape(&self) -> parking_lot::MutexGuard<'_, Tape> {
        self.tape.lock()
    }
}

impl ContextLayer for Heard {
    fn below(&self) -> &dyn Context {
        &*self.context
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        let answer = self.context.apply_dyn(effect)?;
        let answered = Answered::new(&answer, effect.show(&*answer))?;
        self.tape().answers.push(answered);
        Ok(answer)
    }

    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        let found = self.context.look_up_dyn(look_up)?;
        let answered = Answered::new(&found, look_up.show(&*found))?;
        self.tape().found.push(answered);
        Ok(found)
    }
}

/// A context that replays a tape, to measure the engine's calls without a store.
pub(crate) struct Canned {
    tape: Arc<Tape>,
    answered: AtomicUsize,
    found: AtomicUsize,
}

impl Canned {
    pub(crate) fn context(tape: &Arc<Tape>) -> Arc<dyn Context> {
        Arc::new(Self {
            tape: Arc::clone(tape),
            answered: AtomicUsize::new(0),
            found: AtomicUsize::new(0),
        })
    }
}

fn next(answers: &[Answered], next: &AtomicUsize) -> Result<AnyAnswer, TaskError> {
    let answer = answers.get(next.fetch_add(1, Ordering::Relaxed));
    answer.map(|answer| (answer.again)()).ok_or_else(|| {
        TaskError::new(
            "NotRecorded",
            "the recorded call has fewer host calls than this one",
        )
    })
}

impl Context for Canned {
    fn call(&self) -> CallId {
        CallId {
            flow: FlowId::new(),
            task: TaskId::new(),
            phase: Phase::Call,
            attempt: 1,
        }
    }

    fn requester(&self) -> &Identity {
        &self.tape.requester
    }

    fn request(&self) -> &Value {
        &self.tape.request
    }

    fn fact(&self, _name: &str) -> bool {
        false
    }

    fn result(&self, _name: &str) -> Option<Value> {
        None
    }

    fn results(&self) -> Vec<(String, Value)> {
        Vec::new()
    }

    fn apply_dyn(&self, _effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        next(&self.tape.answers, &self.answered)
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }

    fn look_up_dyn(&self, _look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        next(&self.tape.found, &self.found)
    }

    fn log(&self, _level: LogLevel, _message: String) {}
}
