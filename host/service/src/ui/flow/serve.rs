//! Serves the page of a flow, its stream, and the forms on it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cairn::event::FlowState;
use cairn::store::operation::Operation;
use cairn::store::view::View;
use cairn::text::Text as Bounds;
use cairn::{FlowId, Plan, value};
use maud::Markup;
use serde::Deserialize;

use super::allowed::Allowed;
use super::{FlowQuery, FlowView, Sources};
use crate::api::body::Query;
use crate::api::flows::{flow_id, unknown, visible};
use crate::api::operate::operate;
use crate::app::App;
use crate::error::ApiError;
use crate::notices::Notice;
use crate::ui::live::{self, Parts, Wake};
use crate::ui::mask::{self, Schemas};
use crate::ui::visitor::{Failed, Form, Html, Visitor, see};

/// How long a form waits for what it began; then the flow's page shows how it goes on.
const PATIENCE: Duration = Duration::from_secs(2);

/// While an operation goes on, whether it has failed is looked at after this time.
const LOOK: Duration = Duration::from_secs(1);

/// The lengths of what goes on are shown anew after this time, and the times to come after that one.
const GOES_ON: Duration = Duration::from_secs(2);
const RESTS: Duration = Duration::from_secs(30);

/// Reads a flow and folds it.
fn read(
    view: &View<'_>,
    id: FlowId,
    schemas: Schemas,
    allowed: Allowed,
    notice: Option<Notice>,
) -> Result<FlowView, ApiError> {
    let view_of = view.consistently(|view| {
        let journal = view.journal(id)?;
        let plan = view.plan_of(id)?;
        let plan = plan.map(|digest| view.plan(digest)).transpose()?.flatten();
        let sources = Sources {
            id,
            journal,
            // A plan that this version cannot read is shown as none.
            plan: plan.and_then(|plan| serde_json::from_str::<Plan>(&plan).ok()),
            schemas,
            stuck: view.stuck(id)?,
            allowed,
            notice: notice.clone(),
            now: view.now(),
        };
        Ok(FlowView::new(sources, view.domains()))
    });
    view_of?.ok_or_else(|| unknown(id))
}

/// Returns the id of a flow that the visitor may read, and what the visitor may do with it.
async fn readable(app: &App, visitor: &Visitor, id: &str) -> Result<(FlowId, Allowed), ApiError> {
    let id = flow_id(id)?;
    let row = visible(app, &visitor.caller, id).await?;
    let (caller, policy) = (&visitor.caller, &app.policy);
    caller.must(policy, "api:flow:read", Some(&row.project_id))?;
    Ok((id, Allowed::of(caller, policy, &row.project_id)))
}

/// Returns the schemas of the settings of the task that the query names.
async fn schemas(app: &Arc<App>, visitor: &Visitor, id: FlowId, query: &FlowQuery) -> Schemas {
    let Some(task) = query.task.clone() else {
        return Schemas::default();
    };
    let read = app
        .readers
        .read(visitor.caller.identity.clone(), move |view| {
            let plan = view.plan_of(id)?;
            let plan = plan.map(|digest| view.plan(digest)).transpose()?.flatten();
            let plan: Option<Plan> = plan.and_then(|plan| serde_json::from_str(&plan).ok());
            let tasks = plan.iter().flat_map(Plan::plugin_tasks);
            let found = tasks.into_iter().find(|found| found.display == task);
            Ok(found
                .filter(|task| !task.settings.is_empty())
                .map(|task| task.digest))
        });
    match read.await {
        Ok(Some(digest)) => mask::schemas(app, [digest]).await,
        Ok(None) | Err(_) => Schemas::default(),
    }
}

/// `GET /ui/flows/{id}`
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<FlowQuery>,
) -> Result<Html, Failed> {
    let run = async {
        let (id, allowed) = match readable(&app, &visitor, &id).await {
            Ok(readable) => readable,
            Err(error) => return pruned(&app, &visitor, &id, error).await,
        };
        let schemas = schemas(&app, &visitor, id, &query).await;
        let shown = visitor.clone();
        let notice = app.notices.of(id, &visitor.caller.identity);
        let read = app
            .readers
            .read(visitor.caller.identity.clone(), move |view| {
                let flow = read(view, id, schemas, allowed, notice)?;
                Ok(flow.page(&shown.shell(), &query))
            });
        read.await
    };
    run.await.map(Html).map_err(|error| visitor.failed(error))
}

/// Returns the page of a flow that was pruned, if that is why it is not there, and the visitor sees all projects: it is not known any more
/// which one it was of.
async fn pruned(
    app: &App,
    visitor: &Visitor,
    id: &str,
    error: ApiError,
) -> Result<Markup, ApiError> {
    let caller = &visitor.caller;
    if error.status != StatusCode::NOT_FOUND || caller.scope().is_some() {
        return Err(error);
    }
    caller.must(&app.policy, "api:flow:read", None)?;
    let id = flow_id(id)?;
    let read = app.readers.read(caller.identity.clone(), move |view| {
        Ok(view.kept_report(id)?)
    });
    match read.await? {
        Some(report) => Ok(super::pruned::page(&report, &visitor.shell())),
        None => Err(error),
    }
}

/// `GET /ui/flows/{id}/live`
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    visitor: Result<Visitor, Failed>,
    Path(id): Path<String>,
    Query(query): Query<FlowQuery>,
) -> Result<Response, ApiError> {
    let Ok(visitor) = visitor else {
        return Ok(live::reload());
    };
    let (id, allowed) = match readable(&app, &visitor, &id).await {
        Ok(readable) => readable,
        // It was pruned.
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(live::reload()),
        Err(error) => return Err(error),
    };
    let schemas = schemas(&app, &visitor, id, &query).await;
    let mut watch = app.follower.watch(id).await?;
    // The page is made of what is read each time.
    watch.journal = Vec::new();
    let caller = visitor.caller.clone();
    let served = Arc::clone(&app);
    let make = move || {
        let (shown, query, schemas) = (visitor.clone(), query.clone(), schemas.clone());
        let app = Arc::clone(&served);
        let parts = async move {
            let notice = app.notices.of(id, &shown.caller.identity);
            let read = app
                .readers
                .read(shown.caller.identity.clone(), move |view| {
                    let flow = read(view, id, schemas, allowed, notice)?;
                    Ok(Parts {
                        fragments: flow.fragments(&shown.shell(), &query),
                        again: flow.again(),
                    })
                });
            read.await
        };
        Box::pin(parts) as _
    };
    live::stream(app, caller, Wake::Flow(watch), Box::new(make))
}

impl FlowView {
    /// Returns when the page is another one although nothing happens.
    fn again(&self) -> Option<Duration> {
        let mut notices = self.notice.iter();
        if notices.any(|notice| notice.failure.is_none()) {
            return Some(LOOK);
        }
        match self.history.state {
            FlowState::Success
            | FlowState::Failure
            | FlowState::Pending
            | FlowState::Interrupted => None,
            _ if self.history.sleep.is_some() => Some(RESTS),
            FlowState::Started
            | FlowState::Resuming
            | FlowState::Running
            | FlowState::Reverting => Some(GOES_ON),
        }
    }
}

/// What the forms of a flow's page hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    reason: String,
    name: String,
    payload: String,
}

/// `POST /ui/flows/{id}/{action}`
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Path((id, action)): Path<(String, String)>,
    Form { visitor, fields }: Form<Fields>,
) -> Result<Response, Failed> {
    let run = async {
        let id = flow_id(&id)?;
        let operation = operation(&action, fields, &visitor.caller.identity.user_id)?;
        let (served, caller) = (Arc::clone(&app), visitor.caller.clone());
        let name = operation.name();
        let number = app.notices.begin(id, &caller.identity, name);
        // It goes on when the browser does not wait.
        let done = tokio::spawn(async move {
            let done = operate(&served, &caller, id, operation).await;
            match &done {
                Ok(_) => served.notices.forget(number),
                Err(error) => {
                    tracing::info!(%id, name, detail = error.problem.detail, "an operation was refused");
                    served.notices.failed(number, error);
                }
            }
            done.map(drop)
        });
        if let Ok(done) = tokio::time::timeout(PATIENCE, done).await {
            // What is answered now is no news later.
            app.notices.forget(number);
            done??;
        }
        Ok(see(&format!("/ui/flows/{id}")))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

/// Reads the operation that a form asks for.
fn operation(action: &str, fields: Fields, user_id: &str) -> Result<Operation, ApiError> {
    let reason = || match fields.reason.trim() {
        "" => Err(ApiError::bad("InvalidInput", "the reason is empty").help("say why")),
        reason => Ok(reason.to_owned()),
    };
    Ok(match action {
        "interrupt" => Operation::Interrupt,
        "resume" => Operation::Resume,
        "rollback" => Operation::Rollback { reason: reason()? },
        "accept" => Operation::Accept {
            user_id: user_id.to_owned(),
            reason: reason()?,
        },
        "signal" => {
            Bounds::Name.check(&fields.name).map_err(|unfit| {
                ApiError::bad("InvalidInput", format!("the signal's name {unfit}"))
            })?;
            let payload = value::parse(&fields.payload).map_err(|error| {
                ApiError::bad("InvalidInput", value::refused("the payload", &error))
            })?;
            if !payload.is_object() {
                return Err(ApiError::bad(
                    "InvalidInput",
                    "the payload is no JSON object",
                ));
            }
            Operation::Signal {
                name: fields.name,
                payload,
                user_id: user_id.to_owned(),
            }
        }
        _ => return Err(ApiError::not_found("a flow has no such action")),
    })
}

/// `GET` of an action: its form is on the flow's page.
pub(crate) async fn asked(Path((id, _)): Path<(String, String)>) -> Response {
    match flow_id(&id) {
        Ok(id) => see(&format!("/ui/flows/{id}")),
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(action: &str, reason: &str, payload: &str) -> Result<Operation, ApiError> {
        let fields = Fields {
            reason: reason.to_owned(),
            name: "approve".to_owned(),
            payload: payload.to_owned(),
        };
        operation(action, fields, "ann")
    }

    #[test]
    fn what_leaves_something_or_undoes_it_needs_a_reason() {
        for action in ["rollback", "accept"] {
            assert!(asked(action, " \n", "").is_err());
            assert_eq!(asked(action, " why ", "").unwrap().name(), action);
        }
        assert!(asked("reset", "why", "").is_err());
    }

    #[test]
    fn a_payload_is_an_object() {
        assert!(asked("signal", "", "{\"a\": 1}").is_ok());
        for payload in ["", "[]", "1", "{\"a\": 1, \"a\": 2}"] {
            assert!(asked("signal", "", payload).is_err(), "{payload}");
        }
    }
}
