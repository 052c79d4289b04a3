//! Folds a journal into what a timeline draws: when each task was called, waited, acted and was reverted.

use std::collections::BTreeMap;

use cairn::TaskError;
use cairn::TaskId;
use cairn::clock::Timestamp;
use cairn::event::{Entry, Event};
use cairn::external::is_removal;
use cairn::history::is_intent;

/// What happened in a flow, by the names of its tasks.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The tasks that began, in order of their first start.
    pub tasks: Vec<Traced>,
    /// When an event was written, in order.
    pub events: Vec<Timestamp>,
    /// When the flow was reset.
    pub resets: Vec<Timestamp>,
}

/// What happened to one task.
#[derive(Debug)]
pub(super) struct Traced {
    pub name: String,
    /// In order of their beginnings.
    pub spans: Vec<Span>,
}

/// A time in which something of a task was under way.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub kind: Kind,
    pub from: Timestamp,
    /// `None` while it goes on.
    pub to: Option<Timestamp>,
    pub end: End,
    /// The attempt, counted from 1; 0 of a kind that has none.
    pub attempt: u32,
    /// Why it failed, in one sentence.
    pub error: Option<String>,
}

/// What was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Revert,
    /// A wait of the plan.
    Wait,
    /// The pause before another attempt.
    Pause,
    /// The making of an object outside the database.
    Make,
    /// The removal of an object outside the database.
    Remove,
}

impl Kind {
    /// Returns whether code ran, or a provider was asked.
    pub(super) fn is_busy(self) -> bool {
        !matches!(self, Self::Wait | Self::Pause)
    }

    /// Returns whether it belongs to the lower half of a row.
    fn is_of_revert(self) -> bool {
        self == Self::Revert
    }
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has not.
    Open,
    Done,
    Failed,
    /// It failed, and another attempt follows.
    Retried,
    /// Its outcome is not known.
    Unsure,
    /// It stopped with its process, or with the flow.
    Stopped,
}

/// The most spans of a task that are kept: the newest.
const MOST_SPANS: usize = 400;

impl Trace {
    /// Folds a journal.
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut tracer = Tracer::default();
        for entry in journal {
            tracer.trace.events.push(entry.at);
            tracer.apply(entry.at, &entry.event);
        }
        tracer.trace
    }

    /// Returns what happened to a task; `None` if it has not begun.
    pub(super) fn task(&self, name: &str) -> Option<&Traced> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

impl Traced {
    /// Returns the time that its calls, or its reverts, took together, without the pauses between them.
    pub(super) fn took(&self, kind: Kind, now: Timestamp) -> std::time::Duration {
        let spans = self.spans.iter().filter(|span| span.kind == kind);
        spans
            .map(|span| span.to.unwrap_or(now).since(span.from))
            .sum()
    }
}

#[derive(Default)]
struct Tracer {
    trace: Trace,
    places: BTreeMap<TaskId, usize>,
    /// The tasks of acts, by the numbers of their intents.
    acts: BTreeMap<u32, TaskId>,
}

impl Tracer {
    fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Started {
                task,
                name,
                attempt,
            } => {
                self.close(*task, Kind::Call, at, End::Stopped, None);
                self.open(*task, Some(name), Kind::Call, at, *attempt);
            }
            Event::Replayed { task, name } => {
                self.open(*task, Some(name), Kind::Call, at, 0);
                self.close(*task, Kind::Call, at, End::Done, None);
            }
            Event::Retried { task, error } => {
                let kind = match self.is_open(*task, Kind::Revert) {
                    true => Kind::Revert,
                    false => Kind::Call,
                };
                self.close(*task, kind, at, End::Retried, Some(error));
            }
            Event::Waits { task, name, .. } => {
                self.close(*task, Kind::Wait, at, End::Stopped, None);
                self.open(*task, Some(name), Kind::Wait, at, 0);
            }
            Event::Sleeps { task, .. } => self.open(*task, None, Kind::Pause, at, 0),
            Event::Woke => self.wake(at),
            Event::Succeeded { task, .. } => {
                self.close(*task, Kind::Wait, at, End::Done, None);
                self.close(*task, Kind::Call, at, End::Done, None);
            }
            Event::TaskFailed { task, error } => {
                self.close(*task, Kind::Wait, at, End::Failed, Some(error));
                self.close(*task, Kind::Call, at, End::Failed, Some(error));
            }
            Event::Reverting { task, attempt } => {
                self.stop(*task, at);
                self.open(*task, None, Kind::Revert, at, *attempt);
            }
            Event::Reverted { task, .. } => {
                // A task without effects and without a revert is reverted in no time.
                if !self.is_open(*task, Kind::Revert) {
                    self.open(*task, None, Kind::Revert, at, 0);
                }
                self.close(*task, Kind::Revert, at, End::Done, None);
            }
            Event::RevertFailed { task, error } => {
                self.close(*task, Kind::Revert, at, End::Failed, Some(error));
            }
            Event::Applied(applied) if is_intent(applied) || is_removal(applied) => {
                let kind = match is_removal(applied) {
                    true => Kind::Remove,
                    false => Kind::Make,
                };
                self.acts.insert(applied.number, applied.call.task);
                self.open(applied.call.task, None, kind, at, 0);
            }
            Event::Settled { number, .. } => self.act(*number, at, End::Done, None),
            Event::Closed { number, error } => self.act(*number, at, End::Failed, Some(error)),
            Event::InDoubt { number, error } => self.act(*number, at, End::Unsure, Some(error)),
            Event::Removing { number } => {
                self.act(*number, at, End::Stopped, None);
                if let Some(task) = self.acts.get(number) {
                    self.open(*task, None, Kind::Remove, at, 0);
                }
            }
            Event::Removed { number } | Event::Undone { number } => {
                self.act(*number, at, End::Done, None);
            }
            Event::State { to, .. } if to.is_at_rest() => self.stop_all(at),
            Event::Reset => {
                self.stop_all(at);
                self.trace.resets.push(at);
            }
            _ => {}
        }
    }

    fn place(&mut self, task: TaskId, name: Option<&str>) -> Option<&mut Traced> {
        let tasks = &mut self.trace.tasks;
        match (self.places.get(&task), name) {
            (Some(place), _) => tasks.get_mut(*place),
            (None, Some(name)) => {
                self.places.insert(task, tasks.len());
                tasks.push(Traced {
                    name: name.to_owned(),
                    spans: Vec::new(),
                });
                tasks.last_mut()
            }
            (None, None) => None,
        }
    }

    fn open(&mut self, task: TaskId, name: Option<&str>, kind: Kind, at: Timestamp, attempt: u32) {
        let Some(traced) = self.place(task, name) else {
            return;
        };
        if traced.spans.len() == MOST_SPANS {
            traced.spans.remove(0);
        }
        traced.spans.push(Span {
            kind,
            from: at,
            to: None,
            end: End::Open,
            attempt,
            error: None,
        });
    }

    fn is_open(&self, task: TaskId, kind: Kind) -> bool {
        let place = self.places.get(&task);
        let traced = place.and_then(|place| self.trace.tasks.get(*place));
        let mut spans = traced.into_iter().flat_map(|traced| &traced.spans);
        spans.any(|span| span.kind == kind && span.to.is_none())
    }

    fn close(
        &mut self,
        task: TaskId,
        kind: Kind,
        at: Timestamp,
        end: End,
        error: Option<&TaskError>,
    ) {
        let Some(traced) = self.place(task, None) else {
            return;
        };
        let mut spans = traced.spans.iter_mut().rev();
        if let Some(span) = spans.find(|span| span.kind == kind && span.to.is_none()) {
            span.to = Some(at);
            span.end = end;
            span.error = error.map(ToString::to_string);
        }
    }

    fn act(&mut self, number: u32, at: Timestamp, end: End, error: Option<&TaskError>) {
        let Some(task) = self.acts.get(&number).copied() else {
            return;
        };
        for kind in [Kind::Make, Kind::Remove] {
            self.close(task, kind, at, end, error);
        }
    }

    fn wake(&mut self, at: Timestamp) {
        for traced in &mut self.trace.tasks {
            let mut spans = traced.spans.iter_mut();
            if let Some(span) = spans.find(|span| span.kind == Kind::Pause && span.to.is_none()) {
                span.to = Some(at);
                span.end = End::Done;
            }
        }
    }

    /// Ends what is open of a task before it is reverted.
    fn stop(&mut self, task: TaskId, at: Timestamp) {
        if let Some(traced) = self.place(task, None) {
            stop(traced, at);
        }
    }

    fn stop_all(&mut self, at: Timestamp) {
        self.trace
            .tasks
            .iter_mut()
            .for_each(|traced| stop(traced, at));
    }
}

fn stop(traced: &mut Traced, at: Timestamp) {
    for span in &mut traced.spans {
        if span.to.is_none() && !span.kind.is_of_revert() {
            span.to = Some(at);
            span.end = End::Stopped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Journal};
    use cairn::event::FlowState;

    fn spans(journal: &Journal, name: &str) -> Vec<(Kind, i64, Option<i64>, End)> {
        let trace = Trace::of(&journal.entries);
        let spans = trace.task(name).unwrap().spans.iter();
        let since = |at: Timestamp| (at.0 - samples::BEGIN.0) / 1_000;
        spans
            .map(|span| (span.kind, since(span.from), span.to.map(since), span.end))
            .collect()
    }

    #[test]
    fn calls_retries_and_reverts_are_spans() {
        let mut journal = Journal::new("sizes");
        journal.at(10).started("one", 1);
        journal.at(20).retried("one", "Busy");
        journal.at(30).started("one", 2);
        journal.at(40).succeeded("one", serde_json::json!({}));
        journal.at(50).reverting("one", 1);
        journal.at(60).reverted("one");
        let expected = [
            (Kind::Call, 10, Some(20), End::Retried),
            (Kind::Call, 30, Some(40), End::Done),
            (Kind::Revert, 50, Some(60), End::Done),
        ];
        assert_eq!(spans(&journal, "one"), expected);
    }

    #[test]
    fn a_wait_goes_on_until_it_is_over() {
        let mut journal = Journal::new("waits");
        journal.at(10).waits("approval", Some("approve"), None);
        assert_eq!(
            spans(&journal, "approval"),
            [(Kind::Wait, 10, None, End::Open)]
        );
        journal.at(500).succeeded("approval", serde_json::json!({}));
        assert_eq!(
            spans(&journal, "approval"),
            [(Kind::Wait, 10, Some(500), End::Done)]
        );
    }

    #[test]
    fn an_act_is_a_span_of_its_task() {
        let mut journal = Journal::new("names");
        journal.at(10).started("name", 1);
        let number = journal.at(20).intends("name");
        journal.at(35).event(Event::Settled {
            number,
            result: std::sync::Arc::default(),
        });
        journal.at(40).succeeded("name", serde_json::json!({}));
        journal.at(50).event(Event::Removing { number });
        journal.at(55).event(Event::Undone { number });
        let expected = [
            (Kind::Call, 10, Some(40), End::Done),
            (Kind::Make, 20, Some(35), End::Done),
            (Kind::Remove, 50, Some(55), End::Done),
        ];
        assert_eq!(spans(&journal, "name"), expected);
    }

    #[test]
    fn what_is_open_stops_with_the_flow() {
        let mut journal = Journal::new("stops");
        journal.at(10).started("one", 1);
        journal
            .at(20)
            .state(FlowState::Running, FlowState::Interrupted);
        assert_eq!(
            spans(&journal, "one"),
            [(Kind::Call, 10, Some(20), End::Stopped)]
        );
    }
}
