//! Objects outside the database, such as a DNS record or an account, that tasks make and that the host takes away again.
//!
//! The host decides what an object is called, stores durably that it is about to be made (the *intent*), asks its provider to make it, and
//! records the outcome. An object is removed before its row is. So a row without an object may exist for a while, and an object without a row
//! never does. A provider says of each failure whether something may have changed; if it does not know, it is asked what is there.

mod key;
pub mod operate;
mod remove;

use std::fmt;
use std::sync::Arc;

use serde_json::json;

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, HostId, TaskId};
use cairn_model::trace::TraceContext;
use cairn_model::value::{Digest, Object, Value};

use crate::effect::{Applied, Change};
use crate::event::LogLevel;
use crate::rows::{Hooks, Inverse, Pruned, Registered, Row as _, Rows, Stop, Table, Text, Undo};
use crate::rules::{Effect, LookUp};
use crate::table;

pub use key::{ExternalKey, NoExternalKey};
pub use remove::{IntendRemoval, is_removal};

/// An object as its provider is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalObject {
    /// Its kind, such as `record`.
    pub kind: String,
    /// Its name, a UUID, which is never given twice.
    pub id: String,
    /// Does not shrink from one act on the object to the next, and grows with each that the host begins anew. A backend that compares it can
    /// refuse an act that comes late.
    pub token: u64,
}

/// What there is of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// Nothing, also no part of it, and no work that goes on there.
    Absent,
    /// Something that cannot be used. A removal takes it away.
    Partial,
    /// The object, with what its making returned.
    Whole(Value),
}

impl Presence {
    /// Returns the word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Partial => "partial",
            Self::Whole(_) => "whole",
        }
    }

    /// Returns what the making of a whole object returned.
    pub const fn result(&self) -> Option<&Value> {
        match self {
            Self::Whole(result) => Some(result),
            Self::Absent | Self::Partial => None,
        }
    }
}

/// Why an act failed.
#[derive(Clone, Debug, PartialEq)]
pub enum ActError {
    /// Nothing has changed.
    Refused(TaskError),
    /// Something may have changed.
    Unsure(TaskError),
}

/// Where a provider's log goes while it is asked: to the log of the flow whose object it is.
#[derive(Clone)]
pub struct ActLog {
    write: Arc<dyn Fn(LogLevel, String) + Send + Sync>,
    trace: Option<TraceContext>,
}

impl ActLog {
    /// Makes a log whose messages are passed to `write`, from the thread that asks.
    pub fn new(write: impl Fn(LogLevel, String) + Send + Sync + 'static) -> Self {
        Self {
            write: Arc::new(write),
            trace: None,
        }
    }

    /// Sets the trace that the act belongs to, and its span there.
    #[must_use]
    pub fn within(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace;
        self
    }

    /// Returns the trace that the act belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// Writes a message.
    pub fn write(&self, level: LogLevel, message: String) {
        (self.write)(level, message);
    }
}

impl fmt::Debug for ActLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActLog")
    }
}

/// A provider of objects outside the database. The host may ask it from any thread, one act at a time for each object.
pub trait External: Send + Sync {
    /// Returns what there is of an object. Changes nothing.
    ///
    /// # Errors
    /// It is not known.
    fn look(&self, object: &ExternalObject, log: &ActLog) -> Result<Presence, TaskError>;

    /// Makes an object. A repeat with the same `spec` is success when the object is whole, and makes it anew when it is partial.
    ///
    /// # Errors
    /// [`ActError`].
    fn make(&self, object: &ExternalObject, spec: &Value, log: &ActLog) -> Result<Value, ActError>;

    /// Takes an object away, whole or partial. One that is absent is success.
    ///
    /// # Errors
    /// [`ActError`].
    fn remove(&self, object: &ExternalObject, log: &ActLog) -> Result<(), ActError>;

    /// Returns ids of this provider's objects of a kind, sorted by their bytes, each once: those after `after`, or the first ones; none ends
    /// the list.
    ///
    /// # Errors
    /// It is not known.
    fn list(&self, kind: &str, after: Option<&str>, log: &ActLog)
    -> Result<Vec<String>, TaskError>;

    /// Returns whether it refuses an act whose token is less than that of another act on the same object that it was asked for before, also
    /// once the object is gone. Then a process that is late in an act can do no harm.
    fn fences(&self) -> bool {
        false
    }
}

/// The number of an effect in the tokens of acts on objects whose flow has ended: after all acts of that flow.
pub const OF_NO_FLOW: u32 = u32::MAX;

/// Returns the token of an act. Effects of a flow are numbered, and so are the acts on the object of each.
pub fn token(effect: u32, act: u64) -> u64 {
    u64::from(effect) << 32 | act
}

/// Returns whether a text is the name of an object as the host writes it: a UUID in lower case.
pub fn is_name(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text)
}

/// Returns the name of the object that a task of a flow makes under a label: the same call names the same object.
pub fn name_of(flow: FlowId, task: TaskId, label: &str) -> String {
    let digest = Digest::of_json(&(flow, task, label)).expect("ids and a text have no other keys");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

table! {
    /// An object outside the database, or the intent to make one.
    pub struct ExternalRow in "externals", called "external", with HOOKS {
        key provider, kind, id;
        project_id: Text,
        flow: Option<FlowId>,
        /// The task that makes it; empty if none does.
        task: Text,
        /// `making`, `made` or `removing`.
        state: Text,
        /// What it was asked for with, or who [adopted](operate::adopt) it: JSON.
        spec: Text,
        /// What its making returned: JSON.
        result: Option<Text>,
        /// The digest of the provider's component.
        digest: Text,
        token: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
        /// The process that may be in an act on it: from before the act until its outcome is recorded.
        host: Option<HostId>,
    }
}

/// The table of objects outside the database.
pub const TABLE: &Table = ExternalRow::TABLE;

pub(crate) const REGISTERED: Registered = Registered {
    table: TABLE,
    undo,
    settle: None,
};

const HOOKS: Hooks = Hooks {
    owner: Some("project_id"),
    flow: Some("flow"),
    title: Some("id"),
    hidden: &[SPEC],
    pruned: Pruned::Forget,
    ..Hooks::NONE
};

/// The column of what an object was asked for with, which reports leave out.
const SPEC: &str = "spec";

/// Returns what the object of an intent was asked for with.
pub fn spec_of(applied: &Applied) -> Option<&Value> {
    applied.changes.iter().find_map(|change| match change {
        Change::Row {
            table,
            after: Some(after),
            ..
        } if *table == TABLE.name => after.get(SPEC),
        _ => None,
    })
}

/// States of an object's row.
pub mod state {
    /// It is about to be made, or is being made.
    pub const MAKING: &str = "making";
    /// It was made.
    pub const MADE: &str = "made";
    /// It is about to be removed, or is being removed.
    pub const REMOVING: &str = "removing";
}

/// Asks which process may be in an act on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActingHost(pub ExternalKey);

impl LookUp for ActingHost {
    const FUNCTION: Option<&'static str> = None;
    type Answer = Option<HostId>;

    fn arguments(&self) -> Value {
        json!({"provider": &*self.0.provider, "kind": &*self.0.kind, "id": &*self.0.id})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Option<HostId>, Stop> {
        let row = rows.get::<ExternalRow>(self.0.key())?;
        Ok(row.and_then(|row| row.host))
    }
}

/// The intent to make an object. Its inverse is an act: the row is removed once the object is.
#[derive(Clone, Debug, PartialEq)]
pub struct Intend {
    /// The object.
    pub key: ExternalKey,
    /// The name of the task.
    pub task: String,
    /// What the provider is asked for.
    pub spec: Value,
    /// The digest of the provider's component.
    pub digest: Digest,
    /// The process that is about to act.
    pub host: HostId,
}

impl Effect for Intend {
    const NAME: &'static str = "external_make";
    const FUNCTION: &'static str = "externals.make";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"provider": &*self.key.provider, "kind": &*self.key.kind, "spec": self.spec})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        if rows.get::<ExternalRow>(self.key.key())?.is_some() {
            let message = format!(
                "the object `{}` of `{}` exists",
                self.key.id, self.key.provider
            );
            return Err(TaskError::new("ExternalExists", message).into());
        }
        let (by, now) = (rows.by(), rows.now());
        let row = ExternalRow {
            provider: Text::clone(&self.key.provider),
            kind: Text::clone(&self.key.kind),
            id: Text::clone(&self.key.id),
            project_id: by.requester.project_id.as_str().into(),
            flow: by.call.map(|call| call.flow),
            task: self.task.as_str().into(),
            state: state::MAKING.into(),
            spec: self.spec.to_string().into(),
            result: None,
            digest: self.digest.to_string().into(),
            token: 1,
            created_at: now,
            updated_at: now,
            host: Some(self.host),
        };
        rows.insert(row);
        rows.note(Change::Row {
            table: TABLE.name.into(),
            id: self.key.key(),
            before: None,
            after: Some(Object::from_iter([
                ("state".to_owned(), state::MADE.into()),
                (SPEC.to_owned(), self.spec.clone()),
            ])),
        });
        Ok(())
    }
}

/// A step of an act on an object, which the host records with an event of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum ActStep {
    /// The object was made, with this result.
    Made(ExternalKey, Value),
    /// Nothing was made: the row is removed.
    Closed(ExternalKey),
    /// The object is about to be removed, by this process.
    Removing(ExternalKey, HostId),
    /// The object was removed, and its removal is not undone: the row is removed.
    Removed(ExternalKey),
    /// Nothing of the object was removed.
    Restored(ExternalKey),
    /// The act is over, and did not end with the object's making or removal.
    Over(ExternalKey),
}

impl Effect for ActStep {
    const NAME: &'static str = "external_step";
    const FUNCTION: &'static str = "externals.step";
    /// The token of the next act.
    type Answer = u64;

    fn arguments(&self) -> Value {
        Value::Null
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<u64, Stop> {
        let (Self::Made(key, _)
        | Self::Closed(key)
        | Self::Removing(key, _)
        | Self::Removed(key)
        | Self::Restored(key)
        | Self::Over(key)) = self;
        let Some(row) = rows.get::<ExternalRow>(key.key())? else {
            return match self {
                // Another one has removed the object.
                Self::Removed(_) | Self::Restored(_) | Self::Over(_) => Ok(0),
                _ => Err(key.not_found().into()),
            };
        };
        let mut changed = ExternalRow {
            updated_at: rows.now(),
            token: row.token + 1,
            host: None,
            ..ExternalRow::clone(&row)
        };
        match self {
            Self::Made(_, result) => {
                changed.state = state::MADE.into();
                changed.result = Some(result.to_string().into());
            }
            Self::Removing(_, host) => {
                changed.state = state::REMOVING.into();
                changed.host = Some(*host);
            }
            Self::Restored(_) => changed.state = state::MADE.into(),
            Self::Over(_) => {}
            Self::Closed(_) | Self::Removed(_) => {
                rows.remove(&row);
                return Ok(0);
            }
        }
        let token = u64::try_from(changed.token).unwrap_or(0);
        rows.update(&row, changed);
        Ok(token)
    }
}

/// Removes the row of an object that was removed. The host calls it after that; nothing else may.
fn undo(_: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let Some(found) = inverse.found else {
        return Ok(Undo::Nothing);
    };
    let row = crate::rows::typed::<ExternalRow>(found);
    match row.is_some_and(|row| &*row.state == state::REMOVING) {
        true => Ok(Undo::Apply),
        false => Err(inverse.refused("is still there")),
    }
}
