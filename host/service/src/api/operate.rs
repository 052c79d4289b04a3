//! `POST /v1/flows/{id}/…`: operations on flows.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use cairn::audit::Asker;
use cairn::host::Dispatched;
use cairn::store::operation::Operation;
use cairn::text::Text;
use cairn::{FlowId, Report, Value};
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::Json;
use super::flows::{flow_id, visible};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::readers::blocking;

/// An operation that needs no words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plain {}

/// An operation with its reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reasoned {
    /// Why, for the report and the audit.
    reason: String,
}

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signal {
    /// The signal's name.
    name: String,
    /// Its payload, an object: the result of the wait.
    #[serde(default = "empty")]
    #[schema(value_type = Object)]
    payload: Value,
}

fn empty() -> Value {
    Value::Object(Default::default())
}

/// Runs an operation on a flow, wherever its owner is, and returns the report.
pub(crate) async fn operate(
    app: &Arc<App>,
    caller: &Caller,
    id: FlowId,
    operation: Operation,
) -> Result<Report, ApiError> {
    let flow = visible(app, caller, id).await?;
    let rule = format!("api:flow:{}", operation.name());
    caller.must(&app.policy, &rule, Some(&flow.project_id))?;
    let host = Arc::clone(app.host()?);
    let by = Asker::from(&caller.identity);
    blocking(move || {
        Ok(match host.operate(id, &operation, &by)? {
            Dispatched::Here(report) => *report,
            Dispatched::Asked { pid, request } => host.answer(id, pid, request, &operation, &by)?,
        })
    })
    .await
}

fn reason(reason: &str) -> Result<(), ApiError> {
    match reason.trim().is_empty() {
        true => Err(ApiError::bad("InvalidInput", "`reason` is empty").help("say why")),
        false => Ok(()),
    }
}

macro_rules! operation {
    ($(#[$about:meta])* $name:ident, $path:literal, $body:ident, |$caller:ident, $asked:ident| $operation:expr) => {
        $(#[$about])*
        #[utoipa::path(
            post, path = $path, tag = "flows", request_body = $body,
            params(("id" = String, Path, description = "The flow's id")),
            responses(
                (status = 200, description = "It is done: the flow's report", body = Object),
                (status = 400, description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
                (status = 404, description = "There is no such flow in the caller's projects", body = Problem, content_type = "application/problem+json"),
                (status = 409, description = "The flow's state does not allow it", body = Problem, content_type = "application/problem+json"),
            ),
        )]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            $caller: Caller,
            Path(id): Path<String>,
            Json($asked): Json<$body>,
        ) -> Result<Answer<Report>, ApiError> {
            let id = flow_id(&id)?;
            let operation = $operation;
            operate(&app, &$caller, id, operation).await.map(Answer)
        }
    };
}

operation! {
    /// Interrupts a flow: the running task finishes, the next one does not start.
    interrupt, "/v1/flows/{id}/interrupt", Plain, |caller, _asked| Operation::Interrupt
}

operation! {
    /// Continues an interrupted flow where it stopped, or wakes one that sleeps. Returns when it has ended or rests again.
    resume, "/v1/flows/{id}/resume", Plain, |caller, _asked| Operation::Resume
}

operation! {
    /// Returns a flow that left no changes to its start.
    reset, "/v1/flows/{id}/reset", Plain, |caller, _asked| Operation::Reset
}

operation! {
    /// Rolls a flow back, or repeats an incomplete rollback.
    rollback, "/v1/flows/{id}/rollback", Reasoned, |caller, asked| {
        reason(&asked.reason)?;
        Operation::Rollback { reason: asked.reason }
    }
}

operation! {
    /// Accepts an incomplete rollback as it is, and closes it. Nothing is reverted.
    accept, "/v1/flows/{id}/accept", Reasoned, |caller, asked| {
        reason(&asked.reason)?;
        Operation::Accept {
            user_id: caller.identity.user_id.clone(),
            reason: asked.reason,
        }
    }
}

operation! {
    /// Gives a flow a signal, which a wait of it asks for.
    signal, "/v1/flows/{id}/signal", Signal, |caller, asked| {
        Text::Name.check(&asked.name).map_err(|unfit| {
            ApiError::bad("InvalidInput", format!("the signal's name {unfit}"))
        })?;
        Operation::Signal {
            name: asked.name,
            payload: asked.payload,
            user_id: caller.identity.user_id.clone(),
        }
    }
}
