//! Bodies and parameters of requests, read within limits.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use cairn::{Value, value};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::ApiError;

/// A body that is JSON, of `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(is_json);
        if !is_json {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "NotJson",
                "the body must be JSON, with the header `Content-Type: application/json`",
            ));
        }
        let most = usize::try_from(app.config.body).unwrap_or(usize::MAX);
        let body = read(request.into_body(), most);
        let bytes = match tokio::time::timeout(app.config.timeout, body).await {
            Ok(bytes) => bytes?,
            Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "TooSlow",
                    "the body did not come in time",
                ));
            }
        };
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| ApiError::bad("InvalidJson", "the body is not UTF-8"))?;
        let document = value::parse(text)
            .map_err(|error| ApiError::bad("InvalidJson", value::refused("the body", &error)))?;
        from_value(document).map(Self)
    }
}

/// Returns whether a content type is JSON.
fn is_json(value: &axum::http::HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = media.split_once('/') else {
        return false;
    };
    let is_json = |subtype: &str| {
        subtype.eq_ignore_ascii_case("json") || subtype.to_ascii_lowercase().ends_with("+json")
    };
    kind.eq_ignore_ascii_case("application") && is_json(subtype)
}

/// Reads a body of at most so many bytes.
///
/// # Errors
/// 413 when it is longer, 400 when it ends early.
pub(crate) async fn read(body: Body, most: usize) -> Result<axum::body::Bytes, ApiError> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            format!("the body has more than {most} bytes"),
        )),
        Err(error) => Err(ApiError::bad(
            "BrokenBody",
            format!("the body ended early: {error}"),
        )),
    }
}

fn from_value<T: DeserializeOwned>(document: Value) -> Result<T, ApiError> {
    serde_json::from_value(document)
        .map_err(|error| ApiError::bad("InvalidInput", format!("the body: {error}")))
}

/// The parameters after the `?`, of `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::bad("InvalidInput", rejection.body_text())),
        }
    }
}
