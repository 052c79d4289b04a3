//! Linear flows: tasks in order, run as one unit and rolled back as one unit.

mod acting;
mod acts;
mod attempt;
mod before;
mod builder;
mod call;
mod completion;
mod error;
mod flow_task;
mod guard;
mod notifier;
mod pivot;
mod progress;
mod recover;
mod reset;
mod resumer;
mod run;
mod sleep;
mod undo;
mod unwind;
mod wait;

pub(crate) use acting::{acting_host, hindrance};
pub(crate) use acts::ask_to_remove;
pub use acts::{Lane, Lanes, Provider, Providers};
pub use builder::FlowBuilder;
pub use completion::Completion;
pub use error::{FlowError, SignalError};
pub use notifier::{AlreadyRegistered, FlowNotice, Listener, ListenerError, Notifier, TaskNotice};
pub use recover::Recovery;
pub use resumer::{Finished, Resumer};
pub(crate) use run::{Callee, Step};
pub use wait::waiting;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tracing::field::display;

use cairn_effects::event::{Event, FlowState, TaskState};
use cairn_effects::history::{History, TaskRecord};
use cairn_effects::task::Task;
use cairn_manifest::manifest::Wait;
use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, TaskId};
use cairn_model::retry::Retry;
use cairn_model::trace::TraceId;
use cairn_model::value::Value;
use cairn_sandbox::admission::Admission;
use cairn_store::{Store, StoreError};

use flow_task::FlowTask;

/// Options of a task in a flow.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    /// The task's name in this flow; the name of its [`TaskSpec`](cairn_effects::task::TaskSpec) when `None`.
    pub name: Option<String>,
    /// Retries of its call.
    pub call: Retry,
    /// Retries of its revert.
    pub revert: Retry,
    /// Its id in the journal; a new one when `None`.
    pub id: Option<TaskId>,
    /// Makes the task a wait, which is never called: see [`waiting`].
    pub wait: Option<Wait>,
    /// Lets the task remove objects outside the database, after which the flow only goes forward. A flow has one such task at most.
    pub pivot: bool,
}

/// The result of a finished task.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The returned value.
    pub result: Arc<Value>,
}

/// A handle to a flow; clones are the same flow.
///
/// Every operation may be called from any thread, and from the flow's own tasks and listeners, which get
/// [`FlowError::InvalidState`] where it is not allowed.
#[derive(Clone)]
pub struct Flow(Arc<Inner>);

struct Inner {
    id: FlowId,
    store: Arc<dyn Store>,
    live: Mutex<LiveState>,
    /// Notified when the flow is interrupted.
    interrupted: Condvar,
    /// The intents whose acts threads are in. Locked after `live`.
    acting: Mutex<HashSet<u32>>,
    /// Notified when an act has ended.
    acted: Condvar,
    flow_notifier: Notifier<FlowState, FlowNotice>,
    task_notifier: Notifier<TaskState, TaskNotice>,
}

/// The state of a flow in memory: its history, and what the journal does not hold.
struct LiveState {
    history: History,
    flow_tasks: Vec<Arc<FlowTask>>,
    /// FlowTask of started tasks, including removed ones: the accumulator's tasks.
    started: HashMap<TaskId, Arc<FlowTask>>,
    parents: Vec<Flow>,
    resumer: Option<Arc<dyn Resumer>>,
    /// Admission checks before the first task.
    admission: Option<Arc<Admission>>,
    /// Providers of objects outside the database, by their names in the plan.
    providers: Arc<Providers>,
    /// Where acts run; in the caller's thread without them.
    lanes: Option<Arc<dyn Lanes>>,
    /// An operator accepts what is not known: a task whose object is in doubt counts as one that could not be reverted.
    accepts_doubts: bool,
    /// Another handle of the flow goes on.
    is_retired: bool,
    /// Whether the first event is in the journal.
    journalled: bool,
    /// A thread is inside `run` or `rollback`.
    inside: bool,
    /// Who asked for the operation that goes on: an event that the next append begins with.
    operated: Option<Event>,
    /// A run has reached its tasks. The next run continues it, and does not ask the resumer.
    left_off: bool,
}

impl Flow {
    /// Starts building a flow with this name.
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
        // A recovered flow continues where its journal ends.
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
                providers: Arc::default(),
                lanes: None,
                accepts_doubts: false,
                is_retired: false,
                journalled,
                inside: false,
                operated: None,
                left_off,
            }),
            interrupted: Condvar::new(),
            acting: Mutex::default(),
            acted: Condvar::new(),
            flow_notifier: Notifier::default(),
            task_notifier: Notifier::default(),
        }))
    }

    /// Returns the flow's id.
    pub fn id(&self) -> FlowId {
        self.0.id
    }

    /// Returns the trace that the flow belongs to.
    pub fn trace_id(&self) -> Option<TraceId> {
        let trace = self.0.live().history.requester.trace?;
        Some(trace.trace_id)
    }

    /// Returns the flow's name.
    pub fn name(&self) -> String {
        self.0.live().history.name.clone()
    }

    /// Returns the flow's state.
    pub fn state(&self) -> FlowState {
        self.0.live().history.state
    }

    /// Returns a copy of the flow's history.
    pub fn history(&self) -> History {
        self.0.live().history.clone()
    }

    /// Reads the flow's history without a copy. The flow is locked meanwhile.
    pub fn with_history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.0.live().history)
    }

    /// Returns the notifier of the flow's states.
    pub fn notifier(&self) -> &Notifier<FlowState, FlowNotice> {
        &self.0.flow_notifier
    }

    /// Returns the notifier of the tasks' states.
    pub fn task_notifier(&self) -> &Notifier<TaskState, TaskNotice> {
        &self.0.task_notifier
    }

    /// Returns the flow's tasks, in order, with their names.
    pub fn tasks(&self) -> Vec<(TaskId, Arc<str>)> {
        let live = self.0.live();
        let flow_tasks = live.flow_tasks.iter();
        flow_tasks
            .map(|flow_task| (flow_task.id, Arc::clone(&flow_task.name)))
            .collect()
    }

    /// Returns the results of finished tasks, in order of their first start.
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

    /// Returns the result of one task; `None` until the task has one.
    pub fn result(&self, task: TaskId) -> Option<Arc<Value>> {
        self.0.live().history.task(task)?.result.clone()
    }

    /// Returns whether a [fact](cairn_effects::domain::Fact) holds of this flow; the host keeps it until `reset`.
    pub fn fact(&self, name: &str) -> bool {
        self.0.live().history.fact(name)
    }

    /// Sets the resumer, which names finished tasks when the flow is run from its beginning.
    pub fn set_resumer(&self, resumer: Option<Arc<dyn Resumer>>) {
        self.0.live().resumer = resumer;
    }

    /// Sets the admission checks, which run in STARTED before the first task. A denied flow goes to FAILURE, and nothing is
    /// reverted. The checks run again when the flow is recovered or resumed before a task of it has started. `reset` keeps
    /// them.
    pub fn set_admission(&self, admission: Option<Arc<Admission>>) {
        self.0.live().admission = admission;
    }

    /// Sets the providers of objects outside the database that its tasks may use. `reset` keeps them.
    pub fn set_providers(&self, providers: Arc<Providers>) {
        self.0.live().providers = providers;
    }

    /// Sets where acts outside the database run. `reset` keeps them.
    pub fn set_lanes(&self, lanes: Arc<dyn Lanes>) {
        self.0.live().lanes = Some(lanes);
    }

    /// Appends a task, and returns the id under which its result is found.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while the flow runs.
    pub fn add(&self, task: Arc<dyn Task>) -> Result<TaskId, FlowError> {
        self.add_with(task, TaskOptions::default())
    }

    /// Appends a task with options; otherwise as [`add`](Self::add).
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] while the flow runs.
    pub fn add_with(&self, task: Arc<dyn Task>, options: TaskOptions) -> Result<TaskId, FlowError> {
        let mut live = self.outside("add")?;
        Ok(live.push(task, options))
    }

    /// Appends tasks in order, and returns their ids.
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

    /// Removes a task. The flow continues where it stopped; a removed task that was started is still reverted.
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

    // ---- Parts of the operations ----------------------------------------------------------------------------------

    /// Locks the live state, unless a thread is inside `run` or `rollback`.
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

    /// Begins the next append with an event that says who asked for the operation that follows. `None`: the operation is over.
    pub(crate) fn operated(&self, operated: Option<Event>) {
        self.0.live().operated = operated;
    }

    /// Makes every later operation on this handle fail: the flow is restored from its journal before it goes on.
    pub(crate) fn retire(&self) {
        self.0.live().is_retired = true;
    }

    /// Appends events to the journal, and applies them to the history.
    fn record(&self, live: &mut LiveState, events: Vec<Event>) -> Result<(), FlowError> {
        if live.is_retired {
            return Err(StoreError::WentOn(self.0.id).into());
        }
        let events = live.with_operated(events);
        let at = if live.journalled {
            self.0.store.append(self.0.id, &events)?
        } else {
            self.0.store.append(self.0.id, &live.with_first(&events))?
        };
        live.take_in(at, &events);
        Ok(())
    }

    /// [`record`](Self::record), for the thread inside the flow. Does not wait for the store, which reports an error at the
    /// next effect, or at the end.
    fn post(&self, live: &mut LiveState, events: impl Into<Arc<[Event]>>) {
        let mut events: Arc<[Event]> = events.into();
        if live.operated.is_some() {
            events = live.with_operated(events.to_vec()).into();
        }
        let at = if live.journalled {
            self.0.store.post(self.0.id, &events)
        } else {
            let journal = live.with_first(&events).into();
            self.0.store.post(self.0.id, &journal)
        };
        live.take_in(at, &events);
    }

    /// Changes the state and notifies listeners, for the thread inside the flow. Does nothing if the flow is in that state
    /// already.
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
            let trace_id = notice.flow.trace_id().map(display);
            tracing::debug!(flow = %notice.flow.id(), trace_id, state = %notice.state, old = %notice.old, "flow");
            Ok(())
        };
        let tasks = |notice: &TaskNotice| {
            let trace_id = notice.flow.trace_id().map(display);
            tracing::debug!(flow = %notice.flow.id(), trace_id, task = %notice.name, state = %notice.state, "task");
            Ok(())
        };
        // New listeners cannot be registered already.
        let _ = self.0.flow_notifier.register(None, Arc::new(flows));
        let _ = self.0.task_notifier.register(None, Arc::new(tasks));
    }
}

impl LiveState {
    /// Prepends the event that creates the flow.
    fn with_first(&self, events: &[Event]) -> Vec<Event> {
        let mut journal = Vec::with_capacity(events.len() + 1);
        journal.push(self.history.created());
        journal.extend(events.iter().cloned());
        journal
    }

    /// Prepends the event that says who asked for the operation, once.
    fn with_operated(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        if let Some(operated) = self.operated.take() {
            events.insert(0, operated);
        }
        events
    }

    /// Applies events that were written to the history.
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
            wait: options.wait,
            pivot: options.pivot,
        });
        let id = flow_task.id;
        // A task that the journal knows is on the accumulator: it was started.
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
