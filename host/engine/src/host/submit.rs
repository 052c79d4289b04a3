//! Submits many flows: requests go into a queue, workers run them, and callers are told when the result is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};

use cairn_effects::event::FlowState;
use cairn_effects::report::Report;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::Value;
use cairn_store::StoreError;
use cairn_store::shared::partition_of;

use super::callback;
use super::caller::{Caller, Note, Tell};
use super::operations::Follower;
use super::pool::{Aside, Rest};
use super::territory::{Route, Stay};
use super::{Core, Host, HostError, ReadyPlan};
use crate::flow::{Flow, FlowError, Step};
use cairn_store::flow_request::RequestError;

/// A request for a flow.
#[derive(Clone)]
pub struct Submission {
    /// The flow's plan: see [`Host::ready`].
    pub plan: Arc<ReadyPlan>,
    /// The identity on whose behalf it runs.
    pub requester: Identity,
    /// The flow's request; or why there is none, which is the answer unless the key already stands for the same request.
    pub request: Result<Value, RequestError>,
    /// The idempotency key. The same request under the same key, for the same project, returns the first flow's report and
    /// starts no second flow: see [`idempotency`](cairn_model::idempotency).
    pub key: Option<Key>,
}

/// A submitted flow.
pub struct Submitted {
    id: FlowId,
    report: Receiver<Result<Report, HostError>>,
}

impl Submitted {
    /// Returns its id. Under a key that was used before, the report has the first flow's id.
    pub fn id(&self) -> FlowId {
        self.id
    }

    /// Waits until the flow has ended or was interrupted, and that is durable. After the loss of a batch the flow is recovered
    /// as after a crash: it continues, or is rolled back, from what is on disk.
    ///
    /// # Errors
    /// [`HostError::Store`] when nothing of the flow is left, or the database cannot be used any more;
    /// [`HostError::NotStarted`] when the host stopped before its turn came; [`HostError::KeyReused`].
    pub fn wait(self) -> Result<Report, HostError> {
        self.report.recv().unwrap_or(Err(HostError::NotStarted))
    }
}

impl Host {
    /// Submits a flow, which runs when a worker is free. Blocks while the queue is full. If another host owns the project, the request is
    /// forwarded to that host.
    ///
    /// # Errors
    /// [`HostError::NotStarted`] when the host has stopped, [`HostError::Thread`].
    pub fn submit(&self, submission: Submission) -> Result<Submitted, HostError> {
        let (tell, report) = sync_channel(1);
        let id = self.submit_then(submission, move |result| {
            // The caller may have gone.
            let _ = tell.send(result);
        })?;
        Ok(Submitted { id, report })
    }

    /// Submits a flow as [`submit`](Self::submit) does, and passes to `then`, on any thread, what [`Submitted::wait`] would
    /// return. A panic of `then` is logged and has no other effect. `then` must not block: its thread serves other flows too. It may submit
    /// the next request, which does not wait for room in the queue: `then` itself is the end of one that was in it.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); `then` is not called then.
    pub fn submit_then(
        &self,
        submission: Submission,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) -> Result<FlowId, HostError> {
        self.push_submitted(submission, None, then)
    }

    /// Submits a flow as [`submit_then`](Self::submit_then) does, and calls `begun`, on any thread, once the flow is on disk and goes on. `begun`
    /// gets the id of the flow that the request became: under a key that was used for the same request before, it is that of the first one. The
    /// request of a project that another host owns has begun once its flow is on disk, or without a key its row in that host's inbox. `begun`
    /// must not block, and is dropped without a call if the flow ends first.
    ///
    /// # Errors
    /// As [`submit_then`](Self::submit_then); neither `begun` nor `then` is called then.
    pub fn submit_noted(
        &self,
        submission: Submission,
        begun: impl FnOnce(FlowId) + Send + 'static,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) -> Result<FlowId, HostError> {
        let note = move |flow| callback::call(flow, || begun(flow));
        self.push_submitted(submission, Some(Box::new(note)), then)
    }

    /// Returns whether a request that is submitted now finds room in the queue.
    pub fn has_room(&self) -> bool {
        self.core.pool.has_room()
    }

    fn push_submitted(
        &self,
        submission: Submission,
        note: Option<Note>,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) -> Result<FlowId, HostError> {
        let id = FlowId::new();
        let then = move |report| callback::call(id, || then(report));
        let caller = Caller {
            tell: Box::new(then),
            note,
            waits: true,
        };
        let job = move |core: &Arc<Core>| core.run_submitted(id, submission, caller);
        self.core.pool.push_in_turn(&self.core, Box::new(job))?;
        Ok(id)
    }

    /// Submits a flow as [`submit`](Self::submit) does, and first passes it to `watch`, in PENDING and on this thread: to
    /// register listeners, or to [interrupt](Flow::interrupt) it later. A repeat under a key runs nothing; its flow is passed
    /// to `watch` when its request can be resolved. The flow of a project that another host owns runs there, and is not passed to
    /// `watch`.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and those of `watch`: nothing runs then.
    pub fn submit_watched<E: From<HostError>>(
        &self,
        submission: Submission,
        watch: impl FnOnce(&Flow) -> Result<(), E>,
    ) -> Result<Submitted, E> {
        if submission.request.is_err() {
            return Ok(self.submit(submission)?);
        }
        let Route::Here(stay) = self.core.route(&submission)? else {
            return Ok(self.submit(submission)?);
        };
        let submission = self.core.admit(submission);
        if submission.request.is_err() {
            return Ok(self.submit(submission)?);
        }
        let id = FlowId::new();
        let flow = self.core.flow_of(id, submission)?;
        watch(&flow)?;
        let (tell, report) = sync_channel(1);
        let then: Tell = Box::new(move |result| {
            // The caller may have dropped the receiver.
            let _ = tell.send(result);
        });
        let job = move |core: &Arc<Core>| core.begin(flow, stay, Caller::waiting(then));
        self.core.pool.push_in_turn(&self.core, Box::new(job))?;
        Ok(Submitted { id, report })
    }
}

impl Core {
    fn run_submitted(
        self: &Arc<Self>,
        id: FlowId,
        submission: Submission,
        caller: Caller,
    ) -> Option<Rest> {
        if self.stopping.load(Ordering::SeqCst) {
            (caller.tell)(Err(HostError::NotStarted));
            return None;
        }
        let stay = match &submission.request {
            // A repeat needs no owner: what is on disk is its answer.
            Err(_) => None,
            Ok(request) => match self.route(&submission) {
                Ok(Route::Here(stay)) => stay,
                Ok(Route::Elsewhere) => {
                    self.forward(id, &submission, request, caller);
                    return None;
                }
                Err(error) => {
                    (caller.tell)(Err(error));
                    return None;
                }
            },
        };
        self.run_here(id, submission, stay, caller)
    }

    /// Runs the flow of a request that this host takes, unless it is refused or answered already.
    pub(super) fn run_here(
        self: &Arc<Self>,
        id: FlowId,
        submission: Submission,
        stay: Option<Stay>,
        caller: Caller,
    ) -> Option<Rest> {
        let submission = self.admit(submission);
        if let Err(error) = submission.request {
            let key = submission.key.as_ref();
            self.repeat_or(&submission.requester, key, error, caller);
            return None;
        }
        match self.flow_of(id, submission) {
            Ok(flow) => self.begin(flow, stay, caller),
            Err(error) => {
                (caller.tell)(Err(error));
                None
            }
        }
    }

    /// Decides where the flow of a request runs.
    fn route(&self, submission: &Submission) -> Result<Route, HostError> {
        let (Some(territory), Some(shared)) = (&self.territory, self.store.shared()) else {
            return Ok(Route::Here(None));
        };
        Ok(territory.route(
            shared,
            &submission.requester.project_id,
            submission.plan.is_portable(),
        )?)
    }

    /// Refuses the request of a project that has too many undelivered messages. A repeat is answered all the same.
    fn admit(&self, submission: Submission) -> Submission {
        let (Some(dispatcher), Ok(_)) = (&self.dispatcher, &submission.request) else {
            return submission;
        };
        match dispatcher.admit(&submission.requester.project_id) {
            Ok(()) => submission,
            Err(error) => Submission {
                request: Err(RequestError::Store(error.into())),
                ..submission
            },
        }
    }

    /// Makes the flow of a submission, in PENDING.
    fn flow_of(&self, id: FlowId, submission: Submission) -> Result<Flow, HostError> {
        let mut requester = submission.requester;
        if let Some(sample) = self.traces {
            requester.trace.get_or_insert_with(|| id.trace(sample));
        }
        let mut builder = Flow::builder(submission.plan.name())
            .id(id)
            .requester(requester)
            .request(submission.request?);
        if let Some(key) = submission.key {
            builder = builder.key(key);
        }
        self.build(builder, &submission.plan)
    }

    /// Starts a flow, unless the host has stopped.
    fn begin(self: &Arc<Self>, flow: Flow, stay: Option<Stay>, mut caller: Caller) -> Option<Rest> {
        let id = flow.id();
        self.enter(&flow, stay);
        // The host may have been stopped between the check and the entry.
        if self.stopping.load(Ordering::SeqCst) {
            let followers = self.leave(id);
            let stopped = Err(HostError::NotStarted);
            self.tell(id, followers, &stopped);
            (caller.tell)(stopped);
            return None;
        }
        let step = flow.start();
        let note = match &step {
            Step::Next(_) => caller.note.take(),
            // Its caller is told the end.
            Step::Completion(_) => None,
        };
        if let Some(note) = note {
            flow.settled().then(move |durable| {
                if durable.is_ok() {
                    note(id);
                }
            });
        }
        self.go_on(step, flow, caller)
    }

    /// Takes a begun flow one task further, or to its report.
    pub(super) fn go_on(self: &Arc<Self>, step: Step, flow: Flow, caller: Caller) -> Option<Rest> {
        match step {
            Step::Next(run) if self.must_rest(&flow) => {
                drop(run);
                self.hand_over(&flow, caller);
                None
            }
            Step::Next(run) => Some(Rest {
                calls: run.next(),
                job: Box::new(move |core| core.go_on(run.step(), flow, caller)),
            }),
            Step::Completion(ended) => {
                let core = Arc::clone(self);
                ended.then(move |result| core.ended(&flow, result, caller));
                None
            }
        }
    }

    /// Returns whether a flow is to rest between two tasks, because its partition is given back.
    fn must_rest(&self, flow: &Flow) -> bool {
        let Some(territory) = &self.territory else {
            return false;
        };
        let project_id = || flow.with_history(|history| history.requester.project_id.clone());
        // One that was interrupted ends at its next step.
        territory.must_rest(project_id) && flow.state() != FlowState::Interrupted
    }

    /// Leaves a flow to the next owner of its partition. Its callers follow it there.
    fn hand_over(self: &Arc<Self>, flow: &Flow, caller: Caller) {
        let id = flow.id();
        let project_id = flow.with_history(|history| history.requester.project_id.clone());
        if let Some(territory) = &self.territory {
            territory.hand_over(id, &project_id);
        }
        let followers = self.leave(id);
        self.tell(id, followers, &Err(HostError::InHand(id)));
        self.follow_elsewhere(id);
        match caller.waits {
            true => self.follow(id, &project_id, caller),
            false => (caller.tell)(Err(HostError::InHand(id))),
        }
    }

    /// Handles the end of a worker's run of a flow, once it is durable or lost.
    fn ended(self: &Arc<Self>, flow: &Flow, result: Result<(), FlowError>, caller: Caller) {
        let id = flow.id();
        let mut followers = self.leave(id);
        let sleep = flow.with_history(|history| history.sleep.clone());
        if let (Ok(()), Some(sleep)) = (&result, sleep) {
            // It is restored anew when it wakes: this handle must not write any more.
            flow.retire();
            let report = self.report(flow, Ok(()));
            let again = self.sleepers.slept_again(id, sleep.is_wait);
            followers.extend(again.into_iter().map(Follower::waiting));
            self.tell(id, followers, &report);
            return match (report, caller.waits) {
                (Ok(report), true) => {
                    let part =
                        flow.with_history(|history| partition_of(&history.requester.project_id));
                    self.fell_asleep(report, part, sleep.is_wait, caller.tell);
                }
                (report, _) => (caller.tell)(report),
            };
        }
        if let (Err(FlowError::Store(StoreError::WentOn(_))), false) = (&result, caller.waits) {
            // Another process was faster to wake it.
            self.follow_elsewhere(id);
            self.tell(id, followers, &Err(HostError::InHand(id)));
            return (caller.tell)(Err(HostError::InHand(id)));
        }
        let Caller {
            tell: then, note, ..
        } = caller;
        let callers = self.sleepers.take_callers(id).into_iter();
        followers.extend(callers.map(Follower::waiting));
        self.wake_dispatcher();
        match result {
            Err(FlowError::Store(StoreError::KeyTaken { flow: first, same })) => match same {
                true => {
                    let project_id =
                        flow.with_history(|history| history.requester.project_id.clone());
                    let caller = Caller {
                        tell: then,
                        note,
                        waits: true,
                    };
                    self.follow(first, &project_id, caller);
                }
                false => {
                    let key = flow.with_history(|history| history.key.clone());
                    then(Err(HostError::KeyReused {
                        key: key.map(|key| key.text().to_owned()).unwrap_or_default(),
                        flow: first,
                    }));
                }
            },
            Err(FlowError::Store(error)) if error.is_passing() => {
                let part = flow.with_history(|history| partition_of(&history.requester.project_id));
                let job = move |core: &Arc<Self>| {
                    let report = core.make_good(id, error);
                    core.tell(id, followers, &report);
                    let sleep = report
                        .as_ref()
                        .ok()
                        .and_then(|report| report.flow.sleep.clone());
                    match (report, sleep) {
                        (Ok(report), Some(sleep)) => {
                            core.fell_asleep(report, part, sleep.is_wait, then);
                        }
                        (report, _) => then(report),
                    }
                };
                // Once the host has stopped, no caller is left to be told.
                if let Err(error) = self.pool.push(self, job) {
                    tracing::warn!(%id, %error, "a lost flow is recovered by the next host");
                }
            }
            result => {
                let report = self.report(flow, result);
                self.tell(id, followers, &report);
                then(report);
            }
        }
    }

    /// Answers a request that cannot be resolved: a repeat gets the report of the first one, any other the error.
    fn repeat_or(
        self: &Arc<Self>,
        requester: &Identity,
        key: Option<&Key>,
        error: RequestError,
        caller: Caller,
    ) {
        let first = match key {
            Some(key) => self.store.repeat_of(requester, key),
            None => Ok(None),
        };
        match first {
            Ok(Some(first)) => self.follow(first, &requester.project_id, caller),
            Ok(None) => (caller.tell)(Err(error.into())),
            Err(error) => (caller.tell)(Err(error.into())),
        }
    }

    /// Passes the report of another flow to the caller once that flow has ended. Until then the request takes room in the queue.
    fn follow(self: &Arc<Self>, first: FlowId, project_id: &str, caller: Caller) {
        let Caller { tell, note, .. } = caller;
        let aside = Aside::of(self);
        let tell = move |report: Result<Report, HostError>| {
            drop(aside);
            tell(report);
        };
        self.keeper
            .follow(first, partition_of(project_id), note, Box::new(tell));
    }
}
