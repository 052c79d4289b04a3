//! What operators change, for the interface and for the dashboard: asks the rule, checks the texts, and makes the change as the command line
//! does.

pub(crate) mod externals;
pub(crate) mod messages;
pub(crate) mod quotas;
pub(crate) mod records;

use std::sync::Arc;

use cairn::StoreError;
use cairn::store::HostStore;
use cairn::store::admin::Admin;
use cairn::store::projects::Left;
use cairn::text::Text;

use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::readers::blocking;

/// How many projects were left as they are, and why the first of them was.
#[derive(Debug, Default)]
pub(crate) struct LeftProjects {
    pub(crate) projects: usize,
    pub(crate) why: Option<String>,
}

impl From<Left> for LeftProjects {
    fn from(left: Left) -> Self {
        Self {
            projects: left.projects,
            why: left.why.map(|why| why.to_string()),
        }
    }
}

/// Checks a text that a request gives; `what` names it.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn fit(kind: Text, what: &str, text: &str) -> Result<(), ApiError> {
    kind.check(text)
        .map_err(|unfit| ApiError::bad("InvalidInput", format!("{what} {unfit}")))
}

/// Returns the reason of a change, which the audit records; an empty field of a form is none.
///
/// # Errors
/// `InvalidInput` when it is too long.
fn given(reason: Option<String>) -> Result<Option<String>, ApiError> {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if let Some(reason) = &reason {
        fit(Text::Words, "the reason", reason)?;
    }
    Ok(reason)
}

/// Checks the reason of a change that needs one.
///
/// # Errors
/// `InvalidInput` when it is empty or too long.
fn need_reason(reason: &str) -> Result<(), ApiError> {
    fit(Text::Word, "the reason", reason).map_err(|error| error.help("say why"))
}

/// Runs a change of the database on a thread that may block.
///
/// # Errors
/// Those of `work`; 503 while the database is held.
async fn with_store<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&dyn HostStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let host = Arc::clone(app.host()?);
    blocking(move || Ok(work(&**host.store())?)).await
}

/// Makes a change as the caller, in one transaction with its row of the audit.
///
/// # Errors
/// Those of `work`; `InvalidInput` for a reason that is too long; 503 while the database is held.
async fn change<T: Send + 'static>(
    app: &App,
    caller: &Caller,
    reason: Option<String>,
    work: impl FnOnce(&mut Admin<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let reason = given(reason)?;
    let by = caller.identity.clone();
    with_store(app, move |store| {
        store.admin(&by, |admin| {
            admin.because(reason.as_deref());
            work(admin)
        })
    })
    .await
}
