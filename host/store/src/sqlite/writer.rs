//! The one writer: what flows append, the effects they apply and undo, and what they look up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use cairn_effects::effect::{Answer, Applied, Change, Effect, Query};
use cairn_effects::event::{Entry, Event, FlowState};
use cairn_effects::rows::{Done, Draft, Made, Overlay, Row as _, Rows, Stop};
use cairn_effects::volumes::{self, Message, Setup};
use cairn_model::clock::Timestamp;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::{CallId, FlowId, Identity};
use cairn_model::idempotency::{Key, asked};
use cairn_model::value::Value;

use super::batch::{Batch, Told};
use super::entries::{self, Written};
use super::file::Held;
use super::lease::{Host, Taken};
use super::log::Log;
use super::rows::Statements;
use super::session::{OPERATOR, Session};
use super::turnstile::Turnstile;
use super::tx::{Fault, Tx, describe, in_savepoint};
use super::{Env, idempotency, lookup};
use crate::{Caller, StoreError, WhenDurable};

/// Bytes of the cache of rows.
const CACHE: usize = 64 << 20;

pub(super) struct Writer {
    /// `None` in memory. Dropped before the connection, which removes the log when it is closed last.
    pub(super) log: Option<Log>,
    pub(super) connection: Connection,
    /// What rules look at and change; a commit writes it to the database.
    pub(super) overlay: Overlay,
    pub(super) statements: Statements,
    /// Differs when another process has written.
    pub(super) data_version: Option<i64>,
    /// How often the connection was opened anew.
    pub(super) reopened: u64,
    /// The files that are open; `None` in memory.
    pub(super) held: Option<Held>,
    pub(super) env: Env,
    /// `None` in memory.
    pub(super) turnstile: Option<Turnstile>,
    pub(super) host: Host,
    /// Why this process may write nothing more.
    pub(super) barred: Option<StoreError>,
    pub(super) batch: Option<Batch>,
    pub(super) flows: HashMap<FlowId, Session>,
    /// Who is to be told, once the writer is free, what became of a batch.
    pub(super) told: Vec<Told>,
    /// How many batches were committed.
    pub(super) commits: u64,
    /// Set during a commit, which takes long.
    pub(super) long: Arc<AtomicBool>,
    pub(super) closing: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection, host: Host, env: Env) -> Self {
        Self {
            log: None,
            connection,
            overlay: Overlay::new(CACHE),
            statements: Statements::default(),
            data_version: None,
            reopened: 0,
            held: None,
            env,
            turnstile: None,
            host,
            barred: None,
            batch: None,
            flows: HashMap::new(),
            told: Vec::new(),
            commits: 0,
            long: Arc::default(),
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
                Some(*to)
            }
            _ => None,
        });
        if let Some(state) = finished {
            self.settle_casts(flow, state);
            reach(CrashPoint::CastsSettled);
        }
        if let Some(session) = self.flows.get_mut(&flow) {
            let notes = events.iter();
            notes.for_each(|event| session.note(flow, now, event));
        }
        self.push(flow, written);
        reach(CrashPoint::EventsAppended);
        self.commit_if_large()?;
        Ok(now)
    }

    /// The flow's session in an open batch; a new one for a flow that is created.
    fn open_session(&mut self, flow: FlowId, first: Option<&Event>) -> Result<(), StoreError> {
        self.check_session(flow, first)?;
        self.begin_as_host()?;
        let Some(session) = self.flows.get_mut(&flow) else {
            let Some(created @ Event::Created { .. }) = first else {
                return Err(StoreError::UnknownFlow(flow));
            };
            self.take_key(flow, created)?;
            self.flows.insert(flow, Session::with_handles(1));
            return Ok(());
        };
        if !session.rested {
            return Ok(());
        }
        // While it rested, another process may have taken it up.
        let unchanged = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM flows WHERE id = ? AND (host IS NULL OR host = ?) AND entries = ?",
            )
            .and_then(|mut statement| {
                let (id, own) = (flow.0.as_bytes(), self.host.id.0.as_bytes());
                statement
                    .query_row(params![id, own, session.next_entry], |_| Ok(()))
                    .optional()
            });
        match unchanged {
            Ok(Some(())) => {
                session.rested = false;
                Ok(())
            }
            Ok(None) => {
                session.lost = Some(StoreError::WentOn(flow));
                Err(StoreError::WentOn(flow))
            }
            Err(error) => Err(self.lose(&error)),
        }
    }

    fn check_session(&self, flow: FlowId, first: Option<&Event>) -> Result<(), StoreError> {
        match self.flows.get(&flow) {
            Some(_) if self.barred.is_some() => self.check_barred(),
            Some(session) => session.lost.clone().map_or(Ok(()), Err),
            None if matches!(first, Some(Event::Created { .. })) => Ok(()),
            None => Err(StoreError::UnknownFlow(flow)),
        }
    }

    /// Takes the key of a flow that is created, where it has one. The first flow with a key has it until it lapses.
    fn take_key(&mut self, flow: FlowId, created: &Event) -> Result<(), StoreError> {
        let Event::Created {
            name,
            requester,
            request,
            key: Some(key),
            asked: digest,
            ..
        } = created
        else {
            return Ok(());
        };
        // What is compared with a key of schema 3, of which it is known only what its flow was given.
        let given = || asked(name, request);
        let key = Key::stored(key.clone(), digest.unwrap_or_else(given));
        let project = &requester.project_id;
        let goes_on = |flow| {
            let head = self
                .flows
                .get(&flow)
                .and_then(|session| session.head.as_ref());
            head.is_some_and(|head| !matches!(head.state, FlowState::Success | FlowState::Failure))
        };
        let (connection, env) = (&self.connection, &self.env);
        let holder = idempotency::holder(connection, env, project, key.text(), goes_on)?;
        if let Some(holder) = holder {
            return Err(StoreError::KeyTaken {
                flow: holder.flow,
                same: holder.asked == key.asked() || holder.asked == given(),
            });
        }
        idempotency::give(&self.connection, project, &key, flow).map_err(|error| self.lose(&error))
    }

    /// Adds entries to the open batch.
    fn push(&mut self, flow: FlowId, entries: Written) {
        self.touch(flow);
        let (Some(batch), Some(session)) = (&mut self.batch, self.flows.get_mut(&flow)) else {
            return;
        };
        batch.events += entries.len();
        session.pending.append(entries);
    }

    /// Adds one entry to the open batch, which tells nothing that the session has to know.
    fn push_event(&mut self, flow: FlowId, now: Timestamp, event: impl Serialize) {
        let mut written = Written::default();
        written.add(now, event);
        self.push(flow, written);
    }

    /// Settles what a flow sent that ends: in memory as far as it is there, else when the batch is written.
    fn settle_casts(&mut self, flow: FlowId, state: FlowState) {
        let Some(session) = self.flows.get(&flow) else {
            return;
        };
        if !session.made.iter().any(|id| id.table == Message::TABLE) {
            return;
        }
        let nobody = Identity::default();
        let by = Caller {
            call: Some(CallId { flow, ..OPERATOR }),
            requester: &nobody,
        };
        let mut draft = Draft::new(self.env.clock.now());
        let rows = Rows::new(&mut self.overlay, &mut draft, by, &session.made);
        let (others, _) = rows.run(|rows| Ok(volumes::settle(rows, state)));
        if let (Ok(others), Some(batch)) = (others, &mut self.batch) {
            let others = others.into_iter();
            batch
                .unsettled
                .extend(others.map(|message| (message, state)));
        }
    }

    /// Applies an effect. `None`: rows are missing that the draft names.
    pub(super) fn apply(
        &mut self,
        by: Caller<'_>,
        effect: &Effect,
        draft: &mut Draft,
    ) -> Result<Option<(Answer, Applied)>, StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
            if self.flows.get(&call.flow).and_then(|session| session.open) != Some(call) {
                return Err(StoreError::CallClosed);
            }
            self.open_session(call.flow, None)?;
        } else {
            self.begin()?;
        }
        let now = draft.now();
        let (result, done) =
            self.rules(by, draft, |rows, setup| volumes::apply(rows, setup, effect));
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
            effect: effect.name(),
            changes: done.changes,
        };
        if let Some(call) = by.call {
            if let Some(session) = self.flows.get_mut(&call.flow) {
                applied.number = session.next_effect.max(1);
                session.applied(&applied);
            }
            self.push_event(call.flow, now, entries::Effect::Applied(&applied));
        }
        reach(CrashPoint::EffectApplied);
        self.commit_if_large()?;
        Ok(Some((answer, applied)))
    }

    /// Runs rules over the rows of the open batch.
    fn rules<T>(
        &mut self,
        by: Caller<'_>,
        draft: &mut Draft,
        rules: impl FnOnce(&mut Rows<'_>, &Setup<'_>) -> Result<T, Stop>,
    ) -> (Result<T, Stop>, Done) {
        let session = by.call.and_then(|call| self.flows.get(&call.flow));
        let nothing = Made::new();
        let made = session.map_or(&nothing, |session| &session.made);
        let setup = self.env.setup();
        Rows::new(&mut self.overlay, draft, by, made).run(|rows| rules(rows, &setup))
    }

    /// Takes an effect back. `None`: rows are missing that the draft names.
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
        let (result, _) = self.rules(by, draft, |rows, _| {
            let inverses = applied.changes.iter().rev().map(Change::inverse);
            inverses
                .into_iter()
                .try_for_each(|inverse| volumes::restore(rows, &inverse))
        });
        match result {
            Ok(()) => {}
            Err(Stop::Refused(error)) => return Err(StoreError::Refused(error)),
            Err(Stop::Missing) => return Ok(None),
        }
        let event = Event::Undone {
            number: applied.number,
        };
        self.push_event(flow, now, event);
        reach(CrashPoint::EffectUndone);
        self.commit_if_large()?;
        Ok(Some(()))
    }

    /// Looks something up. `None`: rows are missing that the draft names.
    pub(super) fn query(
        &mut self,
        by: Caller<'_>,
        query: &Query,
        draft: &mut Draft,
    ) -> Result<Option<Value>, StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
        }
        if self.batch.is_none() {
            let look = self.look_for_others();
            // Reading changes nothing, so there is no batch to lose.
            look.map_err(|error| StoreError::Database(describe(&error)))?;
        }
        let now = draft.now();
        let (result, done) =
            self.rules(by, draft, |rows, setup| volumes::query(rows, setup, query));
        // The batch is opened for whatever is refused, so that the time this takes does not tell an id of another's from one
        // that nobody has.
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

    /// Writes down that a plugin named things of others. No undo takes that back.
    fn note_denied(&mut self, by: Caller<'_>, now: Timestamp, denied: Vec<(&'static str, String)>) {
        let Some(call) = by.call else { return };
        for (kind, id) in denied {
            let session = self.flows.get_mut(&call.flow);
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
            self.commit()
        } else {
            Ok(())
        }
    }

    pub(super) fn when_durable(&mut self, flow: FlowId, then: WhenDurable) {
        let most = self.env.config.batch.waiting;
        if let Err(error) = self.check_session(flow, None) {
            return self.told.push((then, Err(error)));
        }
        let pending = self.has_pending(flow);
        match &mut self.batch {
            Some(batch) if pending => {
                batch.waiting.push(then);
                if batch.waiting.len() >= most {
                    // Those who wait are told what became of it.
                    let _ = self.commit();
                }
            }
            _ => self.told.push((then, Ok(()))),
        }
    }

    fn has_pending(&self, flow: FlowId) -> bool {
        let session = self.flows.get(&flow);
        session.is_some_and(|session| !session.pending.is_empty())
    }

    pub(super) fn load(&mut self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        if self.has_pending(flow) {
            // Whoever's batch is lost here is told at their next step.
            if let Err(error) = self.commit() {
                tracing::warn!(%error, "what flows did could not be written to the database while a flow was loaded");
            }
        }
        self.begin_as_host()?;
        let taken = self
            .host
            .take(&self.connection, flow, self.env.clock.now())
            .map_err(|error| self.lose(&error))?;
        match taken {
            Taken::Ours | Taken::Resting => {}
            Taken::By(pid) => return Err(StoreError::InHand { flow, pid }),
            Taken::Unknown => {
                self.flows.remove(&flow);
                return Err(StoreError::UnknownFlow(flow));
            }
        }
        let entries =
            lookup::journal(&self.connection, flow).map_err(|error| StoreError::Damaged {
                flow,
                reason: describe(&error),
            })?;
        let others = self.flows.get(&flow).map_or(0, |session| session.handles);
        let mut session = Session::with_handles(others + 1);
        for entry in &entries {
            session.note(flow, entry.at, &entry.event);
        }
        session.loaded(entries.len());
        session.rested = matches!(taken, Taken::Resting);
        self.flows.insert(flow, session);
        self.touch(flow);
        Ok(entries)
    }

    pub(super) fn release(&mut self, flow: FlowId) {
        let Some(session) = self.flows.get_mut(&flow) else {
            return;
        };
        session.handles = session.handles.saturating_sub(1);
        if session.handles > 0 || !session.pending.is_empty() {
            return;
        }
        let in_hand = session.rests() && !session.rested && session.lost.is_none();
        self.flows.remove(&flow);
        if in_hand && let Err(error) = self.put_down(flow) {
            tracing::warn!(%flow, %error, "a flow that rests stays in this process's hand until it ends");
        }
    }

    /// Gives a flow that rests out of hand.
    fn put_down(&mut self, flow: FlowId) -> Result<(), StoreError> {
        self.begin()?;
        let statement = "UPDATE flows SET host = NULL WHERE id = ? AND host = ?";
        self.connection
            .prepare_cached(statement)
            .and_then(|mut statement| {
                statement.execute([flow.0.as_bytes(), self.host.id.0.as_bytes()])
            })
            .map(drop)
            .map_err(|error| self.lose(&error))
    }

    /// Takes over the flows of hosts that are gone, and says which flows are in this process's hand although nobody here
    /// works on them. Those that were set aside are left out, unless they are to be tried again.
    pub(super) fn take_over(&mut self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        self.begin_as_host()?;
        let now = self.env.clock.now();
        let taken = self.host.take_over(&self.connection, now).and_then(|gone| {
            let flows = super::control::in_hand(&self.connection, self.host.id, stuck_too)?;
            Ok((gone, flows))
        });
        let (gone, mut flows) = taken.map_err(|error| self.lose(&error))?;
        reach(CrashPoint::FlowsTaken);
        flows.retain(|flow| !self.flows.contains_key(flow));
        if !flows.is_empty() {
            self.commit()?;
        }
        self.host.sweep(&gone);
        Ok(flows)
    }

    /// Commits what is open and runs `work` in a transaction of its own, on disk when this returns.
    pub(super) fn alone<T>(
        &mut self,
        by: Caller<'_>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.commit()?;
        self.begin()?;
        // What an operator writes goes past them.
        self.overlay.forget();
        let mut tx = Tx::new(&self.connection, &self.env, by);
        match in_savepoint(&mut tx, work) {
            Ok(value) => {
                self.commit()?;
                Ok(value)
            }
            Err(Fault::Refused(error)) => {
                self.commit()?;
                Err(StoreError::Refused(error))
            }
            Err(Fault::Sqlite(error)) => Err(self.lose(&error)),
        }
    }
}
