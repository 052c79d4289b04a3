//! `/healthz`: the process answers. `/readyz`: flows can be submitted.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cairn::{Identity, printable};
use serde::Deserialize;

use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// How much to say.
#[derive(Deserialize)]
struct Wanted {
    /// Whether to say what needs a person.
    verbose: Option<String>,
}

/// Answers whether flows can be submitted; with `verbose` also what needs a person. That names flows and projects, so it is said to those
/// alone who may read the status.
async fn ready(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
    caller: Result<Caller, ApiError>,
) -> Response {
    let (status, mut text) = match check(&app).await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(error) => {
            let Problem { kind, detail, .. } = &*error.problem;
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{kind}: {detail}\n"),
            )
        }
    };
    if wanted.verbose.is_some() {
        let asked = match caller {
            Ok(caller) => caller.must(&app.policy, "api:status:read", None),
            Err(error) => Err(error),
        };
        match asked {
            Ok(()) => text += &findings(&app).await,
            Err(error) => return error.into_response(),
        }
    }
    (status, text).into_response()
}

async fn findings(app: &App) -> String {
    match app.oversight.status().await {
        Ok(status) if status.findings.is_empty() => "nothing needs you\n".to_owned(),
        Ok(status) => (status.findings.iter())
            .map(|finding| format!("{}\n", printable::line(&finding.sentence)))
            .collect(),
        Err(error) => format!("the status is not known: {}\n", error.problem.detail),
    }
}

/// Checks that flows can be submitted: the server does not stop, and the database can be read and written and is not held.
pub(crate) async fn check(app: &App) -> Result<(), ApiError> {
    if *app.stop.borrow() {
        return Err(ApiError::stopping());
    }
    let read = app
        .readers
        .read(Identity::default(), |view| Ok(view.held()?));
    match read.await? {
        None => app.writes.check(app.host()?).await,
        Some(since) => Err(ApiError::from(cairn::StoreError::Held { since })),
    }
}
