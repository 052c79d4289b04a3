//! The one writer: the open batch, what flows appended to it, and what happens when it is lost.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::session::Session;
use super::tx::{Fault, Tx, describe, execute, in_savepoint};
use super::{Env, changes, effects, lookup, open};
use crate::clock::Timestamp;
use crate::effect::{Answer, Applied, Effect, Query};
use crate::event::{Entry, Event, FlowState};
use crate::id::{CallId, FlowId};
use crate::store::{Caller, StoreError};
use crate::value::Value;

/// A batch with this many events is committed at once.
const LARGE_BATCH: usize = 10_000;

pub(super) struct Writer {
    connection: Connection,
    /// Where the database is; `None` in memory.
    path: Option<PathBuf>,
    env: Env,
    batch: Option<Batch>,
    flows: HashMap<FlowId, Session>,
    /// Batches that are on disk.
    pub(super) commits: u64,
    pub(super) closing: bool,
}

struct Batch {
    opened: Instant,
    /// Flows with entries that are not written yet.
    touched: Vec<FlowId>,
    events: usize,
}

impl Writer {
    /// What a reader works with. Nothing may be open.
    pub(super) fn parts(&self) -> (&Connection, &Env) {
        (&self.connection, &self.env)
    }

    pub(super) fn new(connection: Connection, path: Option<PathBuf>, env: Env) -> Self {
        Self {
            connection,
            path,
            env,
            batch: None,
            flows: HashMap::new(),
            commits: 0,
            closing: false,
        }
    }

    pub(super) fn batch_age(&self) -> Option<Duration> {
        self.batch.as_ref().map(|batch| batch.opened.elapsed())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        if self.batch.is_none() {
            if let Err(error) = execute(&self.connection, "BEGIN IMMEDIATE") {
                return Err(StoreError::Database(describe(&error)));
            }
            self.batch = Some(Batch {
                opened: Instant::now(),
                touched: Vec::new(),
                events: 0,
            });
        }
        Ok(())
    }

    /// Writes the entries of the batch and commits it.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if self.batch.is_none() {
            return Ok(());
        }
        let result = self
            .write_entries()
            .and_then(|()| execute(&self.connection, "COMMIT"));
        match result {
            Ok(()) => {
                self.commits += 1;
                let batch = self.batch.take();
                for flow in batch.into_iter().flat_map(|batch| batch.touched) {
                    if let Some(session) = self.flows.get_mut(&flow) {
                        session.committed();
                        if session.handles == 0 {
                            self.flows.remove(&flow);
                        }
                    }
                }
                Ok(())
            }
            Err(error) => Err(self.lose(&error)),
        }
    }

    /// The batch is gone: every flow with an event in it must be loaded anew.
    fn lose(&mut self, error: &rusqlite::Error) -> StoreError {
        let reason = describe(error);
        tracing::error!(reason, "the open batch was lost");
        self.roll_back();
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
            // What the connection knows of the file may be wrong by now.
            self.reopen();
        }
        StoreError::Lost(reason)
    }

    /// Drops a batch that somebody's panic left half done: nothing of it may ever be committed.
    pub(super) fn abandon(&mut self) {
        if self.batch.is_some() || !self.connection.is_autocommit() {
            tracing::error!("the open batch was dropped: a panic left it half done");
            self.roll_back();
        }
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a lost batch could not be rolled back");
            self.reopen();
        }
        for flow in self
            .batch
            .take()
            .into_iter()
            .flat_map(|batch| batch.touched)
        {
            if let Some(session) = self.flows.get_mut(&flow) {
                session.lost = true;
                session.pending.clear();
            }
        }
    }

    /// Opens the connection anew; the old one ends its transaction with it.
    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open::at(path) {
            Ok(connection) => self.connection = connection,
            Err(error) => tracing::error!(%error, "the database could not be opened anew"),
        }
    }

    fn write_entries(&mut self) -> rusqlite::Result<()> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        for flow in &batch.touched {
            let Some(session) = self.flows.get(flow) else {
                continue;
            };
            let id = flow.0.as_bytes();
            if !session.pending.is_empty() {
                let entries = serde_json::to_string(&session.pending)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                self.connection
                    .prepare_cached("INSERT INTO journal (flow, first, entries) VALUES (?, ?, ?)")?
                    .execute(params![id, session.next_entry, entries])?;
            }
            let Some(head) = &session.head else { continue };
            let updated = session
                .pending
                .last()
                .map_or(head.created.at, |entry| entry.at);
            if head.written {
                if head.changed {
                    self.connection
                        .prepare_cached(
                            "UPDATE flows SET state = ?, error = ?, updated_at = ? WHERE id = ?",
                        )?
                        .execute(params![head.state.as_str(), head.error, updated.0, id])?;
                }
            } else if let Event::Created {
                name,
                requester,
                plan,
                ..
            } = &head.created.event
            {
                self.connection
                    .prepare_cached(
                        "INSERT INTO flows (id, name, project_id, user_id, plan, state, error, created_at, updated_at)
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        id,
                        name,
                        requester.project_id,
                        requester.user_id,
                        plan.map(|plan| plan.to_string()),
                        head.state.as_str(),
                        head.error,
                        head.created.at.0,
                        updated.0
                    ])?;
            }
        }
        Ok(())
    }

    pub(super) fn append(
        &mut self,
        flow: FlowId,
        events: Vec<Event>,
    ) -> Result<Timestamp, StoreError> {
        self.check_session(flow, events.first())?;
        self.begin()?;
        let finished = events.iter().find_map(|event| match event {
            Event::State { to, .. } if matches!(to, FlowState::Success | FlowState::Failure) => {
                Some(*to)
            }
            _ => None,
        });
        if let Some(state) = finished
            && let Err(error) = settle_casts(&self.connection, flow, state)
        {
            return Err(self.lose(&error));
        }
        let now = self.env.clock.now();
        for event in events {
            self.push(flow, Entry { at: now, event });
        }
        if self
            .batch
            .as_ref()
            .is_some_and(|batch| batch.events >= LARGE_BATCH)
        {
            self.commit()?;
        }
        Ok(now)
    }

    fn check_session(&mut self, flow: FlowId, first: Option<&Event>) -> Result<(), StoreError> {
        match self.flows.get(&flow) {
            Some(session) if session.lost => Err(StoreError::Lost("a batch before".to_owned())),
            Some(_) => Ok(()),
            None if matches!(first, Some(Event::Created { .. })) => {
                let session = Session {
                    handles: 1,
                    ..Session::default()
                };
                self.flows.insert(flow, session);
                Ok(())
            }
            None => Err(StoreError::UnknownFlow(flow)),
        }
    }

    /// Adds one entry to the open batch.
    fn push(&mut self, flow: FlowId, entry: Entry) {
        let (Some(batch), Some(session)) = (&mut self.batch, self.flows.get_mut(&flow)) else {
            return;
        };
        if session.pending.is_empty() {
            batch.touched.push(flow);
        }
        batch.events += 1;
        session.note(flow, &entry);
        session.pending.push(entry);
    }

    pub(super) fn apply(
        &mut self,
        by: Caller<'_>,
        effect: &Effect,
    ) -> Result<(Answer, Applied), StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
            if self.flows.get(&call.flow).and_then(|session| session.open) != Some(call) {
                return Err(StoreError::CallClosed);
            }
        }
        self.begin()?;
        let mut tx = Tx::new(&self.connection, &self.env, by);
        let result = effects::repair(&tx, effect)
            .and_then(|()| in_savepoint(&mut tx, |tx| effects::apply(tx, effect)));
        let (now, changes, denied) = (
            tx.now,
            std::mem::take(&mut tx.changes),
            std::mem::take(&mut tx.denied),
        );
        self.note_denied(by, now, denied);
        match result {
            Ok(answer) => {
                let number = by
                    .call
                    .and_then(|call| self.flows.get(&call.flow))
                    .map_or(0, |session| session.next_effect.max(1));
                let applied = Applied {
                    number,
                    call: by.call.unwrap_or(CallId::OPERATOR),
                    effect: effect.name(),
                    changes,
                };
                if let Some(call) = by.call {
                    let event = Event::Applied(applied.clone());
                    self.push(call.flow, Entry { at: now, event });
                }
                Ok((answer, applied))
            }
            Err(Fault::Refused(error)) => Err(StoreError::Refused(error)),
            Err(Fault::Sqlite(error)) => Err(self.lose(&error)),
        }
    }

    pub(super) fn undo(&mut self, applied: &Applied) -> Result<(), StoreError> {
        let flow = applied.call.flow;
        self.check_session(flow, None)?;
        self.begin()?;
        let nobody = crate::id::Identity::default();
        let by = Caller {
            call: Some(applied.call),
            requester: &nobody,
        };
        let mut tx = Tx::new(&self.connection, &self.env, by);
        let result = in_savepoint(&mut tx, |tx| {
            let inverses = applied.changes.iter().rev();
            inverses
                .map(crate::effect::Change::inverse)
                .try_for_each(|change| changes::apply(tx, &change))
        });
        let now = tx.now;
        match result {
            Ok(()) => {
                let event = Event::Undone {
                    number: applied.number,
                };
                self.push(flow, Entry { at: now, event });
                Ok(())
            }
            Err(Fault::Refused(error)) => Err(StoreError::Refused(error)),
            Err(Fault::Sqlite(error)) => Err(self.lose(&error)),
        }
    }

    pub(super) fn query(&mut self, by: Caller<'_>, query: &Query) -> Result<Value, StoreError> {
        if let Some(call) = by.call {
            self.check_session(call.flow, None)?;
        }
        let mut tx = Tx::new(&self.connection, &self.env, by);
        let result = lookup::query(&mut tx, query);
        let (now, denied) = (tx.now, std::mem::take(&mut tx.denied));
        if by.call.is_some() && !denied.is_empty() {
            self.begin()?;
            self.note_denied(by, now, denied);
        }
        match result {
            Ok(value) => Ok(value),
            Err(Fault::Refused(error)) => Err(StoreError::Refused(error)),
            // Reading changes nothing, so the batch is as it was.
            Err(Fault::Sqlite(error)) => Err(StoreError::Database(describe(&error))),
        }
    }

    /// Writes down that a plugin named things of others.
    fn note_denied(&mut self, by: Caller<'_>, now: Timestamp, denied: Vec<(&'static str, String)>) {
        let Some(call) = by.call else { return };
        for (kind, id) in denied {
            let event = Event::Denied {
                task: call.task,
                kind: kind.to_owned(),
                id,
            };
            self.push(call.flow, Entry { at: now, event });
        }
    }

    pub(super) fn barrier(&mut self, flow: FlowId) -> Result<(), StoreError> {
        self.check_session(flow, None)?;
        let waits = self
            .flows
            .get(&flow)
            .is_some_and(|session| !session.pending.is_empty());
        if waits { self.commit() } else { Ok(()) }
    }

    pub(super) fn load(&mut self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        // Whoever's batch is lost here is told at their next step.
        if let Err(error) = self.commit() {
            tracing::warn!(%error, "a batch was lost while a flow was loaded");
        }
        let entries = lookup::journal(&self.connection, flow)
            .map_err(|error| StoreError::Database(describe(&error)))?;
        if entries.is_empty() {
            self.flows.remove(&flow);
            return Err(StoreError::UnknownFlow(flow));
        }
        let others = self.flows.get(&flow).map_or(0, |session| session.handles);
        let mut session = Session {
            handles: others + 1,
            ..Session::default()
        };
        for entry in &entries {
            session.note(flow, entry);
        }
        session.loaded(entries.len());
        self.flows.insert(flow, session);
        Ok(entries)
    }

    pub(super) fn release(&mut self, flow: FlowId) {
        if let Some(session) = self.flows.get_mut(&flow) {
            session.handles = session.handles.saturating_sub(1);
            if session.handles == 0 && session.pending.is_empty() {
                self.flows.remove(&flow);
            }
        }
    }

    /// Commits what is open and runs `work` in a transaction of its own, on disk when this returns.
    pub(super) fn alone<T>(
        &mut self,
        by: Caller<'_>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.commit()?;
        self.begin()?;
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

/// What a flow sent is ready when it succeeds, and withdrawn when it does not.
fn settle_casts(connection: &Connection, flow: FlowId, state: FlowState) -> rusqlite::Result<()> {
    let statement = if state == FlowState::Success {
        "UPDATE outbox SET state = 'ready' WHERE flow = ? AND state = 'held'"
    } else {
        "DELETE FROM outbox WHERE flow = ? AND state = 'held'"
    };
    connection
        .prepare_cached(statement)?
        .execute([flow.0.as_bytes()])?;
    Ok(())
}
