//! Looks at objects outside the database, compares them with their rows, adopts and removes them.

use std::sync::Arc;

use axum::http::StatusCode;
use cairn::external::{ExternalKey, Presence, is_name};
use cairn::externals::{self, Bounds, Compared, HandleError, ScanError};
use cairn::flow::Provider;
use cairn::store::view::View;
use cairn::text::Text;
use cairn::{Host, HostError, Object};

use super::{fit, given, need_reason};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::readers::blocking;

/// The rules that let a caller list rows, ask providers, and adopt and remove objects.
pub(crate) const READ: &str = "api:external:read";
pub(crate) const LOOK: &str = "api:external:look";
pub(crate) const ADOPT: &str = "api:external:adopt";
pub(crate) const REMOVE: &str = "api:external:remove";

/// Bounds of a scan: a request waits for it.
const BOUNDS: Bounds = Bounds {
    ids: 100_000,
    pages: 200,
    looks: 1_000,
    differences: 500,
};

/// What there is of an object.
pub(crate) struct Looked {
    pub(crate) found: Presence,
    /// Its row, if it has one.
    pub(crate) row: Option<Object>,
}

/// Reads the name of an object.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn key(provider: &str, kind: &str, id: &str) -> Result<ExternalKey, ApiError> {
    place(provider, kind)?;
    match is_name(id) {
        true => Ok(ExternalKey::new(provider, kind, id)),
        false => Err(ApiError::bad(
            "InvalidInput",
            "the name of an object is a UUID in lower case",
        )),
    }
}

fn place(provider: &str, kind: &str) -> Result<(), ApiError> {
    fit(Text::Name, "the provider", provider)?;
    fit(Text::Name, "the kind", kind)
}

/// Asks a provider what there is of an object.
///
/// # Errors
/// 502 when that is not known; those of [`asking`].
pub(crate) async fn look(app: &App, caller: &Caller, key: ExternalKey) -> Result<Looked, ApiError> {
    let project = caller.identity.project_id.clone();
    caller.must(&app.policy, LOOK, Some(&project))?;
    asking(app, caller, move |asked| {
        let (row, provider) = asked.read(|view| {
            let row = externals::row_of(view, &key)?;
            Ok((row, asked.provider_of(view, &key)?))
        })?;
        let found = externals::look(&provider, &key)?;
        Ok(Looked { found, row })
    })
    .await
}

/// Compares the objects of a kind that a provider lists with their rows.
///
/// # Errors
/// 502 when the provider does not know them; those of [`asking`].
pub(crate) async fn scan(
    app: &App,
    caller: &Caller,
    provider: String,
    kind: String,
) -> Result<Compared, ApiError> {
    caller.must(&app.policy, LOOK, None)?;
    place(&provider, &kind)?;
    asking(app, caller, move |asked| {
        asked.read(|view| {
            view.require_admin("objects of all projects are compared for admins only")?;
            let asked_one = asked.provider(view, &provider, None)?;
            externals::scan(view, &asked_one, (&provider, &kind), BOUNDS).map_err(ApiError::from)
        })
    })
    .await
}

/// Makes a row in the caller's project for an object that has none; returns what there is of it.
///
/// # Errors
/// 404 when there is nothing, 502 when that is not known, `ExternalExists`; those of [`asking`].
pub(crate) async fn adopt(
    app: &App,
    caller: &Caller,
    key: ExternalKey,
    reason: String,
) -> Result<Presence, ApiError> {
    caller.must(&app.policy, ADOPT, Some(&caller.identity.project_id))?;
    need_reason(&reason)?;
    asking(app, caller, move |asked| {
        let provider = asked.read(|view| asked.provider_of(view, &key))?;
        let store = asked.host.store();
        let by = &asked.caller.identity;
        Ok(externals::adopt(&**store, by, &provider, &key, &reason)?)
    })
    .await
}

/// Removes an object whose flow is over, and its row. May be repeated.
///
/// # Errors
/// 409 when it is refused, 502 when it is not known what there is; `FlowUnfinished`; those of [`asking`].
pub(crate) async fn remove(
    app: &App,
    caller: &Caller,
    key: ExternalKey,
    reason: Option<String>,
) -> Result<(), ApiError> {
    caller.must(&app.policy, REMOVE, None)?;
    let reason = given(reason)?;
    asking(app, caller, move |asked| {
        let provider = asked.read(|view| asked.provider_of(view, &key))?;
        let (store, by) = (asked.host.store(), &asked.caller.identity);
        Ok(externals::remove(
            &**store,
            by,
            &provider,
            &key,
            reason.as_deref(),
        )?)
    })
    .await
}

/// A request that asks a provider.
struct Asked {
    host: Arc<Host>,
    database: Arc<dyn crate::database::Database>,
    caller: Caller,
}

impl Asked {
    /// Reads through a connection of its own: a provider may take its time, and the pool serves everybody else.
    fn read<T>(&self, read: impl FnOnce(&View<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        read(&self.database.reader()?.view(&self.caller.identity))
    }

    /// Prepares the provider of an object.
    fn provider_of(&self, view: &View<'_>, key: &ExternalKey) -> Result<Provider, ApiError> {
        let row = view.standing_external(key)?;
        self.provider(view, &key.provider, row.as_ref())
    }

    /// Prepares the provider of this name that stored plans have.
    fn provider(
        &self,
        view: &View<'_>,
        name: &str,
        row: Option<&cairn::store::view::StandingExternal>,
    ) -> Result<Provider, ApiError> {
        let found = self.host.stored_provider(view, name, row);
        found.map_err(|error| match error {
            HostError::Invalid(diagnostic) => {
                ApiError::new(StatusCode::CONFLICT, "NoProvider", diagnostic.message)
                    .help("`cairn external … --manifest FLOW` asks the provider of a manifest")
            }
            other => other.into(),
        })
    }
}

/// Runs what asks a provider, on a thread that may block.
///
/// # Errors
/// Those of `run`; 503 when too many requests ask providers, or while the database is held; 409 `NoProvider` when stored plans have none of
/// this name, or several.
async fn asking<T: Send + 'static>(
    app: &App,
    caller: &Caller,
    run: impl FnOnce(&Asked) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let asked = Asked {
        host: Arc::clone(app.host()?),
        database: Arc::clone(&app.database),
        caller: caller.clone(),
    };
    let permit = Arc::clone(&app.asking).try_acquire_owned();
    let permit = permit.map_err(|_| {
        ApiError::busy("as many requests as may ask providers at once wait for them")
    })?;
    blocking(move || {
        let _permit = permit;
        run(&asked)
    })
    .await
}

impl From<HandleError> for ApiError {
    fn from(error: HandleError) -> Self {
        let (status, kind) = match &error {
            HandleError::Store(error) => return Self::of_store(error),
            HandleError::Absent(_) => (StatusCode::NOT_FOUND, "NotFound"),
            HandleError::Unknown { .. } => (StatusCode::BAD_GATEWAY, "ExternalUnknown"),
            HandleError::Refused { .. } => (StatusCode::CONFLICT, "RemovalRefused"),
            HandleError::HostMayAct(_) => (StatusCode::CONFLICT, "HostMayAct"),
            HandleError::StillThere(_) => (StatusCode::CONFLICT, "StillThere"),
            _ => (StatusCode::CONFLICT, "Refused"),
        };
        let problem = Self::new(status, kind, error.to_string());
        match error.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

impl From<ScanError> for ApiError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Store(error) => error.into(),
            other => Self::new(
                StatusCode::BAD_GATEWAY,
                "ExternalUnknown",
                other.to_string(),
            )
            .help("nothing can be said about the objects of this provider"),
        }
    }
}
