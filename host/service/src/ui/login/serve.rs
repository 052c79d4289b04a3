//! Serves logins.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cairn::Identity;
use cairn::config::AuthConfig;
use serde::Deserialize;

use super::{Asks, page as form, target};
use crate::api::body::Query;
use crate::app::App;
use crate::auth::peer::Peer;
use crate::auth::session::{Login, no_cookie};
use crate::auth::{Caller, Proof};
use crate::error::ApiError;
use crate::ui::visitor::{Failed, Form, Html, fields, see};

/// What the login is asked with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    next: String,
}

/// What the login form holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    next: String,
    token: String,
    user: String,
    password: String,
    project: String,
}

/// A form without fields besides its token.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

fn asks(app: &App) -> Asks {
    match app.auth.mode() {
        AuthConfig::Basic(_) => Asks::Password,
        AuthConfig::None | AuthConfig::Tokens => Asks::Token,
    }
}

/// Returns somebody who has not said who it is.
fn stranger() -> Caller {
    Caller {
        identity: Identity::default(),
        proof: Proof::None,
    }
}

/// `GET /ui/login`
pub(crate) async fn page(State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    if !app.auth.asks_for_login() {
        return see(target(&asked.next));
    }
    let csrf = app.auth.form_token(&stranger());
    Html(form(asks(&app), &csrf, &asked.next, None)).into_response()
}

/// `POST /ui/login`
pub(crate) async fn log_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, content) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
    let check = |token: &str| app.auth.check_form(&stranger(), token);
    let given = match fields::<Fields>(&app, &parts, content, check).await {
        Ok(given) => given,
        Err(error) => return refused(&app, "", &error),
    };
    let login = match asks(&app) {
        Asks::Token => Login::Token(given.token),
        Asks::Password => Login::Password(given.user, given.password),
    };
    let project = Some(given.project.trim().to_owned()).filter(|project| !project.is_empty());
    match app.auth.log_in(login, project, &peer).await {
        Ok(cookie) => with_cookie(see(target(&given.next)), &cookie.to_string()),
        Err(error) => refused(&app, &given.next, &error),
    }
}

/// Shows the form again, with what was wrong.
fn refused(app: &App, next: &str, error: &ApiError) -> Response {
    let problem = &error.problem;
    let detail = match &problem.help {
        Some(_) if problem.kind == "ProjectNotNamed" => {
            format!("{}: name one below", problem.detail)
        }
        Some(help) => format!("{}: {help}", problem.detail),
        None => problem.detail.clone(),
    };
    let csrf = app.auth.form_token(&stranger());
    let page = Html(form(asks(app), &csrf, next, Some(&detail)));
    // A browser that is told 401 asks for a password itself.
    let status = match error.status {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    };
    (status, page).into_response()
}

/// `POST /ui/logout`
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    peer: Option<axum::Extension<Peer>>,
    Form {
        visitor,
        fields: Nothing {},
    }: Form<Nothing>,
) -> Result<Response, Failed> {
    let peer = peer.map(|axum::Extension(peer)| peer).unwrap_or_default();
    let done = app.auth.log_out(&visitor.caller).await;
    done.map_err(|error| visitor.failed(error))?;
    Ok(with_cookie(see("/ui/login"), &no_cookie(&peer).to_string()))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
