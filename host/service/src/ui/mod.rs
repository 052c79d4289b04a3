//! The dashboard: pages under `/ui`, made on the server, which work without a script.
//!
//! A page is a function of what was read. It consists of sections with ids; while it is open, a stream sends those that have changed, and the
//! script puts them in the place of the old ones.

mod actions;
mod assets;
mod audit;
mod counters;
mod database;
mod deployed;
mod externals;
mod find;
mod flow;
mod flows;
mod layout;
mod live;
mod login;
mod mask;
mod outbox;
mod overview;
mod plan;
mod quotas;
mod resources;
mod rows;
#[cfg(test)]
pub(crate) mod samples;
mod server;
mod slow;
mod system;
mod text;
mod visitor;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::app::App;
use crate::error::ApiError;

/// Returns the routes under `/ui`.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { visitor::see("/ui") }))
        .route("/ui", get(overview::page))
        .route("/ui/live", get(overview::live))
        .route("/ui/assets/{name}", get(asset))
        .route(
            "/ui/login",
            get(login::serve::page).post(login::serve::log_in),
        )
        .route("/ui/logout", post(login::serve::log_out))
        .route("/ui/flows", get(flows::serve::page))
        .route("/ui/flows/live", get(flows::serve::live))
        .route("/ui/flows/{id}", get(flow::serve::page))
        .route("/ui/flows/{id}/live", get(flow::serve::live))
        .route(
            "/ui/flows/{id}/{action}",
            get(flow::serve::asked).post(flow::serve::act),
        )
        .route("/ui/find", get(find::page))
        .route("/ui/deployed", get(deployed::list))
        .route("/ui/deployed/{name}/{version}", get(deployed::show))
        .route("/ui/volumes", get(resources::volumes))
        .route("/ui/snapshots", get(resources::snapshots))
        .route("/ui/types", get(resources::types))
        .route("/ui/records", get(resources::records))
        .route("/ui/externals", get(externals::page))
        .route(
            "/ui/externals/{action}",
            get(externals::asked).post(externals::act),
        )
        .route("/ui/quotas", get(quotas::page))
        .route("/ui/quotas/{action}", get(quotas::asked).post(quotas::act))
        .route("/ui/system", get(system::page))
        .route("/ui/outbox", get(outbox::page))
        .route(
            "/ui/outbox/{id}/{action}",
            get(outbox::asked).post(outbox::act),
        )
        .route("/ui/audit", get(audit::page))
        .route("/ui/{*rest}", get(nothing))
}

/// Answers for paths that are no page.
async fn nothing(visitor: visitor::Visitor) -> visitor::Failed {
    visitor.failed(ApiError::not_found("there is no such page"))
}

/// `GET /ui/assets/{name}`: needs no login, and holds nothing of anybody.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = assets::named(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| {
        let known = known.to_str().unwrap_or_default();
        known.split(',').any(|tag| tag.trim() == asset.etag)
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => asset.body.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media));
    // Its path changes with its content; without the version in it, the tag is compared.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(ETAG, etag);
    }
    response
}
