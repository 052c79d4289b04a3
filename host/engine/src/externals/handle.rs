//! Looks at one object, adopts it, removes it.

use cairn_effects::event::LogLevel;
use cairn_effects::external::operate::{Adoption, OperatorsAct, RemovalEnd};
use cairn_effects::external::{
    ActError, ActLog, ExternalKey, ExternalObject, OF_NO_FLOW, Presence, token,
};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_model::value::{Object, Value};
use cairn_store::view::View;
use cairn_store::{HostStore, StoreError};
use serde_json::json;

use super::error::HandleError;
use crate::flow::{Provider, acting_host, ask_to_remove, hindrance};

/// Returns the row of an object that the caller may look at; `None` if an admin asks about an object without one.
///
/// # Errors
/// `NotAuthorized` when the caller is no admin, and the caller's project has no such row.
pub fn row_of(view: &View<'_>, key: &ExternalKey) -> Result<Option<Object>, StoreError> {
    let row = view.external(key)?;
    if row.is_none() {
        view.require_admin("an object without a row in the project is looked at for admins only")?;
    }
    Ok(row)
}

/// Asks a provider what there is of an object.
///
/// # Errors
/// [`HandleError::Unknown`].
pub fn look(provider: &Provider, key: &ExternalKey) -> Result<Presence, HandleError> {
    ask(provider, key).map_err(|error| HandleError::Unknown {
        key: key.clone(),
        error: Box::new(error),
    })
}

/// Returns the document that operators are shown: what there is of an object, and its row.
pub fn document(key: &ExternalKey, found: &Presence, row: Option<&Object>) -> Value {
    json!({
        "provider": &*key.provider,
        "kind": &*key.kind,
        "id": &*key.id,
        "found": found.as_str(),
        "result": found.result(),
        "row": row,
    })
}

/// Asks a provider what there is of an object; the error is the provider's.
pub(super) fn ask(provider: &Provider, key: &ExternalKey) -> Result<Presence, TaskError> {
    provider.external.look(&object(key, 0), &traced())
}

/// Makes a row for an object that has none, in the project of `by`. Returns what there is of the object.
///
/// # Errors
/// [`HandleError::Absent`], [`HandleError::Unknown`]; `AdminRequired`, `ExternalExists`; those of the store.
pub fn adopt(
    store: &dyn HostStore,
    by: &Identity,
    provider: &Provider,
    key: &ExternalKey,
    reason: &str,
) -> Result<Presence, HandleError> {
    // Before the provider is asked: what there is of an object is not for everyone.
    store.admin(by, |admin| {
        admin.require_admin("adopt objects outside the database")
    })?;
    let found = look(provider, key)?;
    let result = match &found {
        Presence::Absent => return Err(HandleError::Absent(key.clone())),
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
    Ok(found)
}

/// Removes an object whose flow is over, or which no flow made, and then its row. What is about to happen is on disk before the provider is
/// asked, and the row stays until the provider says that the object is absent.
///
/// # Errors
/// [`HandleError`], but for [`HandleError::Absent`]: to remove an object that is not there is success. `AdminRequired`, `FlowUnfinished`;
/// those of the store.
pub fn remove(
    store: &dyn HostStore,
    by: &Identity,
    provider: &Provider,
    key: &ExternalKey,
    reason: Option<&str>,
) -> Result<(), HandleError> {
    let seen = acting_host(store, key)?;
    if let Some(why) = hindrance(store, key, &*provider.external)? {
        return Err(HandleError::of_removal(key, ActError::Unsure(why)));
    }
    store.register()?;
    let act = OperatorsAct {
        key,
        digest: provider.digest,
        host: store.host(),
        over: seen,
    };
    let begun = store.admin(by, |admin| {
        admin.because(reason);
        admin.begin_external_removal(&act)
    })?;
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
    removed.map_err(|error| HandleError::of_removal(key, error))
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
