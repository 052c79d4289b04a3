//! Handles messages to other services.

use cairn::store::admin::Handling;

use super::change;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// The rule that lets a caller handle messages.
pub(crate) const RULE: &str = "api:outbox:change";

/// Retries, discards or acknowledges a message.
///
/// # Errors
/// `NotFound` when none is in a state that allows it, `NoTransport`, `Elsewhere`; those of [`change`].
pub(crate) async fn handle(
    app: &App,
    caller: &Caller,
    id: String,
    handling: Handling,
    reason: Option<String>,
) -> Result<(), ApiError> {
    caller.must(&app.policy, RULE, None)?;
    let work = move |admin: &mut cairn::store::admin::Admin<'_>| admin.handle_cast(&id, handling);
    change(app, caller, reason, work).await
}
