//! Runs a flow task by task, and stops when it is interrupted.

use std::sync::Arc;

use cairn_effects::event::{Event, FlowState};
use cairn_manifest::wire::Wiring;
use cairn_model::error::TaskError;
use cairn_model::id::{Phase, TaskId};

use super::flow_task::{self, FlowTask};
use super::progress::Progress;
use super::unwind::Unwinding;
use super::{Completion, Flow, FlowError};

/// Marks a flow as entered by a thread, until it is dropped.
pub(super) struct Inside(Flow);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.live().inside = false;
    }
}

/// The tasks of a run, and its progress.
pub(super) struct Course {
    pub(super) flow_tasks: Vec<Arc<FlowTask>>,
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

    fn is_finished(&self, task: TaskId) -> bool {
        let live = self.0.live();
        live.record_of(task)
            .is_some_and(|task| task.result.is_some())
    }

    /// Changes the state in one step, unless the flow is interrupted; returns false if it is interrupted now.
    pub(super) fn advance(&self, to: FlowState) -> bool {
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
}
