//! Flows that sleep: how they fall asleep, and how they are continued.

use std::time::Duration;

use cairn_effects::event::{Event, FlowState};
use cairn_model::id::TaskId;

use super::acts::pause_after;
use super::progress::Progress;
use super::run::{Course, Inside, Step};
use super::{Completion, Flow, FlowError, LiveState};

/// A shorter pause is made by the thread that runs the flow: a commit and a load of the flow would take as long.
const SHORT: Duration = Duration::from_millis(50);

/// How long a thread that waits for a sleeping flow waits before it looks at the clock again.
const LOOK: Duration = Duration::from_millis(20);

impl Flow {
    /// Returns whether the flow sleeps.
    pub fn sleeps(&self) -> bool {
        self.0.live().history.sleep.is_some()
    }

    /// Returns what was written so far, to wait until it is durable.
    pub(crate) fn settled(&self) -> Completion {
        Completion::new(self, Ok(()))
    }

    /// Pauses before another attempt of a task. A long pause lets the flow sleep.
    pub(super) fn pause(&self, task: TaskId, pause: Duration) -> Progress {
        let mut live = self.0.live();
        let is_interrupted = |live: &LiveState| live.history.state == FlowState::Interrupted;
        // An operator who accepts what is not known waits for the end of the rollback.
        let is_short = pause <= SHORT || live.accepts_doubts;
        if is_short {
            let runs = |live: &mut LiveState| !is_interrupted(live);
            // The state decides, not whether the wait timed out.
            let _ = self.0.interrupted.wait_while_for(&mut live, runs, pause);
        }
        if is_interrupted(&live) {
            return Progress::Over;
        }
        if is_short {
            return Progress::More;
        }
        let wake_at = self.0.store.now().after(pause);
        self.post(&mut live, [Event::Sleeps { task, wake_at }]);
        Progress::Asleep
    }

    /// Lets the flow sleep until the host looks again what there is of an object of this task.
    pub(super) fn look_again_later(&self, task: TaskId) -> Progress {
        self.sleep_before(task, pause_after(self.0.doubts()))
    }

    /// Lets the flow sleep before it continues with a task, unless it is interrupted.
    pub(super) fn sleep_before(&self, task: TaskId, pause: Duration) -> Progress {
        let mut live = self.0.live();
        if live.history.state == FlowState::Interrupted {
            return Progress::Over;
        }
        let wake_at = self.0.store.now().after(pause);
        self.post(&mut live, [Event::Sleeps { task, wake_at }]);
        Progress::Asleep
    }

    /// Blocks until the flow is to be woken, or does not sleep any more.
    pub(super) fn sleep_out(&self) {
        let mut live = self.0.live();
        while let Some(sleep) = &live.history.sleep {
            let left = sleep.wake_at.since(self.0.store.now());
            if left.is_zero() {
                return;
            }
            // Another thread may signal or interrupt it.
            let _ = self.0.interrupted.wait_for(&mut live, left.min(LOOK));
        }
    }

    /// Continues a flow that sleeps, step by step.
    pub(crate) fn wake(&self) -> Step {
        self.first_step(self.woken())
    }

    /// Continues a flow that sleeps, to its end or its next sleep.
    pub(crate) fn wake_to_end(&self) -> Completion {
        let mut step = self.wake();
        loop {
            match step {
                Step::Next(run) => step = run.step(),
                Step::Completion(completion) => return completion,
            }
        }
    }

    fn woken(&self) -> Result<Option<(Course, Inside)>, FlowError> {
        let (inside, state, failure) = {
            let mut live = self.outside("wake")?;
            if live.history.sleep.is_none() {
                // It was interrupted meanwhile.
                return Ok(None);
            }
            // Refused if another process has continued it.
            self.record(&mut live, vec![Event::Woke])?;
            let history = &live.history;
            let (state, failure) = (history.state, history.failure.clone());
            (self.enter(&mut live), state, failure)
        };
        let mut course = self
            .course_from_start()
            .map_err(FlowError::MissingDependencies)?;
        let progress = match state {
            FlowState::Reverting => {
                let cause = failure.unwrap_or_else(super::recover::lost_caller);
                course.unwinding = Some(self.begin_unwinding(cause)?);
                Progress::More
            }
            _ => self.find_next(&mut course),
        };
        Ok((progress == Progress::More).then_some((course, inside)))
    }
}
