//! The messages that have not left, and what operators do with them.

use std::ops::Bound;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use cairn::outbox::Outgoing;
use cairn::store::admin::Handling;
use cairn::store::view::{CAST, Listing};
use cairn::{Object, Value};
use maud::{Markup, html};
use serde::Deserialize;

use super::actions::{Action, reason};
use super::layout::{Page, Part, Shell};
use super::rows::{self, Column};
use super::system::TABS;
use super::text;
use super::visitor::{Failed, Form, Html, Visitor, see};
use crate::api::body::Query;
use crate::app::App;
use crate::error::ApiError;
use crate::operators::messages;

/// The most messages on a page.
const PAGE: usize = 100;

const PATH: &str = "/ui/outbox";

const COLUMNS: &[Column] = &[
    ("id", "Message"),
    ("state", "State"),
    ("topic", "Topic"),
    ("method", "Method"),
    ("project_id", "Project"),
    ("attempts", "Attempts"),
    ("due_at", "Due"),
    ("last_error", "Last error"),
    ("created_at", "Created"),
];

/// Where a page of messages begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct After {
    after: Option<String>,
}

/// `GET /ui/outbox`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    let run = async {
        let caller = &visitor.caller;
        caller.must(&app.policy, "api:outbox:read", None)?;
        let is_first = after.after.is_none();
        let read = app.readers.read(caller.identity.clone(), move |view| {
            let from = after
                .after
                .as_deref()
                .map_or(Bound::Unbounded, Bound::Excluded);
            let listing = Listing {
                ids: (from, Bound::Unbounded),
                limit: PAGE + 1,
                ..Listing::default()
            };
            let has_transport = view.services().get::<Outgoing>().is_some();
            Ok((view.page(&CAST, listing)?, has_transport))
        });
        let (mut found, has_transport) = read.await?;
        let has_more = found.len() > PAGE;
        found.truncate(PAGE);
        let last = found.last().filter(|_| has_more);
        let next = last.and_then(|row| row.get("id")).map(text::cell);
        let page = Page {
            title: "Messages",
            part: Part::System,
            live: None,
            search: "",
        };
        let shell = visitor.shell();
        let actions = |row: &Object| actions(&shell, row, has_transport);
        let may = caller.may(&app.policy, messages::RULE, None);
        let actions = may.then_some(&actions as rows::RowActions<'_>);
        let content = html! {
            h1 { "Messages" }
            (rows::tabs("System", &TABS, PATH))
            p.lead { "Messages to other services that are held, ready or on their way." }
            @if found.is_empty() { p { "There are none." } }
            @else { (rows::table_with("In the order of their ids", COLUMNS, &found, actions)) }
            (rows::pages(PATH, is_first, next.as_deref()))
        };
        Ok(Html(shell.page(page, content)))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

/// Shows what can be done with a message.
fn actions(shell: &Shell<'_>, row: &Object, has_transport: bool) -> Markup {
    let of = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let (id, state) = (of("id"), of("state"));
    if !matches!(state, "failed" | "sending" | "ready") {
        return html! {};
    }
    let path = format!("{PATH}/{}", text::encoded(id));
    let retry = Action {
        name: &format!("retry-{id}"),
        title: "Retry",
        to: &format!("{path}/retry"),
        confirm: "Send this message at once",
        is_grave: false,
    };
    let discard = Action {
        name: &format!("discard-{id}"),
        title: "Discard",
        to: &format!("{path}/discard"),
        confirm: "Discard this message",
        is_grave: true,
    };
    html! {
        @if has_transport { (retry.form(shell, reason("Why is it sent again?", false))) }
        (discard.form(shell, html! {
            p { "It is not sent any more. A receiver that did not answer may have it." }
            (reason("Why is it dropped?", false))
        }))
    }
}

/// What the forms of the page hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    reason: String,
}

/// `POST /ui/outbox/{id}/{action}`
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path((id, action)): Path<(String, String)>,
    Form { visitor, fields }: Form<Fields>,
) -> Result<Response, Failed> {
    let run = async {
        let handling = match action.as_str() {
            "retry" => Handling::Retry,
            "discard" => Handling::Discard,
            _ => return Err(ApiError::not_found("a message has no such action")),
        };
        messages::handle(&app, &visitor.caller, id, handling, Some(fields.reason)).await?;
        Ok(see(PATH))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

/// `GET` of an action: its form is on the page.
pub(super) async fn asked() -> Response {
    see(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout::tests::SHELL;
    use serde_json::json;

    fn shown(state: &str, has_transport: bool) -> String {
        let row = json!({"id": "a/\"b", "state": state});
        actions(&SHELL, row.as_object().unwrap(), has_transport).into_string()
    }

    #[test]
    fn what_may_have_left_or_is_to_leave_can_be_retried_and_dropped() {
        for state in ["failed", "sending", "ready"] {
            let both = shown(state, true);
            assert!(both.contains("/ui/outbox/a%2F%22b/retry"), "{both}");
            assert!(both.contains("/ui/outbox/a%2F%22b/discard"), "{both}");
            let one = shown(state, false);
            assert!(!one.contains("/retry") && one.contains("/discard"), "{one}");
        }
        for state in ["held", "acked"] {
            assert_eq!(shown(state, true), "", "{state}");
        }
    }
}
