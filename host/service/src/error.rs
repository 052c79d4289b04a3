//! Errors as clients get them: problem details (RFC 9457), and the status that fits.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cairn::error::Origin;
use cairn::flow_request::RequestError;
use cairn::host::Hindrance;
use cairn::{Diagnostic, FlowError, HostError, StoreError, TaskError, Value};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was refused, or failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// Boxed, because results are returned everywhere.
    pub(crate) problem: Box<Problem>,
    /// After how many seconds to try again.
    retry_after: Option<u64>,
    /// How to show who one is.
    challenge: Option<&'static str>,
    /// Whether the connection to the database may be broken.
    is_of_database: bool,
}

/// The body of an error, with the media type `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status code of the answer.
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) title: String,
    /// One word that programs can compare.
    pub(crate) kind: String,
    /// What is wrong, in one sentence.
    pub(crate) detail: String,
    /// What helps, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// The values in the message.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub(crate) details: Value,
}

/// The media type of problem details.
pub(crate) const PROBLEM: &str = "application/problem+json";

impl ApiError {
    pub(crate) fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self {
            status,
            problem: Box::new(Problem {
                status: status.as_u16(),
                title: title.to_owned(),
                kind: kind.to_owned(),
                detail: detail.into(),
                help: None,
                details: Value::Null,
            }),
            retry_after: None,
            challenge: None,
            is_of_database: false,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }

    /// Says after how many seconds to try again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn bad(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", detail)
    }

    pub(crate) fn forbidden(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, detail)
    }

    /// The caller did not show who it is.
    pub(crate) fn unauthorized(challenge: &'static str, detail: impl Into<String>) -> Self {
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail)
        }
    }

    /// The server takes no more requests.
    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Stopping",
            "the server stops and takes no more requests",
        )
        .retry_after(5)
    }

    /// The server has too much to do.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail).retry_after(1)
    }

    /// Returns whether the connection to the database may be broken.
    pub(crate) fn is_of_database(&self) -> bool {
        self.is_of_database
    }

    fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", detail)
    }

    pub(crate) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Refused(error) => Self::of_refusal(error),
            StoreError::UnknownFlow(flow) => Self::not_found(format!("there is no flow {flow}")),
            StoreError::Held { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "held", error.to_string())
                    .help("an operator releases it with `cairn db release`")
            }
            StoreError::Elsewhere { .. } => {
                Self::new(StatusCode::CONFLICT, "Elsewhere", error.to_string())
                    .help("try again: a project is handed over once no task of its flows runs")
            }
            StoreError::Lost(_) | StoreError::Database(_) | StoreError::Gone(_) => {
                tracing::warn!(%error, "the database failed");
                Self {
                    is_of_database: true,
                    ..Self::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "Database",
                        "the database cannot be used at the moment; the server's log says why",
                    )
                    .retry_after(5)
                }
            }
            StoreError::Damaged { flow, .. } => {
                tracing::error!(%error, "a flow is damaged");
                Self::internal(format!("the journal of flow {flow} is damaged"))
            }
            error => {
                tracing::error!(%error, "the store refused");
                Self::internal("the server failed; its log says why")
            }
        }
    }

    /// The refusal of a rule.
    fn of_refusal(error: &TaskError) -> Self {
        let status = match error.kind.as_str() {
            _ if error.origin == Origin::Host => StatusCode::INTERNAL_SERVER_ERROR,
            "AdminRequired" | "NotAuthorized" | "PolicyNotAuthorized" => StatusCode::FORBIDDEN,
            "OverQuota" => StatusCode::FORBIDDEN,
            "Backlog" | "InboxFull" => StatusCode::SERVICE_UNAVAILABLE,
            "NotUnique" | "InvalidInput" | "InvalidValue" | "QuotaResourceUnknown" => {
                StatusCode::BAD_REQUEST
            }
            kind if kind.ends_with("NotFound") => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        let mut refused = Self::new(status, &error.kind, &error.message);
        refused.problem.details = error.details.clone();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => refused.retry_after(5),
            _ => refused,
        }
    }

    pub(crate) fn of_host(error: &HostError) -> Self {
        match error {
            HostError::Invalid(diagnostic) => Self::of_diagnostic(diagnostic),
            HostError::Store(error) => Self::of_store(error),
            HostError::KeyReused { flow, .. } => {
                let mut reused = Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "KeyReused",
                    error.to_string(),
                );
                reused.problem.details = serde_json::json!({ "flow": flow });
                reused
            }
            HostError::NotStarted | HostError::GoesOn(_) => Self::stopping(),
            HostError::InHand(_) => {
                Self::new(StatusCode::CONFLICT, "InHand", error.to_string()).retry_after(1)
            }
            HostError::Flow(inner) => {
                let refused = Self::new(StatusCode::CONFLICT, "InvalidState", error.to_string());
                match inner {
                    FlowError::PastPivot => {
                        Self::new(StatusCode::CONFLICT, "PastPivot", error.to_string())
                    }
                    _ if error.hindrance() == Hindrance::Input => {
                        Self::bad("InvalidInput", error.to_string())
                    }
                    _ => refused,
                }
            }
            HostError::CannotTakeUp { .. } => {
                Self::new(StatusCode::CONFLICT, "Stuck", error.to_string())
            }
            HostError::Elsewhere { why, .. } => {
                let status = match why {
                    Hindrance::Input => StatusCode::BAD_REQUEST,
                    Hindrance::Host => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::CONFLICT,
                };
                Self::new(status, "Elsewhere", error.to_string())
            }
            error => {
                tracing::error!(%error, "the host failed");
                Self::internal("the server failed; its log says why")
            }
        }
    }

    pub(crate) fn of_diagnostic(diagnostic: &Diagnostic) -> Self {
        let bad = Self::bad("InvalidInput", diagnostic.message.clone());
        match &diagnostic.help {
            Some(help) => bad.help(help.clone()),
            None => bad,
        }
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> Self {
        Self::of_host(&error)
    }
}

impl From<Diagnostic> for ApiError {
    fn from(error: Diagnostic) -> Self {
        Self::of_diagnostic(&error)
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        Self::of_refusal(&error)
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        HostError::from(error).into()
    }
}

/// A thread that ran for a request panicked, or the runtime stops.
impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_cancelled() {
            return Self::stopping();
        }
        tracing::error!(%error, "a request failed");
        Self::internal("the server failed; its log says why")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
