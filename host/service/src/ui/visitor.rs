//! Who looks at a page, and what a handler answers: HTML, also for errors.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::layout::{self, Page, Part, Shell};
use super::text::{self, Text};
use crate::api::body;
use crate::app::App;
use crate::auth::{Caller, Proof};
use crate::error::ApiError;

/// The longest form, in bytes.
const FORM: usize = 256 << 10;

/// The media type of forms.
const FORM_MEDIA: &str = "application/x-www-form-urlencoded";

/// A caller of the dashboard.
#[derive(Clone)]
pub(super) struct Visitor {
    pub caller: Caller,
    csrf: String,
    parts: Vec<Part>,
    has_session: bool,
    is_open: bool,
}

impl Visitor {
    /// Returns the frame of this visitor's pages.
    pub(super) fn shell(&self) -> Shell<'_> {
        Shell {
            user: &self.caller.identity.user_id,
            project: &self.caller.identity.project_id,
            is_admin: self.caller.identity.is_admin,
            parts: &self.parts,
            csrf: &self.csrf,
            has_session: self.has_session,
            is_open: self.is_open,
        }
    }

    /// Puts an error into the frame.
    pub(super) fn failed(&self, error: ApiError) -> Failed {
        Failed {
            error,
            visitor: Some(Box::new(self.clone())),
            back: None,
        }
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failed> {
        match Caller::from_request_parts(parts, app).await {
            Ok(caller) => Ok(Self {
                csrf: app.auth.form_token(&caller),
                parts: {
                    let own = Some(caller.identity.project_id.as_str());
                    let parts = Part::ALL.into_iter().map(|(part, ..)| part);
                    parts
                        .filter(|part| caller.may(&app.policy, part.rule(), own))
                        .collect()
                },
                has_session: matches!(caller.proof, Proof::Session(_)),
                is_open: !app.auth.asks_for_login() && !app.config.listen.is_local(),
                caller,
            }),
            Err(error) => {
                let is_page = parts.method == Method::GET;
                let asked = parts.extensions.get::<OriginalUri>();
                let asked = asked.map_or(&parts.uri, |OriginalUri(uri)| uri);
                let back = asked.path_and_query().map(ToString::to_string);
                Err(Failed {
                    error,
                    visitor: None,
                    back: back.filter(|_| is_page),
                })
            }
        }
    }
}

/// A form that a visitor sent, with the token of this visitor's forms.
pub(super) struct Form<T> {
    pub visitor: Visitor,
    pub fields: T,
}

#[derive(Deserialize)]
struct Token {
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Form<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failed> {
        let (mut parts, content) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let fields = fields(app, &parts, content, |token| {
            app.auth.check_form(&visitor.caller, token)
        });
        match fields.await {
            Ok(fields) => Ok(Self { visitor, fields }),
            Err(error) => Err(visitor.failed(error)),
        }
    }
}

/// Reads the fields of a form whose token is right.
///
/// # Errors
/// 415 for a body that is no form, 408 and 413 for one that is too slow or too long, 400 for one without a field; those of `check`.
pub(super) async fn fields<T: DeserializeOwned>(
    app: &App,
    parts: &Parts,
    content: Body,
    check: impl FnOnce(&str) -> Result<(), ApiError>,
) -> Result<T, ApiError> {
    let media = parts.headers.get(CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok()).unwrap_or("");
    if !media.starts_with(FORM_MEDIA) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "NotAForm",
            "the body must be a form",
        ));
    }
    let read = tokio::time::timeout(app.config.timeout, body::read(content, FORM));
    let bytes = read.await.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "TooSlow",
            "the form did not come in time",
        )
    })??;
    let token = form(&bytes).await;
    let Token { csrf } = token.map_err(|_| {
        ApiError::forbidden("FormToken", "the form lacks its token: load the page again")
    })?;
    check(&csrf)?;
    let fields = form(&bytes).await;
    fields.map_err(|error| ApiError::bad("InvalidInput", format!("the form: {error}")))
}

async fn form<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, String> {
    let request = Request::builder()
        .method(Method::POST)
        .header(CONTENT_TYPE, FORM_MEDIA)
        .body(Body::from(bytes.clone()))
        .map_err(|error| error.to_string())?;
    let form = axum::Form::<T>::from_request(request, &()).await;
    form.map(|form| form.0)
        .map_err(|rejection| rejection.body_text())
}

/// An error as a page.
pub(super) struct Failed {
    error: ApiError,
    visitor: Option<Box<Visitor>>,
    /// The page that was asked for, to be shown after a login.
    back: Option<String>,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self {
            error,
            visitor,
            back,
        } = self;
        if error.status == StatusCode::UNAUTHORIZED {
            let back = back.unwrap_or_else(|| "/ui".to_owned());
            return see(&format!("/ui/login?next={}", text::encoded(&back)));
        }
        let problem = &error.problem;
        let content = html! {
            h1 { (text::attribute(&problem.title)) }
            p.alarm role="alert" {
                strong.bad { span.sign aria-hidden="true" { "✗" } " " (Text(&problem.kind)) } ": " (Text(&problem.detail))
            }
            @if let Some(help) = &problem.help { p { (Text(help)) } }
            p { a href="/ui" { "Overview" } }
        };
        let page = match &visitor {
            Some(visitor) => visitor.shell().page(
                Page {
                    title: &problem.title,
                    part: Part::Overview,
                    live: None,
                    search: "",
                },
                content,
            ),
            None => layout::bare(&problem.title, content),
        };
        let status = error.status;
        // Keeps the headers of the problem, such as `Retry-After`.
        let mut response = error.into_response();
        let html = Html(page).into_response();
        *response.status_mut() = status;
        let media = html.headers().get(CONTENT_TYPE).cloned();
        if let Some(media) = media {
            response.headers_mut().insert(CONTENT_TYPE, media);
        }
        response.headers_mut().remove("content-length");
        *response.body_mut() = html.into_body();
        response
    }
}

/// A page.
pub(super) struct Html(pub Markup);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let mut response = self.0.into_string().into_response();
        let media = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, media);
        response
    }
}

/// Answers that another page is to be loaded, with `GET`.
pub(super) fn see(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // A path is ASCII: what came from a request is encoded.
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/ui"));
    response.headers_mut().insert(LOCATION, path);
    response
}
