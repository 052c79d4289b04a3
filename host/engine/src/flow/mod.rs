//! Linear flows: tasks in order, run as one unit and rolled back as one unit.

mod builder;
mod call;
mod completion;
mod error;
mod flow_task;
mod guard;
mod notifier;
mod recover;
mod resumer;
mod run;
mod unwind;

pub use builder::FlowBuilder;
pub use completion::Completion;
pub use error::FlowError;
pub use notifier::{AlreadyRegistered, FlowNotice, Listener, ListenerError, Notifier, TaskNotice};
pub use recover::Recovery;
pub use resumer::{Finished, Resumer};
pub(crate) use run::{Callee, Step};

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use cairn_effects::event::{Event, FlowState, TaskState};
use cairn_effects::history::{History, TaskRecord};
use cairn_effects::task::Task;
use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, TaskId};
use cairn_model::retry::Retry;
use cairn_model::value::Value;
use cairn_sandbox::admission::Admission;
use cairn_store::Store;

use flow_task::FlowTask;

/// How a task stands in a flow.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    /// What it is called in this flow; the name of its [`TaskSpec`](cairn_effects::task::TaskSpec) when `None`.
    pub name: Option<String>,
    /// How often its call is tried.
    pub call: Retry,
    /// How often its revert is tried.
    pub revert: Retry,
    /// Its id, when it is known from a journal.
    pub id: Option<TaskId>,
}

/// What a finished task returned.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// What it returned.
    pub result: Arc<Value>,
}

/// A handle to a flow; clones are the same flow.
///
/// Every operation may be called from any thread, and from the flow's own tasks and listeners, who get
/// [`FlowError::InvalidState`] where it is not allowed.
#[derive(Clone)]
pub struct Flow(Arc<Inner>);

struct Inner {
    id: FlowId,
    store: Arc<dyn Store>,
    live: Mutex<LiveState>,
    /// Told when the flow is interrupted.
    interrupted: Condvar,
    flow_notifier: Notifier<FlowState, FlowNotice>,
    task_notifier: Notifier<TaskState, TaskNotice>,
}

/// The state of a flow in memory: its history, and what the journal does not hold.
struct LiveState {
    history: History,
    flow_tasks: Vec<Arc<FlowTask>>,
    /// Tasks that were started, removed ones too: the accumulator's tasks.
    started: HashMap<TaskId, Arc<FlowTask>>,
    parents: Vec<Flow>,
    resumer: Option<Arc<dyn Resumer>>,
    /// What is asked before the first task.
    admission: Option<Arc<Admission>>,
    /// Whether the first event is in the journal.
    journalled: bool,
    /// Inside `run` or `rollback`.
    inside: bool,
    /// A run got as far as its tasks, and the next one goes on after it.
    left_off: bool,
}

impl Flow {
    /// A flow of this name.
    pub fn builder(name: impl Into<String>) -> FlowBuilder {
        FlowBuilder::new(name.into())
    }

    fn from_history(
        id: FlowId,
        store: Arc<dyn Store>,
        history: History,
        parents: Vec<Self>,
        journalled: bool,
    ) -> Self {
        // Who was recovered had left off where its journal ends.
        let left_off = journalled && !history.tasks.is_empty();
        Self(Arc::new(Inner {
            id,
            store,
            live: Mutex::new(LiveState {
                history,
                flow_tasks: Vec::new(),
                started: HashMap::new(),
                parents,
                resumer: None,
                admission: None,
                journalled,
                inside: false,
                left_off,
            }),
            interrupted: Condvar::new(),
            flow_notifier: Notifier::default(),
            task_notifier: Notifier::default(),
        }))
    }

    /// Its id.
    pub fn id(&self) -> FlowId {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.0.live().history.name.clone()
    }

    /// Its state.
    pub fn state(&self) -> FlowState {
        self.0.live().history.state
    }

    /// What happened to it so far.
    pub fn history(&self) -> History {
        self.0.live().history.clone()
    }

    /// Reads what happened to it so far. The flow stands still meanwhile.
    pub fn with_history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.0.live().history)
    }

    /// Who is told of its states.
    pub fn notifier(&self) -> &Notifier<FlowState, FlowNotice> {
        &self.0.flow_notifier
    }

    /// Who is told of its tasks' states.
    pub fn task_notifier(&self) -> &Notifier<TaskState, TaskNotice> {
        &self.0.task_notifier
    }

    /// Its tasks, in order, with their names.
    pub fn tasks(&self) -> Vec<(TaskId, Arc<str>)> {
        let live = self.0.live();
        let flow_tasks = live.flow_tasks.iter();
        flow_tasks
            .map(|flow_task| (flow_task.id, Arc::clone(&flow_task.name)))
            .collect()
    }

    /// What its finished tasks returned, in order of their first start.
    pub fn results(&self) -> Vec<TaskResult> {
        let live = self.0.live();
        let finished = live.history.tasks.iter().filter_map(|task| {
            Some(TaskResult {
                task: task.id,
                name: task.name.clone(),
                result: Arc::clone(task.result.as_ref()?),
            })
        });
        finished.collect()
    }

    /// What one task returned; `None` until it has.
    pub fn result(&self, task: TaskId) -> Option<Arc<Value>> {
        self.0.live().history.task(task)?.result.clone()
    }

    /// Whether a [fact](cairn_effects::domain::Fact) holds of this flow; the host keeps it until `reset`.
    pub fn fact(&self, name: &str) -> bool {
        self.0.live().history.fact(name)
    }

    /// Whom to ask for finished tasks when the flow is run from its beginning.
    pub fn set_resumer(&self, resumer: Option<Arc<dyn Resumer>>) {
        self.0.live().resumer = resumer;
    }

    /// What is asked before the first task, in STARTED; a flow that is denied goes to FAILURE, and nothing is reverted. Asked
    /// again when the flow is taken up or resumed before a task of it has started. `reset` keeps it.
    pub fn set_admission(&self, admission: Option<Arc<Admission>>) {
        self.0.live().admission = admission;
    }

    /// Appends a task, and returns the uuid under which its result will be found.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while the flow runs.
    pub fn add(&self, task: Arc<dyn Task>) -> Result<TaskId, FlowError> {
        self.add_with(task, TaskOptions::default())
    }

    /// [`add`](Self::add), with options.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while the flow runs.
    pub fn add_with(&self, task: Arc<dyn Task>, options: TaskOptions) -> Result<TaskId, FlowError> {
        let mut live = self.outside("add")?;
        Ok(live.push(task, options))
    }

    /// Appends tasks in order, and returns their uuids.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while the flow runs; then none is added.
    pub fn add_many(
        &self,
        tasks: impl IntoIterator<Item = Arc<dyn Task>>,
    ) -> Result<Vec<TaskId>, FlowError> {
        let mut live = self.outside("add_many")?;
        let tasks = tasks.into_iter();
        Ok(tasks
            .map(|task| live.push(task, TaskOptions::default()))
            .collect())
    }

    /// Drops a task. Where the flow left off stays; a started task is still reverted.
    ///
    /// # Errors
    /// [`FlowError::UnknownTask`]; [`FlowError::InvalidState`] while the flow runs.
    pub fn remove(&self, task: TaskId) -> Result<(), FlowError> {
        let mut live = self.outside("remove")?;
        let index = live
            .flow_tasks
            .iter()
            .position(|flow_task| flow_task.id == task);
        let index = index.ok_or(FlowError::UnknownTask(task))?;
        live.flow_tasks.remove(index);
        Ok(())
    }

    /// Stops the flow: the task in hand finishes and the next one does not start. While the flow reverts, nothing changes.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] when it has not started or has ended.
    pub fn interrupt(&self) -> Result<(), FlowError> {
        use FlowState::{
            Failure, Interrupted, Pending, Resuming, Reverting, Running, Started, Success,
        };
        let from = {
            let mut live = self.0.live();
            let state = live.history.state;
            match state {
                Pending | Success | Failure => return Err(live.invalid("interrupt")),
                Reverting | Interrupted => return Ok(()),
                Started | Resuming | Running => {}
            }
            self.record(
                &mut live,
                vec![Event::State {
                    from: state,
                    to: Interrupted,
                }],
            )?;
            state
        };
        self.0.interrupted.notify_all();
        self.tell_flow(Interrupted, from);
        Ok(())
    }

    /// Makes an interrupted flow ready to go on where it left off.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] in any other state.
    pub fn soft_reset(&self) -> Result<(), FlowError> {
        {
            let mut live = self.0.live();
            if live.history.state != FlowState::Interrupted {
                return Err(live.invalid("soft_reset"));
            }
            self.record(
                &mut live,
                vec![Event::State {
                    from: FlowState::Interrupted,
                    to: FlowState::Pending,
                }],
            )?;
        }
        self.tell_flow(FlowState::Pending, FlowState::Interrupted);
        Ok(())
    }

    /// Makes the flow as new: results, accumulator, listeners, resumer and the fact of committed quota are gone; its tasks stay.
    /// What a success or a rollback left stands for good, and every later verdict names it.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] inside `run`; [`FlowError::EffectsStand`] when an interrupted or failed flow has
    /// effects that nobody has undone.
    pub fn reset(&self) -> Result<(), FlowError> {
        self.reset_when(|history| match history.state {
            FlowState::Interrupted | FlowState::Failure if history.effects_stand() => {
                Err(FlowError::EffectsStand)
            }
            _ => Ok(()),
        })
    }

    /// [`reset`](Self::reset) of a flow that left nothing, so that nothing is forgotten with it.
    ///
    /// # Errors
    /// Besides those of [`reset`](Self::reset): [`FlowError::EffectsStand`] in every state; [`FlowError::Unreverted`] when the
    /// rollback is incomplete and not accepted; [`FlowError::Left`] when it left something.
    pub fn reset_clean(&self) -> Result<(), FlowError> {
        self.reset_when(|history| {
            if history.effects_stand() {
                return Err(FlowError::EffectsStand);
            }
            if history.is_incomplete() {
                return Err(FlowError::Unreverted);
            }
            let left = history.left();
            match left.is_empty() {
                true => Ok(()),
                false => Err(FlowError::Left(left)),
            }
        })
    }

    fn reset_when(
        &self,
        allowed: impl FnOnce(&History) -> Result<(), FlowError>,
    ) -> Result<(), FlowError> {
        use FlowState::{
            Failure, Interrupted, Pending, Resuming, Reverting, Running, Started, Success,
        };
        let mut live = self.outside("reset")?;
        let state = live.history.state;
        match state {
            Started | Resuming | Running | Reverting => return Err(live.invalid("reset")),
            Interrupted | Failure | Pending | Success => allowed(&live.history)?,
        }
        if live.journalled {
            let mut events = vec![Event::Reset];
            if state != Pending {
                events.push(Event::State {
                    from: state,
                    to: Pending,
                });
            }
            self.record(&mut live, events)?;
        }
        // Listeners go with the rest: nobody is told of a reset.
        self.0.flow_notifier.clear();
        self.0.task_notifier.clear();
        live.resumer = None;
        live.left_off = false;
        live.started.clear();
        Ok(())
    }

    // ---- What the operations are made of ------------------------------------------------------------------------

    /// The live state, while nobody is inside `run` or `rollback`.
    fn outside(
        &self,
        operation: &'static str,
    ) -> Result<parking_lot::MutexGuard<'_, LiveState>, FlowError> {
        let live = self.0.live();
        if live.inside {
            return Err(live.invalid(operation));
        }
        Ok(live)
    }

    /// Writes events, and takes them in.
    fn record(&self, live: &mut LiveState, events: Vec<Event>) -> Result<(), FlowError> {
        let at = if live.journalled {
            self.0.store.append(self.0.id, &events)?
        } else {
            self.0.store.append(self.0.id, &live.with_first(&events))?
        };
        live.take_in(at, &events);
        Ok(())
    }

    /// [`record`](Self::record), for whoever is inside: nobody waits for the store, which tells what went wrong at the next
    /// effect, or at the end.
    fn post(&self, live: &mut LiveState, events: impl Into<Arc<[Event]>>) {
        let events = events.into();
        let at = if live.journalled {
            self.0.store.post(self.0.id, &events)
        } else {
            let journal = live.with_first(&events).into();
            self.0.store.post(self.0.id, &journal)
        };
        live.take_in(at, &events);
    }

    /// Changes the state, and tells of it, for whoever is inside. Nothing happens when that is the state already.
    fn change(&self, to: FlowState) {
        let from = {
            let mut live = self.0.live();
            let from = live.history.state;
            if from == to {
                return;
            }
            self.post(&mut live, [Event::State { from, to }]);
            from
        };
        self.tell_flow(to, from);
    }

    fn tell_flow(&self, state: FlowState, old: FlowState) {
        self.0.flow_notifier.tell(state, || FlowNotice {
            flow: self.clone(),
            state,
            old,
        });
    }

    fn tell_task(&self, task: TaskId, state: TaskState) {
        let notice = || {
            let live = self.0.live();
            let record = live.record_of(task);
            TaskNotice {
                flow: self.clone(),
                task,
                name: Arc::from(record.map_or("", |record| &*record.name)),
                state,
                result: record.and_then(|record| record.result.clone()),
                error: record.and_then(|record| {
                    record.revert_error.clone().or_else(|| record.error.clone())
                }),
            }
        };
        self.0.task_notifier.tell(state, notice);
    }

    /// Logs every transition with `tracing`, at level debug, until `reset`.
    pub fn log_transitions(&self) {
        let flows = |notice: &FlowNotice| {
            tracing::debug!(flow = %notice.flow.id(), state = %notice.state, old = %notice.old, "flow");
            Ok(())
        };
        let tasks = |notice: &TaskNotice| {
            tracing::debug!(flow = %notice.flow.id(), task = %notice.name, state = %notice.state, "task");
            Ok(())
        };
        // Listeners that were just made are registered nowhere yet.
        let _ = self.0.flow_notifier.register(None, Arc::new(flows));
        let _ = self.0.task_notifier.register(None, Arc::new(tasks));
    }
}

impl LiveState {
    /// Events with the one before them that makes the flow.
    fn with_first(&self, events: &[Event]) -> Vec<Event> {
        let mut journal = Vec::with_capacity(events.len() + 1);
        journal.push(self.history.created());
        journal.extend(events.iter().cloned());
        journal
    }

    /// Takes in events that were written.
    fn take_in(&mut self, at: Timestamp, events: &[Event]) {
        self.journalled = true;
        for event in events {
            self.history.apply(at, event);
        }
    }

    /// Appends a task.
    fn push(&mut self, task: Arc<dyn Task>, options: TaskOptions) -> TaskId {
        let name = options.name.as_deref().unwrap_or(&task.spec().name);
        let flow_task = Arc::new(FlowTask {
            id: options.id.unwrap_or_else(TaskId::new),
            name: Arc::from(name),
            task,
            call: options.call,
            revert: options.revert,
        });
        let id = flow_task.id;
        // A task that the journal knows already is on the accumulator again.
        if self.history.task(id).is_some() {
            self.started.insert(id, Arc::clone(&flow_task));
        }
        self.flow_tasks.push(flow_task);
        id
    }

    fn invalid(&self, operation: &'static str) -> FlowError {
        FlowError::InvalidState {
            operation,
            state: self.history.state,
            inside: self.inside,
        }
    }

    fn record_of(&self, task: TaskId) -> Option<&TaskRecord> {
        self.history.task(task)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.store.release(self.id);
    }
}
