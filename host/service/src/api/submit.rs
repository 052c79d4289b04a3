//! `POST /v1/flows`: begins a flow.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use cairn::event::FlowState;
use cairn::flow_request::{self, Entered};
use cairn::text::Text;
use cairn::{FlowId, HostError, Report, Submission, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::body::Json;
use super::wait;
use crate::app::App;
use crate::auth::Caller;
use crate::deployed::DeployedFlow;
use crate::error::{ApiError, Problem};
use crate::readers::blocking;

/// The longest that a request may ask to wait for the end of its flow.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A request for a flow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submit {
    /// The name of a deployed flow, `NAME` for its newest version, or `NAME@VERSION`.
    #[schema(example = "greet")]
    flow: String,
    /// The flow's request.
    #[serde(default = "empty")]
    #[schema(value_type = Object, example = json!({"name": "Ada"}))]
    request: Value,
}

fn empty() -> Value {
    Value::Object(Default::default())
}

/// A flow that was begun, or goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    /// The flow's id.
    #[schema(value_type = String)]
    pub(crate) id: FlowId,
    /// The state it is known to have reached.
    #[schema(value_type = String)]
    pub(crate) state: FlowState,
}

/// Begins a flow.
///
/// The answer is 202 once the flow is on disk; a flow of a project that another host owns, without an idempotency key, once it is in that
/// host's inbox. With `Idempotency-Key`, the same request under the same key and project begins one flow only: 202 with its id while it runs, 200
/// with its report afterwards, and 422 for another request. With `Prefer: wait=SECONDS` the end of the flow is waited for: 200 with its report, also of
/// a flow that failed and was rolled back, or 202 when it takes longer.
#[utoipa::path(
    post,
    path = "/v1/flows",
    tag = "flows",
    request_body = Submit,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A key that stands for this request, of 1 to 255 characters"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, at most 300"),
    ),
    responses(
        (status = 200, description = "The flow has ended: its report", body = Object),
        (status = 202, description = "The flow is on disk and goes on", body = Begun, headers(("Location" = String))),
        (status = 400, description = "The request is wrong; nothing was begun", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such flow is deployed", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The flow cannot be begun now", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key was used for another request", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Json(asked): Json<Submit>,
) -> Result<Response, ApiError> {
    let key = key(&headers)?;
    let wait = wait_of(&headers).map(|wait| Instant::now() + wait.min(LONGEST_WAIT));
    let flow = app
        .deployed
        .find(app.host()?, &app.readers, &asked.flow)
        .await?;
    authorize(&flow, &caller).await?;
    let entered = enter(&app, &flow, &caller, asked.request, key).await?;
    let submission = Submission {
        plan: Arc::clone(&flow.plan),
        requester: caller.identity.clone(),
        request: entered.request,
        key: entered.key,
    };
    let (id, begun, ended) = push(&app, submission).await?;
    follow(&app, id, begun, ended, wait).await
}

/// Checks that the caller may begin the flow.
async fn authorize(flow: &DeployedFlow, caller: &Caller) -> Result<(), ApiError> {
    if !flow.plan.asks_plugins() {
        return Ok(flow.plan.authorize(&caller.identity)?);
    }
    let (plan, identity) = (Arc::clone(&flow.plan), caller.identity.clone());
    blocking(move || Ok(plan.authorize(&identity)?)).await
}

/// Checks the request, and resolves it where the action's domain does so.
async fn enter(
    app: &App,
    flow: &DeployedFlow,
    caller: &Caller,
    request: Value,
    key: Option<String>,
) -> Result<Entered, ApiError> {
    let (name, action) = (flow.plan.name(), flow.plan.action());
    let domains = app.host()?.store().domains();
    if let Some(entered) =
        flow_request::enter_alone(name, action, &request, key.as_deref(), domains)?
    {
        return Ok(entered);
    }
    let plan = Arc::clone(&flow.plan);
    let read = app.readers.read(caller.identity.clone(), move |view| {
        let (name, action) = (plan.name(), plan.action());
        let key = key.as_deref();
        Ok(flow_request::enter(
            name, action, &request, key, None, view,
        )?)
    });
    read.await
}

type Began = oneshot::Receiver<FlowId>;
type Ended = oneshot::Receiver<Result<Report, HostError>>;

/// Submits a flow. While the queue is full it waits for room, but not for longer than a request may take.
async fn push(app: &Arc<App>, submission: Submission) -> Result<(FlowId, Began, Ended), ApiError> {
    let (tell_begun, begun) = oneshot::channel();
    let (tell_end, ended) = oneshot::channel();
    let host = Arc::clone(app.host()?);
    let has_room = host.has_room();
    let submit = move || {
        // Whoever waited may be gone.
        let noted = move |id| {
            let _ = tell_begun.send(id);
        };
        let then = move |report| drop(tell_end.send(report));
        Ok(host.submit_noted(submission, noted, then)?)
    };
    let id = match has_room {
        true => submit()?,
        false => {
            let permit = Arc::clone(&app.waiting).acquire_owned();
            let permit = match tokio::time::timeout(app.config.timeout, permit).await {
                Ok(permit) => permit.map_err(|_| ApiError::stopping())?,
                Err(_) => return Err(ApiError::busy("too many flows wait for their turn")),
            };
            blocking(move || {
                let _permit = permit;
                submit()
            })
            .await?
        }
    };
    Ok((id, begun, ended))
}

/// Waits until the flow is on disk, or has ended.
async fn follow(
    app: &Arc<App>,
    id: FlowId,
    begun: Began,
    mut ended: Ended,
    wait: Option<Instant>,
) -> Result<Response, ApiError> {
    let begun = tokio::select! {
        biased;
        report = &mut ended => return over(app, id, report, wait).await,
        begun = begun => begun,
    };
    let Ok(begun) = begun else {
        // The flow ended first.
        return over(app, id, ended.await, wait).await;
    };
    match wait {
        Some(until) => match tokio::time::timeout_at(until, ended).await {
            Ok(report) => over(app, begun, report, wait).await,
            Err(_) => Ok(accepted(begun, FlowState::Running)),
        },
        None => Ok(accepted(begun, FlowState::Started)),
    }
}

/// Answers for a flow that has ended, or rests.
async fn over(
    app: &Arc<App>,
    id: FlowId,
    report: Result<Result<Report, HostError>, oneshot::error::RecvError>,
    wait: Option<Instant>,
) -> Result<Response, ApiError> {
    let report = report.unwrap_or(Err(HostError::NotStarted))?;
    let is_repeat = report.flow.id != id;
    match (wait, report.flow.sleep.is_some()) {
        // It may end in time.
        (Some(until), true) => match wait::for_end(app, report.flow.id, until).await? {
            Some(report) => Ok(Answer(report).into_response()),
            None => Ok(accepted(report.flow.id, report.flow.state)),
        },
        (None, true) => Ok(accepted(report.flow.id, report.flow.state)),
        (Some(_), false) => Ok(Answer(report).into_response()),
        (None, false) if is_repeat => Ok(Answer(report).into_response()),
        (None, false) => Ok(accepted(id, report.flow.state)),
    }
}

fn accepted(id: FlowId, state: FlowState) -> Response {
    let location = [(LOCATION, format!("/v1/flows/{id}"))];
    (StatusCode::ACCEPTED, location, Answer(Begun { id, state })).into_response()
}

/// Reads the header `Idempotency-Key`, as it is or as a quoted string.
fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::bad("InvalidInput", "the idempotency key is not UTF-8"))?;
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    match Text::Word.check(text) {
        Ok(()) => Ok(Some(text.to_owned())),
        Err(unfit) => Err(ApiError::bad(
            "InvalidInput",
            format!("the idempotency key {unfit}"),
        )),
    }
}

/// Reads `wait=SECONDS` of the header `Prefer` (RFC 7240). A preference that is not understood is ignored.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get_all("prefer").iter();
    let prefer = prefer.filter_map(|prefer| prefer.to_str().ok());
    let mut preferences = prefer.flat_map(|prefer| prefer.split([',', ';']));
    preferences.find_map(|preference| {
        let (name, value) = preference.trim().split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| Duration::from_secs(seconds))
    })
}
