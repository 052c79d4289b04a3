//! `/healthz`: the process answers. `/readyz`: flows can be submitted.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cairn::Identity;

use crate::app::App;
use crate::error::ApiError;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// Answers whether flows can be submitted.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match check(&app).await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}: {}\n", error.problem.kind, error.problem.detail),
        )
            .into_response(),
    }
}

/// Checks that flows can be submitted: the server does not stop, and the database can be read and is not held.
pub(crate) async fn check(app: &App) -> Result<(), ApiError> {
    if *app.stop.borrow() {
        return Err(ApiError::stopping());
    }
    let read = app
        .readers
        .read(Identity::default(), |view| Ok(view.held()?));
    match read.await? {
        None => app.host().map(drop),
        Some(since) => Err(ApiError::from(cairn::StoreError::Held { since })),
    }
}
