//! Looks at one object, adopts it, removes it.

use cairn_effects::event::LogLevel;
use cairn_effects::external::operate::{Adoption, OperatorsAct, RemovalEnd};
use cairn_effects::external::{
    ActError, ActLog, ExternalKey, ExternalObject, OF_NO_FLOW, Presence, token,
};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_store::{HostStore, StoreError};

use crate::flow::{Provider, acting_host, ask_to_remove, hindrance};

/// Asks a provider what there is of an object.
///
/// # Errors
/// It is not known.
pub fn look(provider: &Provider, key: &ExternalKey) -> Result<Presence, TaskError> {
    provider.external.look(&object(key, 0), &traced())
}

/// Makes a row for an object that has none, in the project of `by`. Returns what there is of the object; a row is made unless it is absent.
/// The inner error says that this is not known.
///
/// # Errors
/// `AdminRequired`, `ExternalExists`; those of the store.
pub fn adopt(
    store: &dyn HostStore,
    by: &Identity,
    provider: &Provider,
    key: &ExternalKey,
    reason: &str,
) -> Result<Result<Presence, TaskError>, StoreError> {
    // Before the provider is asked: what there is of an object is not for everyone.
    store.admin(by, |admin| {
        admin.require_admin("adopt objects outside the database")
    })?;
    let found = match look(provider, key) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let result = match &found {
        Presence::Absent => return Ok(Ok(found)),
        Presence::Partial => None,
        Presence::Whole(result) => Some(result),
    };
    let adoption = Adoption {
        key,
        reason,
        result,
        digest: provider.digest,
    };
    store.admin(by, |admin| admin.adopt_external(adoption))?;
    Ok(Ok(found))
}

/// Removes an object whose flow is over, or which no flow made, and then its row. What is about to happen is on disk before the provider is
/// asked, and the row stays until the provider says that the object is absent. The inner error is the provider's, or `HostMayAct`.
///
/// # Errors
/// `AdminRequired`, `FlowUnfinished`; those of the store.
pub fn remove(
    store: &dyn HostStore,
    by: &Identity,
    provider: &Provider,
    key: &ExternalKey,
) -> Result<Result<(), ActError>, StoreError> {
    let seen = acting_host(store, key)?;
    if let Some(why) = hindrance(store, key, &*provider.external)? {
        return Ok(Err(ActError::Unsure(why)));
    }
    store.register()?;
    let act = OperatorsAct {
        key,
        digest: provider.digest,
        host: store.host(),
        over: seen,
    };
    let begun = store.admin(by, |admin| admin.begin_external_removal(&act))?;
    reach(CrashPoint::RemovalIntended);
    let token = token(OF_NO_FLOW, begun.act);
    let removed = ask_to_remove(provider, &object(key, token), &traced());
    reach(CrashPoint::RemovalDone);
    let end = match &removed {
        Ok(()) => RemovalEnd::Gone,
        Err(ActError::Refused(_)) => RemovalEnd::Refused,
        Err(ActError::Unsure(_)) => RemovalEnd::Unsure,
    };
    store.admin(by, |admin| admin.end_external_removal(&act, &begun, end))?;
    Ok(removed)
}

fn object(key: &ExternalKey, token: u64) -> ExternalObject {
    ExternalObject {
        kind: key.kind.to_string(),
        id: key.id.to_string(),
        token,
    }
}

/// Makes a log of events of `tracing`, as no flow is asked about.
pub(super) fn traced() -> ActLog {
    ActLog::new(|level, message| match level {
        LogLevel::Error => tracing::error!("external: {message}"),
        LogLevel::Warn => tracing::warn!("external: {message}"),
        LogLevel::Info => tracing::info!("external: {message}"),
        LogLevel::Debug => tracing::debug!("external: {message}"),
    })
}
