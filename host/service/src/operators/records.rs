//! Changes records of the caller's project. They are published at once.

use cairn::records::Expect;
use cairn::records::operator::OperateRecords as _;
use cairn::store::admin::Admin;
use cairn::text::Text;
use cairn::{FlowId, Value};

use super::{change, fit, need_reason};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// The rules that let a caller read records, and change them.
pub(crate) const READ: &str = "api:record:read";
pub(crate) const CHANGE: &str = "api:record:change";

/// Where a record is, in the caller's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) collection: String,
    pub(crate) key: String,
}

impl Place {
    /// Checks the names, and that the caller may do what `rule` is asked for.
    ///
    /// # Errors
    /// `InvalidInput`; 403.
    pub(crate) fn must(&self, app: &App, caller: &Caller, rule: &str) -> Result<(), ApiError> {
        fit(Text::Word, "the collection", &self.collection)?;
        fit(Text::Word, "the key", &self.key)?;
        caller.must(&app.policy, rule, Some(&caller.identity.project_id))
    }
}

/// Puts a value under a key, and returns its version.
///
/// # Errors
/// `Busy` while a flow holds the key; those of the collection and of [`change`].
pub(crate) async fn put(
    app: &App,
    caller: &Caller,
    place: Place,
    value: Value,
    expect: Expect,
    reason: Option<String>,
) -> Result<u64, ApiError> {
    place.must(app, caller, CHANGE)?;
    let work = move |admin: &mut Admin<'_>| {
        admin.put_record(&place.collection, &place.key, &value, expect)
    };
    change(app, caller, reason, work).await
}

/// Removes the record of a key.
///
/// # Errors
/// `Busy` while a flow holds the key; those of the collection and of [`change`].
pub(crate) async fn remove(
    app: &App,
    caller: &Caller,
    place: Place,
    expect: Expect,
    reason: Option<String>,
) -> Result<(), ApiError> {
    place.must(app, caller, CHANGE)?;
    let work =
        move |admin: &mut Admin<'_>| admin.remove_record(&place.collection, &place.key, expect);
    change(app, caller, reason, work).await
}

/// Frees a key that is held by a flow that cannot continue.
///
/// # Errors
/// `NotHeld`, `FlowUnfinished`; those of [`change`].
pub(crate) async fn release(
    app: &App,
    caller: &Caller,
    place: Place,
    flow: FlowId,
    reason: String,
) -> Result<(), ApiError> {
    place.must(app, caller, CHANGE)?;
    need_reason(&reason)?;
    let work = move |admin: &mut Admin<'_>| {
        admin.release_record(&place.collection, &place.key, flow, &reason)
    };
    change(app, caller, None, work).await
}
