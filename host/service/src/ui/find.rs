//! Finds flows by an id, a key or anything that an effect touched.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cairn::clock::Timestamp;
use cairn::store::view::{Found, Match};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Part, Shell};
use super::text::{self, Text};
use super::visitor::{Failed, Html, Visitor, see};
use super::words;
use crate::api::body::Query;
use crate::api::oversight::WITHIN;
use crate::app::App;
use crate::error::ApiError;

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sought {
    q: String,
}

/// The longest text that is looked for, in characters.
const LONGEST: usize = 255;

/// `GET /ui/find`: the flow, if there is exactly one of this id or key; else a list.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(sought): Query<Sought>,
) -> Result<Response, Failed> {
    let run = async {
        let caller = &visitor.caller;
        let own = Some(caller.identity.project_id.as_str());
        caller.must(&app.policy, "api:flow:read", own)?;
        let text = sought.q.trim().to_owned();
        if text.is_empty() {
            return Ok(see("/ui/flows"));
        }
        if text.chars().nth(LONGEST).is_some() {
            let detail = format!("no id or key has more than {LONGEST} characters");
            return Err(ApiError::bad("InvalidInput", detail));
        }
        let asked = text.clone();
        let read = app.readers.read(caller.identity.clone(), move |view| {
            Ok((view.search(&asked, WITHIN)?, view.now()))
        });
        let (found, now) = read.await?;
        if let ([only], None) = (found.flows.as_slice(), found.searched) {
            return Ok(see(&format!("/ui/flows/{}", only.id)));
        }
        let page = results(&visitor.shell(), &text, &found, now);
        Ok(Html(page).into_response())
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}

fn results(shell: &Shell<'_>, text: &str, found: &Found, now: Timestamp) -> Markup {
    let page = Page {
        title: "Found",
        part: Part::Flows,
        live: None,
        search: text,
    };
    shell.page(
        page,
        html! {
            h1 { "Flows that have to do with " (Text(text)) }
            @if found.flows.is_empty() { p { "None was found." } }
            @else {
                table.stack {
                    thead { tr { th scope="col" { "State" } th scope="col" { "Flow" } th scope="col" { "Why" } th scope="col" { "Began" } } }
                    tbody { @for found in &found.flows { (row(found, now)) } }
                }
            }
            @if let Some(searched) = &found.searched {
                p.quiet {
                    "The journals of " (text::count(usize::try_from(searched.flows).unwrap_or(usize::MAX), "flow")) " were searched"
                    @if let Some(at) = searched.back_to { ", back to " (text::time(at)) }
                    @if searched.is_complete { ": all of them." } @else { ". " code { "cairn find" } " searches all of them." }
                }
            }
        },
    )
}

fn row(found: &Match, now: Timestamp) -> Markup {
    html! {
        tr data-row {
            td { @match &found.flow { Some(flow) => (words::state(flow.state, flow.wake_at.is_some())), None => span.quiet { "pruned" } } }
            th scope="row" {
                a href={ "/ui/flows/" (found.id) } { @match &found.flow { Some(flow) => (Text(&flow.name)), None => (found.id) } }
                " " span.id.quiet { (found.id) }
            }
            td { ul.left { @for why in &found.why { li { (Text(&text::brief(why))) } } } }
            td { @if let Some(flow) = &found.flow { (text::ago(flow.created_at, now)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout::tests::SHELL;
    use crate::ui::samples;
    use cairn::event::FlowState;

    #[test]
    fn what_was_found_says_why_as_text() {
        let flow = samples::summary("<b>", FlowState::Success);
        let found = Found {
            flows: vec![Match {
                id: flow.id,
                flow: Some(flow),
                why: vec!["made volume <script>".to_owned()],
            }],
            searched: None,
        };
        let shown = results(&SHELL, "\"><script>", &found, samples::BEGIN).into_string();
        assert_eq!(
            shown.matches("<script").count(),
            1,
            "the page's own: {shown}"
        );
        assert!(!shown.contains("<b>"));
    }
}
