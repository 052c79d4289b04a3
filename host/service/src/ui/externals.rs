//! Objects outside the database, and what operators do with them: adopt one that has no row, and remove one whose flow is over.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use cairn::external::{ExternalKey, state};
use cairn::store::view::ExternalListing;
use cairn::{Object, Value};
use maud::{Markup, html};
use serde::Deserialize;

use super::actions::{Action, hidden, reason};
use super::layout::Shell;
use super::resources::{PAGE, last, page as resource_page};
use super::rows::{self, Column};
use super::text;
use super::visitor::{Failed, Form, Html, Visitor, see};
use crate::api::body::Query;
use crate::app::App;
use crate::error::ApiError;
use crate::operators::externals as operate;

const PATH: &str = "/ui/externals";

/// How long a form waits for the provider; it goes on then, and the state of the row shows how.
const PATIENCE: Duration = Duration::from_secs(30);

const COLUMNS: &[Column] = &[
    ("id", "Object"),
    ("provider", "Provider"),
    ("kind", "Kind"),
    ("state", "State"),
    ("project_id", "Project"),
    ("flow", "Flow"),
    ("task", "Task"),
    ("updated_at", "Changed"),
];

/// Where a page begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct After {
    after: Option<String>,
    kind: Option<String>,
    provider: Option<String>,
}

/// `GET /ui/externals`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    let run = async {
        let caller = &visitor.caller;
        let own = Some(caller.identity.project_id.as_str());
        caller.must(&app.policy, operate::READ, own)?;
        let all_projects = caller.identity.is_admin;
        let is_first = after.after.is_none();
        let read = app.readers.read(caller.identity.clone(), move |view| {
            let after = match (&after.provider, &after.kind, &after.after) {
                (Some(provider), Some(kind), Some(id)) => {
                    Some(ExternalKey::new(provider, kind, id))
                }
                _ => None,
            };
            let listing = ExternalListing {
                all_projects,
                after: after.as_ref(),
                limit: PAGE + 1,
                ..ExternalListing::default()
            };
            Ok(view.externals(listing)?)
        });
        let mut found = read.await?;
        let next = last(&mut found, "id");
        let of = |name: &str| {
            let last = found.last().and_then(|row| row.get(name));
            text::encoded(last.and_then(Value::as_str).unwrap_or_default())
        };
        let path = format!("{PATH}?provider={}&kind={}", of("provider"), of("kind"));
        let shell = visitor.shell();
        let actions = |row: &Object| removal(&shell, row);
        let may_remove = caller.may(&app.policy, operate::REMOVE, None);
        let actions = may_remove.then_some(&actions as rows::RowActions<'_>);
        let content = html! {
            @if caller.may(&app.policy, operate::ADOPT, own) { div.actions { (adoption(&shell)) } }
            @if found.is_empty() { p { "There are no objects outside the database." } }
            @else { (rows::table_with("In the order of their providers, kinds and ids", COLUMNS, &found, actions)) }
            (rows::pages(&path, true, next.as_deref()))
            @if !is_first { p { a href=(PATH) { "First" } } }
        };
        Ok(resource_page(&visitor, "Externals", PATH, content))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn adoption(shell: &Shell<'_>) -> Markup {
    let action = Action {
        name: "adopt",
        title: "Adopt an object without a row",
        to: "/ui/externals/adopt",
        confirm: "Adopt this object",
        is_grave: false,
    };
    action.form(
        shell,
        html! {
            p { "The object then belongs to the project " (text::Text(shell.project)) ". No flow removes it." }
            label { "Provider " input name="provider" maxlength="255" required; }
            label { "Kind " input name="kind" maxlength="255" required; }
            label { "Name of the object, a UUID " input name="id" maxlength="36" size="38" required; }
            (reason("Why does it belong to the project?", true))
        },
    )
}

/// Shows the form that removes an object, or repeats a removal whose outcome is not known.
fn removal(shell: &Shell<'_>, row: &Object) -> Markup {
    let key = ExternalKey::of_row(row);
    let title = match row.get("state").and_then(Value::as_str) {
        Some(state::MADE) => "Remove",
        Some(state::REMOVING) => "Repeat the removal",
        _ => return html! {},
    };
    let action = Action {
        name: &format!("remove-{key}"),
        title,
        to: "/ui/externals/remove",
        confirm: "Remove this object",
        is_grave: true,
    };
    action.form(
        shell,
        html! {
            p { "There is no way back. It is refused while the flow of the object is not over." }
            (hidden("provider", &key.provider))
            (hidden("kind", &key.kind))
            (hidden("id", &key.id))
            (reason("Why is it removed?", false))
        },
    )
}

/// What the forms of the page hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    provider: String,
    kind: String,
    id: String,
    reason: String,
}

/// `POST /ui/externals/{action}`
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path(action): Path<String>,
    Form { visitor, fields }: Form<Fields>,
) -> Result<Response, Failed> {
    let run = async {
        let Fields {
            provider,
            kind,
            id,
            reason,
        } = fields;
        let key = operate::key(provider.trim(), kind.trim(), id.trim())?;
        let (served, caller) = (Arc::clone(&app), visitor.caller.clone());
        // It goes on when the browser does not wait.
        let done =
            match action.as_str() {
                "adopt" => tokio::spawn(async move {
                    let adopted = operate::adopt(&served, &caller, key, reason).await;
                    adopted.map(drop)
                }),
                "remove" => tokio::spawn(async move {
                    operate::remove(&served, &caller, key, Some(reason)).await
                }),
                _ => return Err(ApiError::not_found("an object has no such action")),
            };
        if let Ok(done) = tokio::time::timeout(PATIENCE, done).await {
            done??;
        }
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

    fn shown(state: &str) -> String {
        let row = json!({"provider": "shelf", "kind": "book", "id": "\"><b>", "state": state});
        removal(&SHELL, row.as_object().unwrap()).into_string()
    }

    #[test]
    fn an_object_that_is_made_or_is_being_removed_can_be_removed() {
        assert!(shown("made").contains("Remove this object"));
        assert!(shown("removing").contains("Repeat the removal"));
        assert_eq!(shown("making"), "");
        assert!(!shown("made").contains("<b>"));
    }

    #[test]
    fn an_adoption_needs_a_reason() {
        let shown = adoption(&SHELL).into_string();
        assert!(
            shown.contains("name=\"reason\" rows=\"2\" maxlength=\"255\" required"),
            "{shown}"
        );
        assert!(shown.contains("acme"), "{shown}");
    }
}
