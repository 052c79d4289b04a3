//! Lets pages of configured origins use the interface (CORS), with tokens alone: cookies are never taken from them.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, LOCATION, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Method};
use cairn::config::ServeConfig;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::request_id;

/// How long a browser remembers what a page may do.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Returns what answers preflights and adds the headers, for the routes under `/v1`; `None` if no origin is configured.
pub(crate) fn layer(config: &ServeConfig) -> Option<CorsLayer> {
    if config.cors.is_empty() {
        return None;
    }
    // An origin has no characters that a header may not have.
    let origins = config.cors.iter();
    let origins = origins.filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    let name = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            name("cairn-project"),
            name("idempotency-key"),
            name("last-event-id"),
            name("prefer"),
            name("traceparent"),
            request_id::HEADER,
        ])
        .expose_headers([LOCATION, RETRY_AFTER, WWW_AUTHENTICATE, request_id::HEADER])
        .max_age(MAX_AGE);
    Some(layer)
}

/// Returns whether a browser asks whether a page of a configured origin may use the interface. Such a request carries no token.
pub(crate) fn is_preflight(config: &ServeConfig, request: &Request) -> bool {
    let headers = request.headers();
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    let is_configured = |origin: &[u8]| {
        let mut known = config.cors.iter();
        known.any(|known| known.as_str().as_bytes() == origin)
    };
    request.method() == Method::OPTIONS
        && request.uri().path().starts_with("/v1/")
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some_and(is_configured)
}
