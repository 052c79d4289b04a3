//! From the entries of a flow's journal to the spans of its trace.

use std::collections::HashMap;

use cairn_effects::effect::Applied;
use cairn_effects::event::{Entry, Event, FlowState};
use cairn_effects::external::{ExternalKey, is_removal};
use cairn_effects::history::is_intent;
use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::trace::{Sample, SpanId, TraceContext};

use crate::span::{Attribute, Kind, Span};

/// The trace of one flow, as far as its journal was read.
///
/// What takes time has two entries, of its begin and its end. A span is there with the second one, so only what has begun and not ended is kept.
#[derive(Clone, Debug)]
pub struct FlowTrace {
    flow: FlowId,
    /// The number of the next entry, counted from 0.
    next: u64,
    about: Option<About>,
    /// The names of tasks.
    tasks: HashMap<TaskId, String>,
    /// The objects that it has made, by the number of the effect.
    objects: HashMap<u32, ExternalKey>,
    open: HashMap<Doing, Open>,
    /// The first cause of the flow's failure.
    failed: Option<TaskError>,
    has_ended: bool,
}

/// What the first entry says.
#[derive(Clone, Debug)]
struct About {
    name: String,
    project_id: String,
    request_id: String,
    trace: TraceContext,
    at: Timestamp,
}

/// What takes time in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Attempt(TaskId, Phase),
    Wait(TaskId),
    /// Making the object of an intent.
    Make(u32),
    /// Removing it.
    Remove(u32),
    /// A rollback after the flow's end.
    RollBack,
}

/// A span that has no end yet.
#[derive(Clone, Debug)]
struct Open {
    id: SpanId,
    parent: SpanId,
    name: String,
    kind: Kind,
    began: Timestamp,
    attributes: Vec<(&'static str, Attribute)>,
}

impl FlowTrace {
    /// Creates the trace of a flow of whose journal nothing was read.
    pub fn new(flow: FlowId) -> Self {
        Self {
            flow,
            next: 0,
            about: None,
            tasks: HashMap::new(),
            objects: HashMap::new(),
            open: HashMap::new(),
            failed: None,
            has_ended: false,
        }
    }

    /// Returns the flow.
    pub fn flow(&self) -> FlowId {
        self.flow
    }

    /// Returns the number of the next entry of the journal, counted from 0.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Returns whether the flow has ended, and is not being rolled back since.
    pub fn is_over(&self) -> bool {
        self.has_ended && self.open.is_empty()
    }

    /// Returns whether the trace is recorded: its sender decides, or [`Sample`] for a trace that began with the flow.
    pub fn is_recorded(&self) -> bool {
        (self.about.as_ref()).is_some_and(|about| about.trace.is_sampled)
    }

    /// Reads the next entry of the journal. Adds the spans that end with it.
    pub fn note(&mut self, entry: &Entry, spans: &mut Vec<Span>) {
        let (number, at) = (self.next, entry.at);
        self.next += 1;
        match &entry.event {
            Event::Created {
                name, requester, ..
            } => self.created(name, requester, at),
            Event::State { from, to } => self.state(number, at, *from, *to, spans),
            Event::Reset => self.open.clear(),
            Event::Failed(cause) => {
                self.failed.get_or_insert_with(|| cause.error.clone());
            }
            Event::Started {
                task,
                name,
                attempt,
            } => {
                self.tasks.insert(*task, name.clone());
                self.attempt(*task, Phase::Call, *attempt, at, spans);
            }
            Event::Waits { task, name, .. } => {
                self.tasks.insert(*task, name.clone());
                self.waits(number, *task, name, at);
            }
            Event::Succeeded { task, .. } => {
                self.end(Doing::Wait(*task), at, None, spans);
                self.end(Doing::Attempt(*task, Phase::Call), at, None, spans);
            }
            Event::Retried { task, error } => {
                for phase in [Phase::Call, Phase::Revert] {
                    self.end(Doing::Attempt(*task, phase), at, Some(error), spans);
                }
            }
            Event::TaskFailed { task, error } => {
                self.end(Doing::Wait(*task), at, Some(error), spans);
                self.end(Doing::Attempt(*task, Phase::Call), at, Some(error), spans);
            }
            Event::Reverting { task, attempt } => {
                self.end(Doing::Wait(*task), at, None, spans);
                self.attempt(*task, Phase::Revert, *attempt, at, spans);
            }
            Event::Reverted { task, .. } => {
                self.end(Doing::Attempt(*task, Phase::Revert), at, None, spans);
            }
            Event::RevertFailed { task, error } => {
                self.end(Doing::Attempt(*task, Phase::Revert), at, Some(error), spans);
            }
            Event::Applied(applied) => self.applied(applied, at),
            Event::Removing { number: effect } => self.removing(*effect, at),
            Event::Settled { number: effect, .. } => {
                self.end(Doing::Make(*effect), at, None, spans);
            }
            Event::Closed {
                number: effect,
                error,
            } => {
                self.end(Doing::Make(*effect), at, Some(error), spans);
                self.end(Doing::Remove(*effect), at, Some(error), spans);
            }
            Event::Undone { number: effect } | Event::Removed { number: effect } => {
                self.end(Doing::Make(*effect), at, None, spans);
                self.end(Doing::Remove(*effect), at, None, spans);
            }
            _ => {}
        }
    }

    /// Returns the span of a commit that wrote `entries` entries from number `first` on.
    pub fn commit(
        &self,
        first: u64,
        entries: usize,
        began: Timestamp,
        ended: Timestamp,
    ) -> Option<Span> {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        let open = Open {
            id: self.flow.span_of_commit(first),
            parent: self.flow.span(),
            name: "commit".to_owned(),
            kind: Kind::Internal,
            began,
            attributes: vec![("cairn.commit.entries", Attribute::Number(entries))],
        };
        self.span(open, ended, None)
    }

    fn created(&mut self, name: &str, requester: &Identity, at: Timestamp) {
        let trace = requester.trace;
        self.about = Some(About {
            name: name.to_owned(),
            project_id: requester.project_id.clone(),
            request_id: requester.request_id.clone(),
            // A process that recorded no traces has begun it.
            trace: trace.unwrap_or_else(|| self.flow.trace(Sample::ALL)),
            at,
        });
    }

    fn state(
        &mut self,
        number: u64,
        at: Timestamp,
        from: FlowState,
        to: FlowState,
        spans: &mut Vec<Span>,
    ) {
        let ends = matches!(to, FlowState::Success | FlowState::Failure);
        if to == FlowState::Reverting && self.has_ended {
            let about = self.about.as_ref();
            let name = about.map_or("", |about| about.name.as_str());
            let open = Open {
                id: self.flow.span_of_entry(number),
                parent: self.flow.span(),
                name: format!("roll back {name}"),
                kind: Kind::Internal,
                began: at,
                attributes: vec![("cairn.flow.state", from.as_str().into())],
            };
            self.open.insert(Doing::RollBack, open);
        }
        if !ends {
            return;
        }
        // What is not known to have ended: acts that are in doubt.
        let doubt = TaskError::new("InDoubt", "it is not known what became of it");
        let left: Vec<Doing> = self.open.keys().copied().collect();
        for doing in left.into_iter().filter(|doing| *doing != Doing::RollBack) {
            self.end(doing, at, Some(&doubt), spans);
        }
        if std::mem::replace(&mut self.has_ended, true) {
            return self.end(Doing::RollBack, at, None, spans);
        }
        let Some(about) = &self.about else { return };
        let is_root = self.flow.is_root_of(about.trace);
        let open = Open {
            id: self.flow.span(),
            parent: about.trace.parent_id,
            name: about.name.clone(),
            kind: Kind::Server,
            began: about.at,
            attributes: vec![
                ("cairn.flow.name", about.name.clone().into()),
                ("cairn.flow.state", to.as_str().into()),
                ("cairn.project.id", about.project_id.clone().into()),
                ("cairn.request.id", about.request_id.clone().into()),
            ],
        };
        let unknown = TaskError::new("Failure", "the flow was rolled back");
        let error = match to {
            FlowState::Failure => Some(self.failed.as_ref().unwrap_or(&unknown)),
            _ => None,
        };
        let span = self.span(open, at, error);
        spans.extend(span.map(|span| Span {
            parent: span.parent.filter(|_| !is_root),
            is_entry: !is_root,
            ..span
        }));
    }

    fn attempt(
        &mut self,
        task: TaskId,
        phase: Phase,
        attempt: u32,
        at: Timestamp,
        spans: &mut Vec<Span>,
    ) {
        let doing = Doing::Attempt(task, phase);
        let lost = TaskError::new("Lost", "the process that ran it ended");
        self.end(doing, at, Some(&lost), spans);
        let name = self.tasks.get(&task).cloned().unwrap_or_default();
        let verb = match phase {
            Phase::Call => "call",
            Phase::Revert => "revert",
        };
        let call = CallId {
            flow: self.flow,
            task,
            phase,
            attempt,
        };
        let open = Open {
            id: call.span(),
            parent: self.flow.span(),
            name: format!("{verb} {name}"),
            kind: Kind::Internal,
            began: at,
            attributes: vec![
                ("cairn.task.name", name.into()),
                ("cairn.task.attempt", attempt.into()),
            ],
        };
        self.open.insert(doing, open);
    }

    fn waits(&mut self, number: u64, task: TaskId, name: &str, at: Timestamp) {
        let open = || Open {
            id: self.flow.span_of_entry(number),
            parent: self.flow.span(),
            name: format!("wait {name}"),
            kind: Kind::Internal,
            began: at,
            attributes: vec![("cairn.task.name", name.into())],
        };
        // It may go on after an interruption.
        self.open.entry(Doing::Wait(task)).or_insert_with(open);
    }

    fn applied(&mut self, applied: &Applied, at: Timestamp) {
        let Some(object) = ExternalKey::of(applied) else {
            return;
        };
        let parent = applied.call.span();
        if is_intent(applied) {
            self.act(Doing::Make(applied.number), &object, parent, at);
            self.objects.insert(applied.number, object);
        } else if is_removal(applied) {
            self.act(Doing::Remove(applied.number), &object, parent, at);
        }
    }

    /// Begins to remove an object that the flow has made.
    fn removing(&mut self, effect: u32, at: Timestamp) {
        let Some(object) = self.objects.get(&effect).cloned() else {
            return;
        };
        let is_revert = |doing: &Doing| matches!(doing, Doing::Attempt(_, Phase::Revert));
        let revert = self.open.iter().find(|(doing, _)| is_revert(doing));
        let parent = revert.map_or(self.flow.span(), |(_, open)| open.id);
        self.act(Doing::Remove(effect), &object, parent, at);
    }

    /// Begins an act on an object, unless it has begun: an act that is in doubt is asked for again.
    fn act(&mut self, doing: Doing, object: &ExternalKey, parent: SpanId, at: Timestamp) {
        let act = match doing {
            Doing::Make(_) => "make",
            _ => "remove",
        };
        let open = || Open {
            id: self.flow.span_of_act(act, &object.id),
            parent,
            name: format!("{act} {}", object.kind),
            kind: Kind::Client,
            began: at,
            attributes: vec![
                ("cairn.external.provider", (*object.provider).into()),
                ("cairn.external.kind", (*object.kind).into()),
                ("cairn.external.id", (*object.id).into()),
            ],
        };
        self.open.entry(doing).or_insert_with(open);
    }

    /// Ends what is being done, if it is.
    fn end(
        &mut self,
        doing: Doing,
        at: Timestamp,
        error: Option<&TaskError>,
        spans: &mut Vec<Span>,
    ) {
        let open = self.open.remove(&doing);
        spans.extend(open.and_then(|open| self.span(open, at, error)));
    }

    /// Returns a span that has ended; `None` if the trace is not recorded.
    fn span(&self, open: Open, ended: Timestamp, error: Option<&TaskError>) -> Option<Span> {
        let about = self.about.as_ref()?;
        if !about.trace.is_sampled {
            return None;
        }
        let mut attributes = open.attributes;
        attributes.push(("cairn.flow.id", self.flow.to_string().into()));
        Some(Span {
            trace: about.trace.trace_id,
            id: open.id,
            parent: Some(open.parent),
            is_entry: false,
            name: open.name,
            kind: open.kind,
            began: open.began,
            // A clock may have been set back.
            ended: ended.max(open.began),
            attributes,
            error: error.map(|error| (error.kind.clone(), shortened(&error.message))),
        })
    }
}

/// Messages of plugins may be long.
fn shortened(message: &str) -> String {
    const MOST: usize = 1024;
    match message.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
