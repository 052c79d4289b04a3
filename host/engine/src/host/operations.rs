//! Operations on a flow, whichever process owns it: interrupt, resume, roll back, reset, accept.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde::Deserialize as _;

use cairn_effects::event::{Event, FlowState};
use cairn_effects::report::Report;
use cairn_manifest::manifest::OnLost;
use cairn_model::audit::Asker;
use cairn_model::error::Cause;
use cairn_model::id::FlowId;
use cairn_model::value::Value;
use cairn_store::StoreError;
use cairn_store::operation::{Asked, Operation, OperationRequest};

use super::caller::Tell;
use super::territory::Stay;
use super::{Core, Hindrance, Host, HostError};
use crate::flow::{Completion, Flow, FlowError, Recovery};

/// Interval between two polls for an answer.
const LOOK: Duration = Duration::from_millis(5);

/// A flow that this process works on.
pub(super) struct ActiveFlow {
    /// `None` while it is restored from its journal.
    pub(super) flow: Option<Flow>,
    /// Callers that wait until it rests.
    followers: Vec<Follower>,
    /// Keeps its partition from being given back.
    stay: Option<Stay>,
}

/// A caller that waits until a flow rests.
pub(super) struct Follower {
    /// The operation that it asked for; `None` if it only waits.
    pub(super) then: Option<Asked>,
    pub(super) tell: Tell,
}

/// The outcome of [`Host::operate`].
#[derive(Debug)]
pub enum Dispatched {
    /// The operation was done by this process.
    Here(Box<Report>),
    /// Another process owns the flow; it was asked, and the request is on disk.
    Asked {
        /// The process.
        pid: u32,
        /// The request's number.
        request: i64,
    },
}

impl Follower {
    /// Returns a caller that only waits.
    pub(super) fn waiting(tell: Tell) -> Self {
        Self { then: None, tell }
    }
}

impl Host {
    /// Runs an operation on a flow, as asked for by `by`, which the flow's journal and the audit record. If another process owns the flow, that process is asked, and this returns at once;
    /// [`answer`](Self::answer) waits until it is done.
    ///
    /// # Errors
    /// [`HostError::Flow`] when the flow's state does not allow it, [`HostError::CannotTakeUp`], [`HostError::Store`].
    pub fn operate(
        &self,
        id: FlowId,
        operation: &Operation,
        by: &Asker,
    ) -> Result<Dispatched, HostError> {
        let asked = Asked {
            operation: operation.clone(),
            by: Some(by.clone()),
        };
        loop {
            match self.core.operate(id, asked.clone()) {
                Err(HostError::Store(StoreError::InHand { pid, .. })) => {
                    return Ok(Dispatched::Asked {
                        pid,
                        request: self.core.store.ask(id, &asked)?,
                    });
                }
                Err(error) if error.is_of_the_moment() => std::thread::sleep(LOOK),
                other => return other.map(|report| Dispatched::Here(Box::new(report))),
            }
        }
    }

    /// Waits until the process that owns the flow answers a request; if that process dies, the operation is done here, as asked for by `by`.
    ///
    /// # Errors
    /// As [`operate`](Self::operate); [`HostError::Elsewhere`] with the other process's error.
    pub fn answer(
        &self,
        id: FlowId,
        pid: u32,
        request: i64,
        operation: &Operation,
        by: &Asker,
    ) -> Result<Report, HostError> {
        let asked = Asked {
            operation: operation.clone(),
            by: Some(by.clone()),
        };
        let mut looked = Instant::now();
        loop {
            if let Some(answer) = self.core.store.answer_to(request)? {
                return match answer.get("error").and_then(Value::as_str) {
                    Some(error) => Err(HostError::Elsewhere {
                        pid,
                        message: error.to_owned(),
                        // Older versions omit it.
                        why: Hindrance::deserialize(&answer["why"]).unwrap_or_default(),
                    }),
                    None => self.core.report_on_disk(id),
                };
            }
            // The keeper of this process serves it too, when the flow is at rest: the claim makes sure that it is done once.
            if looked.elapsed() > LOOK * 20 && self.core.claim(request)? {
                looked = Instant::now();
                let done = self.core.operate(id, asked.clone());
                let is_done = !done.as_ref().is_err_and(HostError::is_anothers);
                let answered = match is_done {
                    true => self.core.store.answer(request, &answer_of(&done)),
                    false => Ok(()),
                };
                self.core.keeper.served(request);
                answered?;
                if is_done {
                    return done;
                }
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Core {
    /// Registers a new flow as one that this process works on.
    pub(super) fn enter(&self, flow: &Flow, stay: Option<Stay>) {
        let active = ActiveFlow {
            flow: Some(flow.clone()),
            followers: Vec::new(),
            stay,
        };
        self.active().insert(flow.id(), active);
    }

    /// Restores a flow from its journal, and registers it as one that this process works on.
    pub(super) fn take_up(self: &Arc<Self>, id: FlowId) -> Result<(Flow, OnLost), HostError> {
        match self.active().entry(id) {
            Entry::Occupied(_) => return Err(HostError::InHand(id)),
            Entry::Vacant(place) => {
                place.insert(ActiveFlow {
                    flow: None,
                    followers: Vec::new(),
                    stay: None,
                });
            }
        }
        let restored = self.restore(id);
        match &restored {
            Ok((flow, _)) => {
                let stay = self.territory.as_ref().map(|territory| {
                    flow.with_history(|history| territory.stay(&history.requester.project_id))
                });
                if let Some(active) = self.active().get_mut(&id) {
                    active.flow = Some(flow.clone());
                    active.stay = stay;
                }
            }
            Err(error) => {
                let followers = self.leave(id);
                self.tell(id, followers, &Err(error.of_flow(id)));
            }
        }
        restored
    }

    /// Unregisters a flow that this process worked on; returns its followers.
    pub(super) fn leave(&self, id: FlowId) -> Vec<Follower> {
        let active = self.active().remove(&id);
        active.map(|active| active.followers).unwrap_or_default()
    }

    /// Tells followers of a flow how it ended, or runs the operation that they asked for.
    pub(super) fn tell(
        self: &Arc<Self>,
        id: FlowId,
        followers: Vec<Follower>,
        report: &Result<Report, HostError>,
    ) {
        for Follower { then, tell } in followers {
            let state = report.as_ref().map(|report| report.flow.state);
            let is_rollback = |asked: &Asked| matches!(asked.operation, Operation::Rollback { .. });
            match (then, report, state) {
                (Some(asked), Ok(report), Ok(FlowState::Interrupted))
                    if report.flow.forward && is_rollback(&asked) =>
                {
                    // It passed its pivot before it was interrupted, so it goes forward.
                    tell(Err(HostError::Flow(FlowError::PastPivot)));
                    let job = move |core: &Arc<Self>| {
                        core.operate_then(id, Operation::Resume.into(), Box::new(|_| {}));
                    };
                    if let Err(error) = self.pool.push(self, job) {
                        tracing::warn!(%id, %error, "a flow that only goes forward is left to the next host");
                    }
                }
                // It may have succeeded before it could be interrupted: it is rolled back as one that had.
                (Some(asked), _, Ok(FlowState::Interrupted | FlowState::Success)) => {
                    let job = move |core: &Arc<Self>| core.operate_then(id, asked, tell);
                    if let Err(error) = self.pool.push(self, job) {
                        tracing::warn!(%id, %error, "an operation on a flow is left to the next host");
                    }
                }
                (_, Ok(report), _) => tell(Ok(report.clone())),
                (_, Err(error), _) => tell(Err(error.of_flow(id))),
            }
        }
    }

    /// Runs an operation on a flow that no other process owns, and waits until it is done.
    fn operate(self: &Arc<Self>, id: FlowId, asked: Asked) -> Result<Report, HostError> {
        let (tell, told) = sync_channel(1);
        let tell: Tell = Box::new(move |report| {
            // The receiver is below.
            let _ = tell.send(report);
        });
        self.operate_then(id, asked, tell);
        self.store.flush();
        told.recv().unwrap_or(Err(HostError::NotStarted))
    }

    /// Runs an operation on a flow that no other process owns.
    fn operate_then(self: &Arc<Self>, id: FlowId, asked: Asked, tell: Tell) {
        let Some((asked, tell)) = self.operate_on_active(id, asked, tell) else {
            return;
        };
        let flow = match self.take_up(id) {
            Ok((flow, _)) => flow,
            Err(error) => return tell(Err(error)),
        };
        let core = Arc::clone(self);
        let done = move |flow: &Flow, result| {
            let followers = core.leave(id);
            let report = core.report(flow, result);
            core.tell(id, followers, &report);
            tell(report);
        };
        let taken = take_in_hand(&flow, &asked);
        flow.operated(None);
        match taken {
            Ok(ended) => ended.then(move |result| done(&flow, result)),
            Err(error) => done(&flow, Err(error)),
        }
    }

    /// Runs an operation on a flow that this process works on; gives the arguments back if it does not.
    fn operate_on_active(&self, id: FlowId, asked: Asked, tell: Tell) -> Option<(Asked, Tell)> {
        let mut flows = self.active();
        let Some(active) = flows.get_mut(&id) else {
            return Some((asked, tell));
        };
        let Some(flow) = active.flow.clone() else {
            drop(flows);
            tell(Err(HostError::InHand(id)));
            return None;
        };
        let operated = match asked.operation {
            Operation::Interrupt | Operation::Signal { .. } => asked.event(),
            // When the flow rests.
            _ => None,
        };
        let then = match &asked.operation {
            Operation::Interrupt => None,
            Operation::Rollback { .. } if flow.is_past_pivot() => {
                drop(flows);
                tell(Err(HostError::Flow(FlowError::PastPivot)));
                return None;
            }
            Operation::Rollback { .. } => Some(asked),
            Operation::Signal {
                name,
                payload,
                user_id,
            } => {
                drop(flows);
                let signalled = flow.signal_for(name, payload, user_id, operated);
                if let Err(error) = signalled {
                    tell(Err(HostError::of_operation(error)));
                    return None;
                }
                let signalled = flow.clone();
                flow.settled().then(move |durable| {
                    let report = || signalled.with_history(|history| Report::new(id, history));
                    tell(durable.map(|()| report()).map_err(HostError::of_operation));
                });
                return None;
            }
            operation => {
                drop(flows);
                let state = flow.state();
                tell(Err(HostError::Flow(FlowError::InvalidState {
                    operation: operation.name(),
                    state,
                    inside: true,
                })));
                return None;
            }
        };
        active.followers.push(Follower { then, tell });
        drop(flows);
        if let Err(error) = flow.interrupt_for(operated) {
            // The flow has ended or is ending; its followers are told the outcome then.
            tracing::debug!(flow = %id, %error, "the flow was not interrupted");
        }
        None
    }

    /// Claims a request; returns false if this process already serves it, or if it is answered.
    pub(super) fn claim(&self, request: i64) -> Result<bool, StoreError> {
        if !self.keeper.claim(request) {
            return Ok(false);
        }
        let unanswered = self.store.answer_to(request).map(|answer| answer.is_none());
        if !matches!(unanswered, Ok(true)) {
            self.keeper.served(request);
        }
        unanswered
    }

    /// Serves a request of another process.
    pub(super) fn serve(self: &Arc<Self>, request: OperationRequest) {
        let OperationRequest { id, flow, asked } = request;
        let core = Arc::clone(self);
        let tell: Tell = Box::new(move |done| {
            if done.as_ref().is_err_and(HostError::is_anothers) {
                // The other process answers, or this process once the flow is at rest.
                return core.keeper.served(id);
            }
            if let Err(error) = core.store.answer(id, &answer_of(&done)) {
                tracing::warn!(%error, "a request was served and not answered");
            }
            core.keeper.served(id);
        });
        if let Some((asked, tell)) = self.operate_on_active(flow, asked, tell) {
            let job = move |core: &Arc<Self>| core.operate_then(flow, asked, tell);
            if let Err(error) = self.pool.push(self, job) {
                tracing::debug!(%error, "a request is left to the next host");
            }
        }
    }

    /// Reads the report of a flow that another process may have worked on.
    pub(super) fn report_on_disk(&self, id: FlowId) -> Result<Report, HostError> {
        let found = self.store.on_disk(id)?;
        if let Some(kept) = found.kept {
            return Ok(kept);
        }
        let history = cairn_effects::history::History::fold(&found.journal, self.store.domains());
        let history = history.ok_or(StoreError::UnknownFlow(id))?;
        Ok(Report::new(id, &history))
    }
}

impl HostError {
    /// Returns whether to try again: this process is restoring the flow, or another process changed it since it was loaded
    /// here.
    fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::InHand(_) | Self::Store(StoreError::WentOn(_)))
    }

    /// Returns whether the flow has another owner, which serves the request or releases the flow.
    pub(super) fn is_anothers(&self) -> bool {
        self.is_of_the_moment() || matches!(self, Self::Store(StoreError::InHand { .. }))
    }
}

/// Runs an operation on a flow that was just restored. First undoes the effects of the open call. The first append of the operation says who
/// asked for it.
fn take_in_hand(flow: &Flow, asked: &Asked) -> Result<Completion, FlowError> {
    use FlowState::{Failure, Interrupted, Pending, Success};
    let operation = &asked.operation;
    let state = flow.state();
    let invalid = || FlowError::InvalidState {
        operation: operation.name(),
        state,
        inside: false,
    };
    match (operation, state) {
        (Operation::Interrupt, Pending | Success | Failure)
        | (Operation::Resume, Success | Failure) => return Err(invalid()),
        (Operation::Reset, _) if flow.sleeps() => return Err(invalid()),
        (Operation::Rollback { .. }, _) if flow.is_past_pivot() => {
            return Err(FlowError::PastPivot);
        }
        (Operation::Accept { user_id, reason }, _) if flow.sleeps() => {
            flow.operated(asked.event());
            flow.accept(user_id, reason)?;
            return Ok(flow.settled());
        }
        // What it sleeps for is tried at once, and a wait goes on.
        (Operation::Resume, _) if flow.sleeps() => {
            flow.operated(asked.event());
            return Ok(flow.wake_to_end());
        }
        _ => {}
    }
    if let Operation::Signal {
        name,
        payload,
        user_id,
    } = operation
    {
        flow.signal_for(name, payload, user_id, asked.event())?;
        return Ok(flow.settled());
    }
    let is_carried_out = match operation {
        Operation::Resume | Operation::Rollback { .. } => true,
        // One that is rolled back goes on to be.
        Operation::Interrupt => flow.goes_forward(),
        // The recovery is no part of it, and it may be refused then.
        _ => false,
    };
    // Another process may have begun it, which recorded it.
    let begun = |operated: &Event| flow.with_history(|history| history.is_under_way(operated));
    if is_carried_out {
        flow.operated(asked.event().filter(|operated| !begun(operated)));
    }
    let recovered = flow.recover_to_end(Recovery::Interrupt);
    recovered.so_far()?;
    if flow.sleeps() {
        // A rollback that pauses again.
        return Ok(recovered);
    }
    match operation {
        Operation::Interrupt => Ok(recovered),
        Operation::Resume => Ok(match flow.state() {
            Pending | Interrupted => flow.resume_to_end(),
            // The flow was reverting; recovery has rolled it back.
            _ => recovered,
        }),
        Operation::Reset => {
            flow.operated(asked.event());
            flow.reset_clean()?;
            Ok(recovered)
        }
        Operation::Rollback { .. } if flow.with_history(|history| history.is_rolled_back()) => {
            Ok(recovered)
        }
        Operation::Rollback { reason } => Ok(flow.rollback_to_end(&Cause::requested(reason))),
        Operation::Accept { user_id, reason } => {
            flow.operated(asked.event());
            flow.accept(user_id, reason)?;
            Ok(recovered)
        }
        _ => Err(invalid()),
    }
}

/// Creates the answer to a request: the error, or only the state, since the report is in the journal.
fn answer_of(done: &Result<Report, HostError>) -> Value {
    match done {
        Ok(report) => serde_json::json!({"state": report.flow.state}),
        Err(error) => serde_json::json!({"error": error.to_string(), "why": error.hindrance()}),
    }
}
