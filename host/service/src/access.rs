//! The access log, and the headers that every answer has.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use cairn::trace::TraceContext;

use crate::app::App;
use crate::auth::peer::Peer;
use crate::request_id::RequestId;

/// What a browser may do with an answer of this server: load its own scripts, styles and images, connect to it, and nothing else.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                       base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Logs a request once its answer begins, and adds the headers.
pub(crate) async fn log(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let extensions = request.extensions();
    let id = extensions.get::<RequestId>().cloned();
    let trace = extensions.get::<TraceContext>().copied();
    let peer = extensions.get::<Peer>().cloned().unwrap_or_default();
    // Not the path itself: it may hold what a client should not have written there.
    let route = extensions.get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    let is_asset = method == Method::GET && response.headers().contains_key(CACHE_CONTROL);
    let headers = response.headers_mut();
    if !is_asset {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CONTENT),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let took = begun.elapsed();
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let status = response.status().as_u16();
    app.metrics.request(route, known(&method), status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        target: "cairn::access",
        %method,
        route,
        status,
        micros,
        peer = %peer.source(),
        request_id = id.map(tracing::field::display),
        trace_id = trace.map(|trace| tracing::field::display(trace.trace_id)),
        "request"
    );
    response
}

/// Returns the name of a method; a client may invent others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}
