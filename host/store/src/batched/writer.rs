//! The one writer: appends events of flows, applies and undoes their effects, and runs their queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use cairn_effects::effect::Applied;
use cairn_effects::event::{Event, FlowState};
use cairn_effects::rows::{Draft, End, Made, Rows, RunRecord, Stop, Tables, undo};
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_model::clock::Timestamp;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::{CallId, FlowId, Identity};

use super::entries::{self, Written};
use super::inbox::Said;
use super::ledger::Ledger;
use super::session::{OPERATOR, Session};
use crate::audit_row::AuditRow;
use crate::backend::Backend;
use crate::config::Env;
use crate::{Caller, StoreError, WhenDurable};

/// Runs the operations of flows and adds them to the open batch.
pub(crate) struct Writer<B> {
    pub(crate) ledger: Ledger<B>,
    pub(crate) env: Env,
    pub(super) closing: bool,
}

impl<B: Backend> Writer<B> {
    pub(super) fn new(backend: B, env: Env) -> Self {
        Self {
            ledger: Ledger::new(backend, Arc::clone(&env.clock)),
            env,
            closing: false,
        }
    }

    pub(super) fn append(
        &mut self,
        flow: FlowId,
        now: Timestamp,
        events: &[Event],
        written: Written,
    ) -> Result<Timestamp, StoreError> {
        self.open_session(flow, events.first())?;
        let finished = events.iter().find_map(|event| match event {
            Event::State { to, .. } if matches!(to, FlowState::Success | FlowState::Failure) => {
                let session = self.ledger.flows.get(&flow);
                Some((*to, session.map(Session::unreverted).unwrap_or_default()))
            }
            Event::Accepted { .. } => Some((FlowState::Failure, BTreeSet::new())),
            _ => None,
        });
        if let Some((state, unreverted)) = finished {
            let end = End {
                state,
                unreverted: &unreverted,
            };
            self.settle(flow, end)?;
            reach(CrashPoint::CastsSettled);
        }
        self.record_operations(flow, now, events);
        if let Some(session) = self.ledger.flows.get_mut(&flow) {
            let notes = events.iter();
            let tables = self.env.config.domains.tables();
            notes.for_each(|event| session.note(flow, now, event, tables));
        }
        self.push(flow, written);
        reach(CrashPoint::EventsAppended);
        self.commit_if_large()?;
        Ok(now)
    }

    /// Adds a row of the audit to the open batch for each operation that is about to be carried out on a flow.
    fn record_operations(&mut self, flow: FlowId, now: Timestamp, events: &[Event]) {
        for event in events {
            let Event::Operated {
                operation,
                by,
                reason,
            } = event
            else {
                continue;
            };
            let session = self.ledger.flows.get(&flow);
            let row = AuditRow {
                action: format!("flow.{operation}"),
                subject: flow.to_string(),
                project_id: session.and_then(Session::project_id).map(str::to_owned),
                reason: reason.clone(),
                before: session.map(Session::shown).unwrap_or_default(),
                ..AuditRow::new(now, by.clone())
            };
            if let Some(batch) = &mut self.ledger.batch {
                batch.audit.push((flow, row));
            }
        }
    }

    /// Opens a batch, and checks the flow's session or creates one for a new flow.
    fn open_session(&mut self, flow: FlowId, first: Option<&Event>) -> Result<(), StoreError> {
        self.check_session(flow, first)?;
        self.ledger.begin_as_host()?;
        let Some(session) = self.ledger.flows.get_mut(&flow) else {
            let Some(created @ Event::Created { .. }) = first else {
                return Err(StoreError::UnknownFlow(flow));
            };
            if let Event::Created { requester, .. } = created {
                self.own(&requester.project_id)?;
            }
            self.take_key(flow, created)?;
            self.ledger.flows.insert(flow, Session::with_handles(1));
            return Ok(());
        };
        let has_left = self
            .ledger
            .backend
            .owned()
            .is_some_and(|owned| !session.is_in(&owned));
        if has_left && !session.rested {
            // Its partition was given back: another host may work on it.
            session.lost = Some(StoreError::WentOn(flow));
            return Err(StoreError::WentOn(flow));
        }
        if !session.rested {
            return Ok(());
        }
        // While it was at rest, another process may have continued it.
        let entries = session.next_entry;
        let project_id = session.project_id().filter(|_| has_left);
        if let Some(project_id) = project_id.map(str::to_owned) {
            self.own(&project_id)?;
        }
        let untouched = self.ledger.backend.is_untouched(flow, entries);
        let untouched = self.ledger.settled(untouched)?;
        let Some(session) = self.ledger.flows.get_mut(&flow) else {
            return Err(StoreError::UnknownFlow(flow));
        };
        if untouched {
            session.rested = false;
            return Ok(());
        }
        session.lost = Some(StoreError::WentOn(flow));
        Err(StoreError::WentOn(flow))
    }

    fn check_session(&self, flow: FlowId, first: Option<&Event>) -> Result<(), StoreError> {
        match self.ledger.flows.get(&flow) {
            Some(_) if self.ledger.barred.is_some() => self.ledger.check_barred(),
            Some(session) => session.lost.clone().map_or(Ok(()), Err),
            None if matches!(first, Some(Event::Created { .. })) => Ok(()),
            None => Err(StoreError::UnknownFlow(flow)),
        }
    }

    /// Adds entries to the open batch.
    fn push(&mut self, flow: FlowId, entries: Written) {
        self.ledger.touch(flow);
        let (Some(batch), Some(session)) =
            (&mut self.ledger.batch, self.ledger.flows.get_mut(&flow))
        else {
            return;
        };
        batch.events += entries.len();
        session.pending.append(entries);
    }

    /// Folds an event into the session of its flow.
    fn note(&mut self, flow: FlowId, now: Timestamp, event: &Event) {
        if let Some(session) = self.ledger.flows.get_mut(&flow) {
            session.note(flow, now, event, self.env.config.domains.tables());
        }
    }

    /// Adds one entry to the open batch without folding it into the session.
    fn push_event(&mut self, flow: FlowId, now: Timestamp, event: impl Serialize) {
        let mut written = Written::default();
        written.add(now, event);
        self.push(flow, written);
    }

    /// Settles the rows of a flow that ends, with the hooks of their tables. Fetches rows that are not cached in the open batch.
    fn settle(&mut self, flow: FlowId, end: End<'_>) -> Result<(), StoreError> {
        let Some(session) = self.ledger.flows.get(&flow) else {
            return Ok(());
        };
        let tables = self.env.config.domains.tables();
        let mut settles = Vec::new();
        for id in &session.made {
            let registered = tables.registered(id.table.name);
            if let Some(settle) = registered.and_then(|registered| registered.settle)
                && !settles.iter().any(|(table, _)| *table == id.table)
            {
                settles.push((id.table, settle));
            }
        }
        let nobody = Identity::default();
        let by = Caller {
            call: Some(CallId { flow, ..OPERATOR }),
            requester: &nobody,
        };
        for (_, settle) in settles {
            let mut draft = Draft::new(self.env.clock.now());
            loop {
                let (result, _) = self.rules(by, &mut draft, |rows| settle(rows, end));
                match result {
                    Ok(()) => break,
                    Err(Stop::Refused(error)) => return Err(StoreError::Refused(error)),
                    Err(Stop::Missing) => {
                        let fetching = self.ledger.overlay.begin_fetch();
                        let fetched = self.ledger.backend.fetch(draft.take_wants());
                        let fetched = self.ledger.settled(fetched)?;
                        self.ledger.overlay.accept(&fetched);
                        draft.answered(fetching, fetched);
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies an effect. Returns `None` when rows are missing, which the draft names.
    pub(super) fn apply(
        &mut self,
        by: Caller<'_>,
        effect: &dyn DynEffect,
        draft: &mut Draft,
    ) -> Result<Option<(AnyAnswer, Applied)>, StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
            if self
                .ledger
                .flows
                .get(&call.flow)
                .and_then(|session| session.open)
                != Some(call)
            {
                return Err(StoreError::CallClosed);
            }
            self.open_session(call.flow, None)?;
        } else {
            self.ledger.begin()?;
        }
        let now = draft.now();
        let tables = self.env.domains().tables().clone();
        let (result, done) = self.changes(by, draft, |rows| {
            let answer = effect.apply_dyn(rows)?;
            check_registered(rows, &tables)?;
            Ok(answer)
        })?;
        if !matches!(result, Err(Stop::Missing)) {
            self.note_denied(by, now, done.denied);
        }
        let answer = match result {
            Ok(answer) => answer,
            Err(Stop::Refused(error)) => return Err(StoreError::Refused(error)),
            Err(Stop::Missing) => return Ok(None),
        };
        let mut applied = Applied {
            number: 0,
            call: by.call.unwrap_or(OPERATOR),
            effect: effect.name().into(),
            changes: done.changes,
        };
        if let Some(call) = by.call {
            if let Some(session) = self.ledger.flows.get_mut(&call.flow) {
                applied.number = session.next_effect.max(1);
                session.applied(&applied, self.env.config.domains.tables());
            }
            self.push_event(call.flow, now, entries::Effect::Applied(&applied));
        }
        reach(CrashPoint::EffectApplied);
        self.commit_if_large()?;
        Ok(Some((answer, applied)))
    }

    /// Runs a step of the host's own, journalled as `event`. Returns `None` when rows are missing, which the draft names.
    pub(super) fn step(
        &mut self,
        call: CallId,
        step: &dyn DynEffect,
        event: &Event,
        draft: &mut Draft,
    ) -> Result<Option<AnyAnswer>, StoreError> {
        self.open_session(call.flow, None)?;
        let nobody = Identity::default();
        let by = Caller {
            call: Some(call),
            requester: &nobody,
        };
        let now = draft.now();
        let (result, _) = self.changes(by, draft, |rows| step.apply_dyn(rows))?;
        let answer = match result {
            Ok(answer) => answer,
            Err(Stop::Refused(error)) => return Err(StoreError::Refused(error)),
            Err(Stop::Missing) => return Ok(None),
        };
        self.note(call.flow, now, event);
        self.push_event(call.flow, now, event.clone());
        reach(CrashPoint::EffectApplied);
        self.commit_if_large()?;
        Ok(Some(answer))
    }

    /// Runs rules over the rows of the open batch.
    pub(super) fn rules<T>(
        &mut self,
        by: Caller<'_>,
        draft: &mut Draft,
        rules: impl FnOnce(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> (Result<T, Stop>, RunRecord) {
        let session = by.call.and_then(|call| self.ledger.flows.get(&call.flow));
        let nothing = Made::new();
        let made = session.map_or(&nothing, |session| &session.made);
        let services = self.env.config.domains.services();
        Rows::new(&mut self.ledger.overlay, draft, by, made, services).run(rules)
    }

    /// Undoes an effect. Returns `None` when rows are missing, which the draft names.
    pub(super) fn undo(
        &mut self,
        applied: &Applied,
        draft: &mut Draft,
    ) -> Result<Option<()>, StoreError> {
        let flow = applied.call.flow;
        self.open_session(flow, None)?;
        let nobody = Identity::default();
        let by = Caller {
            call: Some(applied.call),
            requester: &nobody,
        };
        let now = draft.now();
        let tables = self.env.domains().tables().clone();
        let (result, _) = self.changes(by, draft, |rows| {
            let mut changes = applied.changes.iter().rev();
            changes.try_for_each(|change| undo(rows, &tables, change))
        })?;
        match result {
            Ok(()) => {}
            Err(Stop::Refused(error)) => return Err(StoreError::Refused(error)),
            Err(Stop::Missing) => return Ok(None),
        }
        let event = Event::Undone {
            number: applied.number,
        };
        self.note(flow, now, &event);
        self.push_event(flow, now, event);
        reach(CrashPoint::EffectUndone);
        self.commit_if_large()?;
        Ok(Some(()))
    }

    /// Runs a query. Returns `None` when rows are missing, which the draft names.
    pub(super) fn look_up(
        &mut self,
        by: Caller<'_>,
        look_up: &dyn DynLookUp,
        draft: &mut Draft,
    ) -> Result<Option<AnyAnswer>, StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
        }
        if self.ledger.batch.is_none() {
            self.ledger.look_for_others()?;
        }
        let now = draft.now();
        let (result, done) = self.rules(by, draft, |rows| look_up.look_up_dyn(rows));
        // A batch is opened for every refusal, so that its duration does not reveal whether an id belongs to another
        // project or does not exist.
        if let Some(call) = by.call
            && matches!(result, Err(Stop::Refused(_)))
        {
            self.open_session(call.flow, None)?;
            self.note_denied(by, now, done.denied);
        }
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Stop::Refused(error)) => Err(StoreError::Refused(error)),
            Err(Stop::Missing) => Ok(None),
        }
    }

    /// Journals that a plugin named rows of other projects. An undo does not remove these entries.
    fn note_denied(&mut self, by: Caller<'_>, now: Timestamp, denied: Vec<(&'static str, String)>) {
        let Some(call) = by.call else { return };
        for (kind, id) in denied {
            let session = self.ledger.flows.get_mut(&call.flow);
            if !session.is_some_and(|session| session.denies(kind, &id)) {
                continue;
            }
            let event = Event::Denied {
                task: call.task,
                kind: kind.to_owned(),
                id,
            };
            self.push_event(call.flow, now, event);
        }
    }

    pub(super) fn barrier(&mut self, flow: FlowId) -> Result<(), StoreError> {
        self.check_session(flow, None)?;
        if self.has_pending(flow) {
            self.ledger.commit()
        } else {
            Ok(())
        }
    }

    pub(super) fn when_durable(&mut self, flow: FlowId, then: WhenDurable) {
        let most = self.env.config.batch.waiting;
        if let Err(error) = self.check_session(flow, None) {
            return self.ledger.told.push((then, Err(error)));
        }
        let session = self.ledger.flows.get(&flow);
        let session = session.filter(|session| !session.pending.is_empty());
        let (Some(batch), Some(session)) = (&mut self.ledger.batch, session) else {
            return self.ledger.told.push((then, Ok(())));
        };
        batch.waiting.push(then);
        batch.resting += usize::from(session.rests());
        if batch.resting >= most {
            // The callbacks of the batch get its error.
            let _ = self.ledger.commit();
        }
    }

    pub(super) fn has_pending(&self, flow: FlowId) -> bool {
        let session = self.ledger.flows.get(&flow);
        session.is_some_and(|session| !session.pending.is_empty())
    }

    /// Processes messages from the inbox; returns whether there were any.
    pub(super) fn take_in(&mut self, messages: Vec<Said>) -> bool {
        let something_said = !messages.is_empty();
        for message in messages {
            match message {
                Said::Events {
                    flow,
                    at,
                    events,
                    written,
                } => {
                    if let Err(error) = self.append(flow, at, &events, written) {
                        // The flow's next step that waits for an answer gets the error.
                        tracing::debug!(%flow, %error, "posted events of a flow were refused");
                        self.ledger.forsake(flow, error);
                    }
                }
                Said::Waits(flow, then) => self.when_durable(flow, then),
                Said::Released(flow) => self.release(flow),
            }
        }
        something_said
    }

    /// Commits the open batch when it has reached its maximum number of events.
    fn commit_if_large(&mut self) -> Result<(), StoreError> {
        let most = self.env.config.batch.events;
        match &self.ledger.batch {
            Some(batch) if batch.events >= most => self.ledger.commit(),
            _ => Ok(()),
        }
    }
}

/// Refuses changes of tables that no registered domain has: they could not be undone.
fn check_registered(rows: &Rows<'_>, tables: &Tables) -> Result<(), Stop> {
    let mut changes = rows.changes().iter();
    let Some(unknown) = changes.find(|change| tables.get(change.table()).is_none()) else {
        return Ok(());
    };
    let message = format!(
        "the table `{}` belongs to a domain that is not registered with this host",
        unknown.table()
    );
    Err(TaskError::host(HostErrorKind::NotGranted, message).into())
}
