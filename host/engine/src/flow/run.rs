//! Runs a flow: replays finished tasks, calls the others, stops when interrupted.

use std::sync::Arc;

use cairn_effects::effect::{Applied, Caller, Change};
use cairn_effects::event::{Event, FlowState, TaskState};
use cairn_effects::history::{Act, is_intent};
use cairn_effects::outbox::IsGone;
use cairn_effects::rows::Text;
use cairn_effects::task::Context;
use cairn_manifest::wire::Wiring;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{CallId, Identity, Phase, TaskId};
use cairn_model::value::{Object, Value};

use super::acts::is_in_doubt;
use super::call::Call;
use super::flow_task::{self, FlowTask};
use super::guard::guard;
use super::progress::Progress;
use super::unwind::Unwinding;
use super::{Completion, Finished, Flow, FlowError};

/// Marks a flow as entered by a thread, until it is dropped.
pub(super) struct Inside(Flow);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.live().inside = false;
    }
}

/// The tasks of a run, and its progress.
pub(super) struct Course {
    flow_tasks: Vec<Arc<FlowTask>>,
    /// One for each flow task.
    wiring: Vec<Wiring<TaskId>>,
    next: usize,
    /// The rollback, once a task has failed.
    pub(super) unwinding: Option<Unwinding>,
}

/// A run that is paused between two tasks. Dropping it leaves the flow as it is.
pub(crate) struct Run {
    flow: Flow,
    course: Course,
    inside: Inside,
}

/// Identifies a function of a task; two flows of a plan share the functions of their tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callee {
    /// The task's address in memory; `None` if its code is not loaded.
    task: Option<usize>,
    phase: Phase,
}

#[cfg(test)]
impl Callee {
    /// Returns the function that calls a task.
    pub(crate) fn of(task: usize) -> Self {
        Self {
            task: Some(task),
            phase: Phase::Call,
        }
    }
}

/// The outcome of one step of a run.
pub(crate) enum Step {
    /// More steps follow.
    Next(Run),
    /// The run is over, or the flow sleeps.
    Completion(Completion),
}

impl Run {
    /// Runs the next task, or reverts the last one.
    pub(crate) fn step(mut self) -> Step {
        let more = match self.flow.state() {
            // Interrupted since the last step.
            FlowState::Interrupted => Ok(Progress::Over),
            _ => self.flow.go_on(&mut self.course),
        };
        match more {
            Ok(Progress::More) => Step::Next(self),
            ended => {
                drop(self.inside);
                Step::Completion(Completion::new(&self.flow, ended.map(drop)))
            }
        }
    }

    /// Returns the function that the next step calls.
    pub(crate) fn next(&self) -> Callee {
        let course = &self.course;
        let (flow_task, phase) = match &course.unwinding {
            None => (course.flow_tasks.get(course.next).cloned(), Phase::Call),
            Some(unwinding) => {
                let live = self.flow.0.live();
                let last = unwinding.left.last();
                let flow_task = last.and_then(|task| live.started.get(task).cloned());
                (flow_task, Phase::Revert)
            }
        };
        Callee {
            task: flow_task.map(|flow_task| Arc::as_ptr(&flow_task.task).addr()),
            phase,
        }
    }
}

impl Flow {
    /// Marks the flow as entered. The caller has checked that no thread is inside.
    pub(super) fn enter(&self, live: &mut super::LiveState) -> Inside {
        live.inside = true;
        Inside(self.clone())
    }

    /// Runs the flow from [`FlowState::Pending`] to SUCCESS, to INTERRUPTED, or, rolled back, to FAILURE; waits while it sleeps. The end
    /// is durable on return.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] in any other state. [`FlowError::Failed`] with the first error when a task fails,
    /// [`FlowError::MissingDependencies`] when an input has no provider. [`FlowError::Store`] when the store fails:
    /// the flow then has the state of its journal on disk.
    pub fn run(&self) -> Result<(), FlowError> {
        self.run_to_end().see_through()
    }

    /// Runs the flow as [`run`](Self::run) does, without waiting for the disk, or until it sleeps.
    pub fn run_to_end(&self) -> Completion {
        Completion::new(self, self.run_undurable())
    }

    pub(super) fn run_undurable(&self) -> Result<(), FlowError> {
        let _inside = self.enter_to_run()?;
        self.open()?;
        self.run_started()
    }

    /// Starts a run that the caller continues task by task; otherwise as [`run_to_end`](Self::run_to_end).
    pub(crate) fn start(&self) -> Step {
        self.first_step(self.enter_to_run().and_then(|inside| {
            self.open()?;
            Ok(self.course()?.map(|course| (course, inside)))
        }))
    }

    pub(super) fn first_step(&self, begun: Result<Option<(Course, Inside)>, FlowError>) -> Step {
        match begun {
            Ok(Some((course, inside))) => Step::Next(Run {
                flow: self.clone(),
                course,
                inside,
            }),
            Ok(None) => Step::Completion(Completion::new(self, Ok(()))),
            Err(error) => Step::Completion(Completion::new(self, Err(error))),
        }
    }

    fn enter_to_run(&self) -> Result<Inside, FlowError> {
        let mut live = self.outside("run")?;
        if live.history.state != FlowState::Pending {
            return Err(live.invalid("run"));
        }
        Ok(self.enter(&mut live))
    }

    /// Moves the flow to STARTED.
    fn open(&self) -> Result<(), FlowError> {
        let (from, to) = (FlowState::Pending, FlowState::Started);
        {
            let mut live = self.0.live();
            let events = [Event::State { from, to }];
            // Waits for the store, since it may be refused: another flow may hold the key, or another process may have resumed
            // this flow.
            if live.journalled || live.history.key.is_some() {
                self.record(&mut live, events.into())?;
            } else {
                self.post(&mut live, events);
            }
        }
        self.tell_flow(to, from);
        Ok(())
    }

    /// Runs the rest of a started flow, for the thread inside it.
    pub(super) fn run_started(&self) -> Result<(), FlowError> {
        let Some(mut course) = self.course()? else {
            return Ok(());
        };
        while self.go_on(&mut course)? == Progress::More {}
        Ok(())
    }

    /// Does everything that precedes the first call; returns `None` if no call follows.
    fn course(&self) -> Result<Option<Course>, FlowError> {
        if self.state() == FlowState::Interrupted {
            return Ok(None);
        }
        let mut course = match self.course_from_start() {
            Ok(course) => course,
            Err(missing) => {
                let cause = Cause {
                    task: missing.details["task"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    error: missing.clone(),
                };
                return match self.fail_before_any_task(cause)? {
                    true => Err(FlowError::MissingDependencies(missing)),
                    false => Ok(None),
                };
            }
        };
        if !self.pass_admission()? {
            return Ok(None);
        }
        self.replay(&course.flow_tasks)?;
        self.0.live().left_off = true;
        if !self.advance(FlowState::Running) {
            return Ok(None);
        }
        let is_more = self.find_next(&mut course) == Progress::More;
        Ok(is_more.then_some(course))
    }

    /// Wires the tasks.
    pub(super) fn course_from_start(&self) -> Result<Course, TaskError> {
        let flow_tasks = self.0.live().flow_tasks.clone();
        let wiring = flow_task::wiring(&flow_tasks)?;
        Ok(Course {
            flow_tasks,
            wiring,
            next: 0,
            unwinding: None,
        })
    }

    /// Runs the next task of a course, or reverts the last one.
    fn go_on(&self, course: &mut Course) -> Result<Progress, FlowError> {
        if let Some(unwinding) = &mut course.unwinding {
            return match self.unwind_one(unwinding)? {
                Progress::Over => Err(FlowError::Failed(Box::new(unwinding.cause.clone()))),
                progress => Ok(progress),
            };
        }
        let (flow_task, wiring) = (&course.flow_tasks[course.next], &course.wiring[course.next]);
        let done = match &flow_task.wait {
            Some(wait) => self.wait(flow_task, wait, wiring)?,
            None => self.run_task(flow_task, wiring)?,
        };
        match done {
            Ok(Progress::Asleep) => Ok(Progress::Asleep),
            Ok(_) => Ok(self.find_next(course)),
            Err(cause) => {
                course.unwinding = Some(self.begin_unwinding(cause)?);
                Ok(Progress::More)
            }
        }
    }

    /// Finds the next task to run. If there is none, the flow has succeeded, unless it was interrupted.
    pub(super) fn find_next(&self, course: &mut Course) -> Progress {
        if self.state() == FlowState::Interrupted {
            return Progress::Over;
        }
        while let Some(flow_task) = course.flow_tasks.get(course.next) {
            if !self.is_finished(flow_task.id) {
                return Progress::More;
            }
            course.next += 1;
        }
        if self.advance(FlowState::Success) {
            self.0.live().left_off = false;
        }
        Progress::Over
    }

    /// Runs the admission checks that precede the first task; returns whether the flow continues. An interrupt during the
    /// checks takes precedence over their result; they run again when the flow is resumed.
    fn pass_admission(&self) -> Result<bool, FlowError> {
        let (admission, requester, request) = {
            let live = self.0.live();
            let Some(admission) = live
                .admission
                .clone()
                .filter(|_| live.history.tasks.is_empty())
            else {
                return Ok(true);
            };
            let history = &live.history;
            (
                admission,
                Arc::clone(&history.requester),
                Arc::clone(&history.request),
            )
        };
        let mut notes = Vec::new();
        let passed = guard(|| admission.pass(&requester, &request, &mut |event| notes.push(event)));
        if !notes.is_empty() {
            self.record(&mut self.0.live(), notes)?;
        }
        if self.state() == FlowState::Interrupted {
            return Ok(false);
        }
        let Err(error) = passed else {
            return Ok(true);
        };
        let cause = Cause {
            task: String::new(),
            error,
        };
        match self.fail_before_any_task(cause.clone())? {
            true => Err(FlowError::Failed(Box::new(cause))),
            false => Ok(false),
        }
    }

    /// Fails the flow before any task was started, so there is nothing to revert. Cause and state are one append: recovery
    /// finds both or neither. Returns false, and changes nothing, if the flow is interrupted.
    fn fail_before_any_task(&self, cause: Cause) -> Result<bool, FlowError> {
        let to = FlowState::Failure;
        let from = {
            let mut live = self.0.live();
            let from = live.history.state;
            if from == FlowState::Interrupted {
                return Ok(false);
            }
            self.record(
                &mut live,
                vec![Event::Failed(cause), Event::State { from, to }],
            )?;
            from
        };
        self.tell_flow(to, from);
        Ok(true)
    }

    fn is_finished(&self, task: TaskId) -> bool {
        let live = self.0.live();
        live.record_of(task)
            .is_some_and(|task| task.result.is_some())
    }

    /// Changes the state in one step, unless the flow is interrupted; returns false if it is interrupted now.
    fn advance(&self, to: FlowState) -> bool {
        let from = {
            let mut live = self.0.live();
            let from = live.history.state;
            if from == FlowState::Interrupted {
                return false;
            }
            self.post(&mut live, [Event::State { from, to }]);
            from
        };
        self.tell_flow(to, from);
        self.state() != FlowState::Interrupted
    }

    /// Asks the resumer for finished tasks, and records them as if they had just run.
    fn replay(&self, flow_tasks: &[Arc<FlowTask>]) -> Result<(), FlowError> {
        let resumer = {
            let live = self.0.live();
            live.resumer.clone().filter(|_| !live.left_off)
        };
        let Some(resumer) = resumer else {
            return Ok(());
        };
        let order: Vec<_> = flow_tasks
            .iter()
            .map(|flow_task| (flow_task.id, Arc::clone(&flow_task.name)))
            .collect();
        let finished = match resumer.finished(self, &order) {
            Ok(finished) => finished,
            Err(error) => {
                let cause = Cause {
                    task: String::new(),
                    error,
                };
                return match self.fail_before_any_task(cause.clone())? {
                    true => Err(FlowError::Failed(Box::new(cause))),
                    false => Ok(()),
                };
            }
        };
        if !finished.is_empty() {
            self.advance(FlowState::Resuming);
        }
        for Finished { task, result } in finished {
            let Some(flow_task) = flow_tasks.iter().find(|flow_task| flow_task.id == task) else {
                continue;
            };
            self.begin(
                flow_task,
                Event::Replayed {
                    task,
                    name: flow_task.name.to_string(),
                },
            );
            match result {
                Ok(result) => self.succeeded(flow_task, result),
                Err(error) => {
                    let cause = self.failed(flow_task, error)?;
                    self.unwind(&cause)?;
                    return Err(FlowError::Failed(Box::new(cause)));
                }
            }
        }
        Ok(())
    }

    /// Puts a task on the accumulator before anything else happens to it.
    pub(super) fn begin(&self, flow_task: &Arc<FlowTask>, event: Event) {
        {
            let mut live = self.0.live();
            live.started.insert(flow_task.id, Arc::clone(flow_task));
            self.post(&mut live, [event]);
        }
        self.tell_task(flow_task.id, TaskState::Started);
    }

    pub(super) fn succeeded(&self, flow_task: &FlowTask, result: impl Into<Arc<Value>>) {
        let event = Event::Succeeded {
            task: flow_task.id,
            result: result.into(),
        };
        self.post(&mut self.0.live(), [event]);
        self.tell_task(flow_task.id, TaskState::Success);
    }

    /// Records that a task failed for good, and undoes its effects. The caller rolls the flow back for the returned cause.
    pub(super) fn failed(
        &self,
        flow_task: &FlowTask,
        error: TaskError,
    ) -> Result<Cause, FlowError> {
        let cause = Cause {
            task: flow_task.name.to_string(),
            error: error.clone(),
        };
        let failed = Event::TaskFailed {
            task: flow_task.id,
            error,
        };
        // One append, so that recovery never calls a task again that had failed for good.
        let events = [failed, Event::Failed(cause.clone())];
        self.post(&mut self.0.live(), events);
        // An undo that is refused now is tried again, and reported, when the task is reverted.
        let _refused = self.undo(flow_task.id, Phase::Call)?;
        self.tell_task(flow_task.id, TaskState::Failure);
        Ok(cause)
    }

    /// Calls a task, with its retries. The inner error is the cause of the rollback.
    fn run_task(
        &self,
        flow_task: &Arc<FlowTask>,
        wiring: &Wiring<TaskId>,
    ) -> Result<Result<Progress, Cause>, FlowError> {
        // If effects of an interrupted attempt cannot be undone, another attempt would repeat them.
        match self.undo(flow_task.id, Phase::Call)? {
            Ok(()) => {}
            Err(error) if is_in_doubt(&error) => {
                return Ok(Ok(self.look_again_later(flow_task.id)));
            }
            Err(_) if self.is_past_pivot() => return Ok(Ok(self.go_forward_later(flow_task.id))),
            Err(refused) => return self.failed(flow_task, refused).map(Err),
        }
        loop {
            if self.end_removals()?.is_err() {
                return Ok(Ok(self.look_again_later(flow_task.id)));
            }
            let (attempt, retries) = {
                let live = self.0.live();
                live.record_of(flow_task.id).map_or((1, 0), |task| {
                    (task.next_attempt(Phase::Call), task.retries(Phase::Call))
                })
            };
            let started = Event::Started {
                task: flow_task.id,
                name: flow_task.name.to_string(),
                attempt,
            };
            if retries == 0 {
                self.begin(flow_task, started);
            } else {
                self.post(&mut self.0.live(), [started]);
            }
            let made = retries + 1;
            let inputs = flow_task::inputs(wiring, &self.0.live().history);
            match self.call(flow_task, attempt, inputs) {
                Ok(result) => {
                    self.succeeded(flow_task, result);
                    return Ok(Ok(Progress::More));
                }
                Err(error) => {
                    let is_again = flow_task.call.again(made, &error.kind);
                    if !is_again && !self.is_past_pivot() {
                        return self.failed(flow_task, error).map(Err);
                    }
                    // Closes the attempt before its effects are collected, so that late effects are refused.
                    let retried = Event::Retried {
                        task: flow_task.id,
                        error: error.clone(),
                    };
                    self.post(&mut self.0.live(), [retried]);
                    match self.undo(flow_task.id, Phase::Call)? {
                        Ok(()) => {}
                        Err(error) if is_in_doubt(&error) => {
                            return Ok(Ok(self.look_again_later(flow_task.id)));
                        }
                        Err(_) if self.is_past_pivot() => {}
                        Err(_) => return self.failed(flow_task, error).map(Err),
                    }
                    if !is_again {
                        return Ok(Ok(self.go_forward_later(flow_task.id)));
                    }
                    match self.pause(flow_task.id, flow_task.call.wait(made)) {
                        Progress::More => {}
                        progress => return Ok(Ok(progress)),
                    }
                }
            }
        }
    }

    fn call(&self, flow_task: &FlowTask, attempt: u32, inputs: Object) -> Result<Value, TaskError> {
        let context = self.context(flow_task.id, Phase::Call, attempt);
        let result = guard(|| flow_task.task.call(&context, inputs))?;
        // A task that went on in spite of it has not succeeded.
        let live = self.0.live();
        match live.history.unsettled_act(context.call()) {
            Some(Act::InDoubt(error, _)) => Err(error.clone()),
            Some(_) => {
                let message = "the task returned before an act of it had ended";
                Err(TaskError::host(HostErrorKind::InDoubt, message))
            }
            None => Ok(result),
        }
    }

    /// Creates the context of a task for one call.
    pub(super) fn context(&self, task: TaskId, phase: Phase, attempt: u32) -> Arc<dyn Context> {
        let live = self.0.live();
        Arc::new(Call {
            id: CallId {
                flow: self.0.id,
                task,
                phase,
                attempt,
            },
            flow: Arc::clone(&self.0),
            requester: Arc::clone(&live.history.requester),
            request: Arc::clone(&live.history.request),
        })
    }

    /// Undoes the standing effects of one phase of a task, newest first. The inner error is a refusal.
    pub(super) fn undo(
        &self,
        task: TaskId,
        phase: Phase,
    ) -> Result<Result<(), TaskError>, FlowError> {
        let standing = self.0.live().history.standing(task, phase);
        self.undo_all(standing)
    }

    /// The message of a cast whose row is gone: of a flow that succeeded, it was delivered.
    fn delivered(&self, cast: &Applied) -> Result<Option<Text>, FlowError> {
        let requester = Identity::default();
        let by = Caller {
            call: None,
            requester: &requester,
        };
        let ids = cast.changes.iter().filter_map(|change| match change {
            Change::Row { id, .. } => id.0.first().map(Text::clone),
            _ => None,
        });
        for id in ids {
            let is_gone = IsGone(Text::clone(&id));
            let answer = self.0.store.look_up_dyn(by, &is_gone)?;
            if matches!(answer.downcast_ref::<bool>(), Some(true)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) fn undo_all(
        &self,
        standing: Vec<Applied>,
    ) -> Result<Result<(), TaskError>, FlowError> {
        for applied in standing {
            if is_intent(&applied) {
                match self.0.unmake(&applied)? {
                    Ok(()) => continue,
                    Err(error) => return Ok(Err(error)),
                }
            }
            let mut live = self.0.live();
            if live.history.is_sent(&applied)
                && let Some(id) = self.delivered(&applied)?
            {
                let message = format!("cast `{id}` has left");
                let refused = TaskError::host(HostErrorKind::UndoRefused, message);
                return Ok(Err(refused));
            }
            match self.0.store.undo(&applied) {
                Ok(()) => {
                    let undone = Event::Undone {
                        number: applied.number,
                    };
                    live.history
                        .apply(cairn_model::clock::Timestamp(0), &undone);
                }
                Err(cairn_store::StoreError::Refused(error)) => return Ok(Err(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ok(()))
    }
}
