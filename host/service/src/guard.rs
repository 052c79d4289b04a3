//! Refuses requests that a foreign page makes a browser send, and secrets in clear text.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use cairn::config::{AuthConfig, Listen};

use crate::app::App;
use crate::auth::peer::Peer;
use crate::cors;
use crate::error::ApiError;

/// Checks a request before any handler sees it.
///
/// # Errors
/// 421 for a `Host` that is not this server; 403 for another site's request, for headers of a proxy that is not trusted, and for secrets
/// in clear text.
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    let connection = request
        .extensions()
        .get::<Peer>()
        .cloned()
        .unwrap_or_default();
    let peer = connection.behind(headers, &app.config.trusted_proxies);
    let mode = app.auth.mode();
    if *mode == AuthConfig::None
        && headers
            .keys()
            .any(|name| name.as_str().starts_with("x-forwarded-"))
    {
        return Err(ApiError::forbidden(
            "Forwarded",
            "the request came through a proxy, and this server does not ask callers who they are",
        )
        .help(
            "set auth in [serve] to \"tokens\" or \"basic\", and name the proxy in trusted_proxies",
        ));
    }
    if *mode != AuthConfig::None && !peer.is_private {
        return Err(ApiError::forbidden(
            "ClearText",
            "tokens and passwords are not taken in clear text",
        )
        .help("connect with TLS: set tls_cert and tls_key in [serve]"));
    }
    // A page of another site cannot send a token of its own accord, and would know it anyway.
    let has_token = *mode == AuthConfig::Tokens && headers.contains_key(AUTHORIZATION);
    if !has_token {
        check_host(headers, &app)?;
        if !cors::is_preflight(&app.config, &request) {
            check_site(headers)?;
        }
    }
    request.extensions_mut().insert(peer);
    Ok(next.run(request).await)
}

fn host_of(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?;
    Some(host.to_str().unwrap_or_default())
}

fn check_host(headers: &HeaderMap, app: &App) -> Result<(), ApiError> {
    let host = host_of(headers);
    // HTTP/1.1 demands it; over a Unix socket clients write what they like.
    if let Some(host) = host
        && !matches!(app.config.listen, Listen::Unix(_))
        && !is_own(host, app)
    {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "ForeignHost",
            format!(
                "this server is not called `{}`",
                cairn::printable::line(host)
            ),
        )
        .help("name it in `hosts` of [serve]"));
    }
    Ok(())
}

fn check_site(headers: &HeaderMap) -> Result<(), ApiError> {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_foreign = site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"));
    let origin = headers
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    let is_foreign = is_foreign || origin.is_some_and(|origin| !is_same(origin, host_of(headers)));
    match is_foreign {
        true => Err(ApiError::forbidden(
            "ForeignSite",
            "the request was made by a page of another site",
        )),
        false => Ok(()),
    }
}

/// Returns whether a `Host` names this server.
fn is_own(host: &str, app: &App) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        match port.bytes().all(|byte| byte.is_ascii_digit()) {
            true => name,
            false => host,
        }
    });
    let own = |known: &String| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host);
    if app.config.hosts.iter().any(own) {
        return true;
    }
    let Listen::Tcp(address) = &app.config.listen else {
        return false;
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(named) if address.ip().is_unspecified() => !named.is_unspecified(),
        Ok(named) => named == address.ip() || named.is_loopback() && address.ip().is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost") && address.ip().is_loopback(),
    }
}

/// Returns whether an origin is that of the requested host.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let (Some(host), Some((_, named))) = (host, origin.split_once("://")) else {
        return false;
    };
    named.eq_ignore_ascii_case(host)
}
