//! Pages of what flows have made: block storage and records.

use std::ops::Bound;
use std::sync::Arc;

use axum::extract::State;
use cairn::Object;
use cairn::records::Settings;
use cairn::records::operator::{ReadRecords as _, RecordListing};
use cairn::store::view::{Kind, Listing};
use cairn::volumes::operator::kind::{SNAPSHOT, VOLUME, VOLUME_TYPE};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Part};
use super::mask;
use super::rows::{self, Column, Tab};
use super::text;
use super::visitor::{Failed, Html, Visitor};
use crate::api::body::Query;
use crate::app::App;
use crate::error::ApiError;

/// The most rows on a page.
pub(super) const PAGE: usize = 100;

pub(super) const TABS: [Tab; 5] = [
    ("Volumes", "/ui/volumes"),
    ("Snapshots", "/ui/snapshots"),
    ("Types", "/ui/types"),
    ("Records", "/ui/records"),
    ("Externals", "/ui/externals"),
];

/// Where a page of a list begins, and what it shows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct After {
    after: Option<String>,
    collection: Option<String>,
}

pub(super) fn page(visitor: &Visitor, title: &str, path: &str, content: Markup) -> Html {
    let page = Page {
        title,
        part: Part::Resources,
        live: None,
        search: "",
    };
    let content = html! {
        h1 { (title) }
        (rows::tabs("Resources", &TABS, path))
        (content)
    };
    Html(visitor.shell().page(page, content))
}

/// Drops the row that shows whether there are more, and returns the id of the last one if there are.
pub(super) fn last(found: &mut Vec<Object>, key: &str) -> Option<String> {
    let has_more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = found.last().filter(|_| has_more)?;
    Some(text::cell(last.get(key)?))
}

/// Shows rows of a kind of block storage.
async fn kind(
    app: &App,
    visitor: &Visitor,
    kind: &'static Kind,
    (title, path): Tab,
    columns: &[Column],
    after: After,
) -> Result<Html, ApiError> {
    let caller = &visitor.caller;
    let own = caller.identity.project_id.clone();
    caller.must(&app.policy, "api:resource:read", Some(&own))?;
    let scope = caller.scope().map(str::to_owned);
    let is_first = after.after.is_none();
    let read = app.readers.read(caller.identity.clone(), move |view| {
        let from = after
            .after
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let listing = Listing {
            project: scope.as_deref(),
            ids: (from, Bound::Unbounded),
            limit: PAGE + 1,
            ..Listing::default()
        };
        Ok(view.page(kind, listing)?)
    });
    let mut found = read.await?;
    let next = last(&mut found, "id");
    let content = html! {
        @if found.is_empty() { p { "There are none." } }
        @else { (rows::table("In the order of their ids", columns, &found)) }
        (rows::pages(path, is_first, next.as_deref()))
    };
    Ok(page(visitor, title, path, content))
}

/// `GET /ui/volumes`
pub(super) async fn volumes(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    const COLUMNS: &[Column] = &[
        ("id", "Volume"),
        ("display_name", "Name"),
        ("status", "Status"),
        ("size", "GiB"),
        ("volume_type_id", "Type"),
        ("project_id", "Project"),
        ("availability_zone", "Zone"),
        ("created_at", "Created"),
    ];
    let shown = kind(&app, &visitor, &VOLUME, TABS[0], COLUMNS, after).await;
    shown.map_err(|error| visitor.failed(error))
}

/// `GET /ui/snapshots`
pub(super) async fn snapshots(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    const COLUMNS: &[Column] = &[
        ("id", "Snapshot"),
        ("display_name", "Name"),
        ("status", "Status"),
        ("volume_id", "Volume"),
        ("volume_size", "GiB"),
        ("project_id", "Project"),
        ("created_at", "Created"),
    ];
    let shown = kind(&app, &visitor, &SNAPSHOT, TABS[1], COLUMNS, after).await;
    shown.map_err(|error| visitor.failed(error))
}

/// `GET /ui/types`
pub(super) async fn types(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    const COLUMNS: &[Column] = &[
        ("id", "Type"),
        ("name", "Name"),
        ("qos_specs_id", "QoS specs"),
        ("extra_specs", "Extra specs"),
    ];
    let shown = kind(&app, &visitor, &VOLUME_TYPE, TABS[2], COLUMNS, after).await;
    shown.map_err(|error| visitor.failed(error))
}

/// `GET /ui/records`
pub(super) async fn records(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(after): Query<After>,
) -> Result<Html, Failed> {
    let run = async {
        let caller = &visitor.caller;
        let own = caller.identity.project_id.clone();
        caller.must(&app.policy, "api:record:read", Some(&own))?;
        let asked = after.clone();
        let read = app.readers.read(caller.identity.clone(), move |view| {
            let settings = Settings::of(view.services());
            let names: Vec<String> = settings.collections.keys().cloned().collect();
            let Some(name) = asked.collection.or_else(|| names.first().cloned()) else {
                return Ok((names, String::new(), Vec::new()));
            };
            let listing = RecordListing {
                collection: &name,
                prefix: "",
                after: asked
                    .after
                    .as_deref()
                    .map_or(Bound::Unbounded, Bound::Excluded),
                limit: PAGE + 1,
            };
            let mut found = view.records(listing)?;
            let collection = settings.collection(&name)?;
            if let Some(schema) = &collection.schema {
                found
                    .iter_mut()
                    .for_each(|row| mask::record(row, schema.json()));
            }
            Ok((names, name, found))
        });
        let (names, name, mut found) = read.await?;
        let next = last(&mut found, "key");
        let path = format!("/ui/records?collection={}", text::encoded(&name));
        const COLUMNS: &[Column] = &[
            ("key", "Key"),
            ("version", "Version"),
            ("value", "Value"),
            ("held", "Held by"),
        ];
        let content = html! {
            @if names.is_empty() { p { "No collection is set up in " code { "cairn.toml" } "." } }
            @else {
                form.filter action="/ui/records" method="get" {
                    label { "Collection " select name="collection" {
                        @for known in &names { option value=(text::attribute(known)) selected[*known == name] { (text::attribute(known)) } }
                    } }
                    button { "Show" }
                    span.quiet { "of the project " (text::attribute(&own)) }
                }
                @if found.is_empty() { p { "It has no records." } }
                @else { (rows::table("In the order of their keys", COLUMNS, &found)) }
                (rows::pages(&path, after.after.is_none(), next.as_deref()))
            }
        };
        Ok(page(&visitor, "Records", "/ui/records", content))
    };
    run.await.map_err(|error: ApiError| visitor.failed(error))
}
