//! Whether this process may begin an act on an object, and what it records of one that did not succeed. The process that began the last act
//! may be in it for as long as it is not known to be dead, also when its lease is over.

use cairn_effects::effect::Caller;
use cairn_effects::event::{Event, LogLevel};
use cairn_effects::external::{ActStep, ActingHost, External, ExternalKey};
use cairn_model::error::TaskError;
use cairn_model::id::{CallId, HostId, Identity};
use cairn_store::{Store, StoreError};

use super::Inner;

/// Returns the process that has begun an act on an object whose end is not recorded.
pub(crate) fn acting_host(
    store: &dyn Store,
    key: &ExternalKey,
) -> Result<Option<HostId>, StoreError> {
    let requester = Identity::default();
    let by = Caller {
        call: None,
        requester: &requester,
    };
    let answer = store.look_up_dyn(by, &ActingHost(key.clone()))?;
    Ok(answer.downcast_ref::<Option<HostId>>().copied().flatten())
}

/// Returns why no act on an object may begin: another process may be in one, and its provider does not refuse acts that come late.
pub(crate) fn hindrance(
    store: &dyn Store,
    key: &ExternalKey,
    external: &dyn External,
) -> Result<Option<TaskError>, StoreError> {
    let acting = acting_host(store, key)?;
    let Some(host) = acting.filter(|host| *host != store.host()) else {
        return Ok(None);
    };
    if external.fences() {
        return Ok(None);
    }
    let survivor = store.survivor(host)?;
    Ok(survivor.map(|survivor| {
        let message = format!(
            "{survivor} may still be in an act on it, as its process is not known to be dead; if you know that it is, say so with `cairn \
             host end {host} --dead`"
        );
        TaskError::new("HostMayAct", message).with("host", host.to_string())
    }))
}

impl Inner {
    /// Returns why no act on an object may begin: see [`hindrance`].
    pub(super) fn hindrance(
        &self,
        key: &ExternalKey,
        external: &dyn External,
    ) -> Result<Option<TaskError>, StoreError> {
        hindrance(&*self.store, key, external)
    }

    /// Records that an act is over, and that it is not known what there is of its object.
    pub(super) fn end_in_doubt(
        &self,
        call: CallId,
        number: u32,
        key: &ExternalKey,
        error: &TaskError,
    ) -> Result<(), StoreError> {
        let event = Event::InDoubt {
            number,
            error: error.clone(),
        };
        self.step(call, &ActStep::Over(key.clone()), event)
            .map(drop)
    }

    /// Records that a removal is over, which its provider refused.
    pub(super) fn end_refused(
        &self,
        call: CallId,
        key: &ExternalKey,
        message: &str,
    ) -> Result<(), StoreError> {
        let event = Event::Log {
            task: call.task,
            level: LogLevel::Warn,
            message: message.to_owned(),
        };
        self.step(call, &ActStep::Over(key.clone()), event)
            .map(drop)
    }
}
