//! What precedes the first call of a flow: admission checks, and tasks that a resumer reports as finished.

use std::sync::Arc;

use cairn_effects::event::{Event, FlowState};
use cairn_model::error::Cause;

use super::flow_task::FlowTask;
use super::guard::guard;
use super::progress::Progress;
use super::run::Course;
use super::{Finished, Flow, FlowError};

impl Flow {
    /// Does everything that precedes the first call; returns `None` if no call follows.
    pub(super) fn course(&self) -> Result<Option<Course>, FlowError> {
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
}
