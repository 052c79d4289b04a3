//! From each kind of effect to the code that applies it.

use super::keys;
use super::quota;
use super::tx::{Fault, Tx, checked_first, in_savepoint};
use super::volumes;
use crate::effect::{Answer, Cast, Change, Effect, Table};
use crate::value::Object;

/// Applies an effect whole, or not at all, and notes its changes.
pub(in crate::store::sqlite) fn apply(tx: &mut Tx<'_>, effect: &Effect) -> Result<Answer, Fault> {
    // A savepoint copies each page that is written in it, so what is refused before it writes anything has none.
    match effect {
        Effect::QuotaReserve(reserve) => {
            // What this puts right stays when the effect is refused.
            let wanted = quota::refresh(tx, reserve)?;
            checked_first(tx, |tx| quota::reserve(tx, reserve, &wanted))
        }
        Effect::VolumeCreate(create) => checked_first(tx, |tx| volumes::create(tx, create)),
        Effect::Cast(message) => checked_first(tx, |tx| cast(tx, message)),
        Effect::QuotaCommit(commit) => in_savepoint(tx, |tx| quota::commit(tx, commit)),
        Effect::QuotaRollback(rollback) => in_savepoint(tx, |tx| quota::rollback(tx, rollback)),
        Effect::VolumeUpdate(update) => in_savepoint(tx, |tx| volumes::update(tx, update)),
        Effect::VolumeDestroy(destroy) => in_savepoint(tx, |tx| volumes::destroy(tx, destroy)),
        Effect::KeyCreate(_) => in_savepoint(tx, keys::create),
        Effect::KeyCopy(copy) => in_savepoint(tx, |tx| keys::copy(tx, copy)),
        Effect::KeyDelete(delete) => in_savepoint(tx, |tx| keys::delete(tx, delete)),
    }
}

/// Puts a message in the outbox: held while its flow may fail, ready at once for an operator.
fn cast(tx: &mut Tx<'_>, cast: &Cast) -> Result<Answer, Fault> {
    let id = crate::id::uuid().to_string();
    let state = if tx.by.call.is_some() {
        "held"
    } else {
        "ready"
    };
    tx.connection
        .prepare_cached(
            "INSERT INTO outbox (id, flow, state, topic, method, arguments, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(rusqlite::params![
            id,
            tx.flow(),
            state,
            cast.topic,
            cast.method,
            cast.arguments.to_string(),
            tx.now.0
        ])?;
    tx.changed(
        Table::Outbox,
        &id,
        None,
        Some(object([("state", state.into())])),
    );
    Ok(Answer::Done)
}

impl Tx<'_> {
    /// The flow that asks, as the tables keep it.
    pub(in crate::store::sqlite) fn flow(&self) -> Option<[u8; 16]> {
        self.by.call.map(|call| *call.flow.0.as_bytes())
    }

    /// Notes that a row changed.
    pub(in crate::store::sqlite) fn changed(
        &mut self,
        table: Table,
        id: &str,
        before: Option<Object>,
        after: Option<Object>,
    ) {
        self.changes.push(Change::Row {
            table,
            id: id.to_owned(),
            before,
            after,
        });
    }
}

/// An object of a few columns.
pub(in crate::store::sqlite) fn object<const N: usize>(
    columns: [(&str, crate::value::Value); N],
) -> Object {
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
