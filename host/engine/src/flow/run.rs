//! Running a flow: replay, call, stop.

use std::sync::Arc;
use std::time::Duration;

use cairn_effects::effect::{Applied, Caller, Change};
use cairn_effects::event::{Event, FlowState, TaskState};
use cairn_effects::outbox::IsGone;
use cairn_effects::rows::Text;
use cairn_effects::task::Context;
use cairn_manifest::wire::Wiring;
use cairn_model::error::{Cause, HostErrorKind, TaskError};
use cairn_model::id::{CallId, Identity, Phase, TaskId};
use cairn_model::value::{Object, Value};

use super::call::Call;
use super::guard::guard;
use super::runner::{self, Runner};
use super::unwind::Unwinding;
use super::{Completion, Finished, Flow, FlowError};

/// Resets the mark that somebody is inside a flow.
pub(super) struct Inside(Flow);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.live().inside = false;
    }
}

/// The tasks of a run, and how far it has come.
struct Course {
    runners: Vec<Arc<Runner>>,
    /// Of each runner.
    wiring: Vec<Wiring<TaskId>>,
    next: usize,
    /// A task has failed, and the flow is rolled back.
    unwinding: Option<Unwinding>,
}

/// A run between two of its tasks. Whoever drops it leaves the flow where it stands.
pub(crate) struct Run {
    flow: Flow,
    course: Course,
    inside: Inside,
}

/// Tells functions of tasks apart: that of one task in two flows of a plan is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callee {
    /// Where the task is in memory; `None` for one that is not there any more.
    task: Option<usize>,
    phase: Phase,
}

#[cfg(test)]
impl Callee {
    /// The call of a task.
    pub(crate) fn of(task: usize) -> Self {
        Self {
            task: Some(task),
            phase: Phase::Call,
        }
    }
}

/// What a step of a run came to.
pub(crate) enum Step {
    /// There is more to do.
    Next(Run),
    /// That was the last one.
    Completion(Completion),
}

impl Run {
    /// Runs the next task, or reverts the last one.
    pub(crate) fn step(mut self) -> Step {
        let more = match self.flow.state() {
            // Since the last step.
            FlowState::Interrupted => Ok(false),
            _ => self.flow.go_on(&mut self.course),
        };
        match more {
            Ok(true) => Step::Next(self),
            ended => {
                drop(self.inside);
                Step::Completion(Completion::new(&self.flow, ended.map(drop)))
            }
        }
    }

    /// What comes next.
    pub(crate) fn next(&self) -> Callee {
        let course = &self.course;
        let (runner, phase) = match &course.unwinding {
            None => (course.runners.get(course.next).cloned(), Phase::Call),
            Some(unwinding) => {
                let live = self.flow.0.live();
                let last = unwinding.left.last();
                let runner = last.and_then(|task| live.started.get(task).cloned());
                (runner, Phase::Revert)
            }
        };
        Callee {
            task: runner.map(|runner| Arc::as_ptr(&runner.task).addr()),
            phase,
        }
    }
}

impl Flow {
    /// Marks the flow as entered. The caller has checked that nobody is inside.
    pub(super) fn enter(&self, live: &mut super::Live) -> Inside {
        live.inside = true;
        Inside(self.clone())
    }

    /// Runs the flow from [`FlowState::Pending`] to SUCCESS, to INTERRUPTED, or, rolled back, to FAILURE; everything is on disk then.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] in any other state. [`FlowError::Failed`] with the first error when a task fails,
    /// [`FlowError::MissingDependencies`] when an input has no provider. [`FlowError::Store`] when the store fails:
    /// the flow is then as its journal on disk has it.
    pub fn run(&self) -> Result<(), FlowError> {
        self.run_to_end().wait()
    }

    /// [`run`](Self::run), without waiting for the disk.
    pub fn run_to_end(&self) -> Completion {
        Completion::new(self, self.run_undurable())
    }

    pub(super) fn run_undurable(&self) -> Result<(), FlowError> {
        let _inside = self.enter_to_run()?;
        self.open()?;
        self.run_started()
    }

    /// Begins to run the flow, for whoever goes on with it task by task: [`run_to_end`](Self::run_to_end) in steps.
    pub(crate) fn start(&self) -> Step {
        let started = self.enter_to_run().and_then(|inside| {
            self.open()?;
            Ok(self.course()?.map(|course| (course, inside)))
        });
        match started {
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

    /// To STARTED.
    fn open(&self) -> Result<(), FlowError> {
        let (from, to) = (FlowState::Pending, FlowState::Started);
        {
            let mut live = self.0.live();
            let events = [Event::State { from, to }];
            // Somebody may have been first: with its key, or in going on with it.
            if live.journalled || live.history.key.is_some() {
                self.record(&mut live, events.into())?;
            } else {
                self.post(&mut live, events);
            }
        }
        self.tell_flow(to, from);
        Ok(())
    }

    /// The rest of a run, for whoever is inside.
    pub(super) fn run_started(&self) -> Result<(), FlowError> {
        let Some(mut course) = self.course()? else {
            return Ok(());
        };
        while self.go_on(&mut course)? {}
        Ok(())
    }

    /// All that comes before the first call; `None` when none comes.
    fn course(&self) -> Result<Option<Course>, FlowError> {
        if self.state() == FlowState::Interrupted {
            return Ok(None);
        }
        let runners = self.0.live().runners.clone();
        let wiring = match runner::wiring(&runners) {
            Ok(wiring) => wiring,
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
        if !self.pass_checks()? {
            return Ok(None);
        }
        self.replay(&runners)?;
        self.0.live().left_off = true;
        if !self.advance(FlowState::Running) {
            return Ok(None);
        }
        let mut course = Course {
            runners,
            wiring,
            next: 0,
            unwinding: None,
        };
        Ok(self.find_next(&mut course).then_some(course))
    }

    /// Runs the next task of a course, or reverts the last one; says whether there is more to do.
    fn go_on(&self, course: &mut Course) -> Result<bool, FlowError> {
        if let Some(unwinding) = &mut course.unwinding {
            if self.unwind_one(unwinding)? {
                return Ok(true);
            }
            return Err(FlowError::Failed(Box::new(unwinding.cause.clone())));
        }
        match self.run_task(&course.runners[course.next], &course.wiring[course.next])? {
            Ok(()) => Ok(self.find_next(course)),
            Err(cause) => {
                course.unwinding = Some(self.begin_unwinding(cause)?);
                Ok(true)
            }
        }
    }

    /// Finds the next task to run. Without one the flow has succeeded, unless it was interrupted.
    fn find_next(&self, course: &mut Course) -> bool {
        if self.state() == FlowState::Interrupted {
            return false;
        }
        while let Some(runner) = course.runners.get(course.next) {
            if !self.is_finished(runner.id) {
                return true;
            }
            course.next += 1;
        }
        if self.advance(FlowState::Success) {
            self.0.live().left_off = false;
        }
        false
    }

    /// Asks what is to be asked before the first task; says whether the flow goes on. An interrupt that came meanwhile stands,
    /// whatever the answer: who goes on with the flow asks again.
    fn pass_checks(&self) -> Result<bool, FlowError> {
        let (checks, requester, request) = {
            let live = self.0.live();
            let Some(checks) = live
                .checks
                .clone()
                .filter(|_| live.history.tasks.is_empty())
            else {
                return Ok(true);
            };
            let history = &live.history;
            (
                checks,
                Arc::clone(&history.requester),
                Arc::clone(&history.request),
            )
        };
        let mut notes = Vec::new();
        let passed = guard(|| checks.pass(&requester, &request, &mut |event| notes.push(event)));
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

    /// Nothing was started, so there is nothing to revert. One step, so that recovery finds the flow failed or not at all.
    /// Says whether it is failed: one that was interrupted stays so.
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

    /// Changes the state unless the flow was interrupted, in one step; says whether it is not interrupted now.
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

    /// Asks the resumer for finished tasks, and takes them in as if they had just run.
    fn replay(&self, runners: &[Arc<Runner>]) -> Result<(), FlowError> {
        let resumer = {
            let live = self.0.live();
            live.resumer.clone().filter(|_| !live.left_off)
        };
        let Some(resumer) = resumer else {
            return Ok(());
        };
        let order: Vec<_> = runners
            .iter()
            .map(|runner| (runner.id, Arc::clone(&runner.name)))
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
            let Some(runner) = runners.iter().find(|runner| runner.id == task) else {
                continue;
            };
            self.begin(
                runner,
                Event::Replayed {
                    task,
                    name: runner.name.to_string(),
                },
            );
            match result {
                Ok(result) => self.succeeded(runner, result),
                Err(error) => {
                    let cause = self.failed(runner, error)?;
                    self.unwind(&cause)?;
                    return Err(FlowError::Failed(Box::new(cause)));
                }
            }
        }
        Ok(())
    }

    /// Puts a task on the accumulator, before anything else happens to it.
    fn begin(&self, runner: &Arc<Runner>, event: Event) {
        {
            let mut live = self.0.live();
            live.started.insert(runner.id, Arc::clone(runner));
            self.post(&mut live, [event]);
        }
        self.tell_task(runner.id, TaskState::Started);
    }

    fn succeeded(&self, runner: &Runner, result: Value) {
        let event = Event::Succeeded {
            task: runner.id,
            result: Arc::new(result),
        };
        self.post(&mut self.0.live(), [event]);
        self.tell_task(runner.id, TaskState::Success);
    }

    /// A task failed for good: what it did is undone. Whoever is inside rolls the flow back, for the cause that this returns.
    fn failed(&self, runner: &Runner, error: TaskError) -> Result<Cause, FlowError> {
        let cause = Cause {
            task: runner.name.to_string(),
            error: error.clone(),
        };
        let failed = Event::TaskFailed {
            task: runner.id,
            error,
        };
        // One step, so that recovery never calls a task again that had failed for good.
        let events = [failed, Event::Failed(cause.clone())];
        self.post(&mut self.0.live(), events);
        // What cannot be undone now is tried again, and reported, when the task is reverted.
        let _refused = self.undo(runner.id, Phase::Call)?;
        self.tell_task(runner.id, TaskState::Failure);
        Ok(cause)
    }

    /// Calls a task, as often as it may be tried. The inner error is why the flow is to be rolled back.
    fn run_task(
        &self,
        runner: &Arc<Runner>,
        wiring: &Wiring<TaskId>,
    ) -> Result<Result<(), Cause>, FlowError> {
        // What an attempt that was cut off did, and could not be undone, another attempt would do twice.
        if let Err(refused) = self.undo(runner.id, Phase::Call)? {
            return self.failed(runner, refused).map(Err);
        }
        let mut made = 0;
        loop {
            let attempt = {
                let live = self.0.live();
                live.record_of(runner.id)
                    .map_or(1, |task| task.next_attempt(Phase::Call))
            };
            let started = Event::Started {
                task: runner.id,
                name: runner.name.to_string(),
                attempt,
            };
            if made == 0 {
                self.begin(runner, started);
            } else {
                self.post(&mut self.0.live(), [started]);
            }
            made += 1;
            let inputs = runner::inputs(wiring, &self.0.live().history);
            match self.call(runner, attempt, inputs) {
                Ok(result) => {
                    self.succeeded(runner, result);
                    return Ok(Ok(()));
                }
                Err(error) if runner.call.again(made, &error.kind) => {
                    // Closes the attempt before its effects are gathered: none may come late.
                    let retried = Event::Retried {
                        task: runner.id,
                        error: error.clone(),
                    };
                    self.post(&mut self.0.live(), [retried]);
                    if self.undo(runner.id, Phase::Call)?.is_err() {
                        return self.failed(runner, error).map(Err);
                    }
                    if self.is_interrupted_within(runner.call.wait(made)) {
                        return Ok(Ok(()));
                    }
                }
                Err(error) => return self.failed(runner, error).map(Err),
            }
        }
    }

    /// Waits, but not longer than until the flow is interrupted; says whether it is.
    fn is_interrupted_within(&self, wait: Duration) -> bool {
        let running = |live: &mut super::Live| live.history.state != FlowState::Interrupted;
        let mut live = self.0.live();
        // Whether it waited to the end does not matter.
        let _ = self.0.interrupted.wait_while_for(&mut live, running, wait);
        live.history.state == FlowState::Interrupted
    }

    fn call(&self, runner: &Runner, attempt: u32, inputs: Object) -> Result<Value, TaskError> {
        let context = self.context(runner.id, Phase::Call, attempt);
        guard(|| runner.task.call(&context, inputs))
    }

    /// What a task is offered during one call.
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

    /// Undoes what stands of one phase of a task, the newest first. The inner error says what was refused.
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
