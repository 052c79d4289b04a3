//! Serves the list of flows, and its stream.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use cairn::FlowId;
use cairn::store::view::{FlowFilter, View};
use uuid::Uuid;

use super::{COUNTED, FlowsQuery, FlowsView, PAGE};
use crate::api::body::Query;
use crate::app::App;
use crate::counters::Counters;
use crate::error::ApiError;
use crate::gists::Gists;
use crate::ui::live::{self, Parts, Wake};
use crate::ui::visitor::{Failed, Html, Visitor};

/// Interval between two looks at the list.
const LOOK: Duration = Duration::from_secs(1);

const RULE: &str = "api:flow:read";

/// Reads a page of the list.
fn read(
    view: &View<'_>,
    known: &Gists,
    query: &FlowsQuery,
    scope: Option<&str>,
    counters: Arc<Counters>,
) -> Result<FlowsView, ApiError> {
    let page = view.flow_page(query.filter(scope, view.now()), PAGE)?;
    Ok(FlowsView {
        gists: known.of(view, &page.flows)?,
        flows: page.flows,
        next: page.next,
        newer: 0,
        counters,
        now: view.now(),
    })
}

/// Reads the flows of a page that is open again, and counts those that have come since.
fn read_again(
    view: &View<'_>,
    known: &Gists,
    query: &FlowsQuery,
    scope: Option<&str>,
    counters: Arc<Counters>,
) -> Result<FlowsView, ApiError> {
    let between = |from: Uuid, to: Uuid, limit: usize| {
        let filter = FlowFilter {
            ids: Some((FlowId(from), FlowId(to))),
            ..query.filter(scope, view.now())
        };
        view.flow_page(filter, limit).map(|page| page.flows)
    };
    let bottom = query.bottom.map_or(Uuid::nil(), |FlowId(bottom)| bottom);
    let (flows, above) = match query.top {
        Some(FlowId(top)) => {
            let above = Uuid::from_u128(top.as_u128().saturating_add(1));
            (between(bottom, top, PAGE)?, above)
        }
        // There were none, so those that there are are new.
        None => (Vec::new(), Uuid::nil()),
    };
    let newer = match query.before {
        Some(_) => 0,
        None => between(above, Uuid::max(), COUNTED + 1)?.len(),
    };
    Ok(FlowsView {
        gists: known.of(view, &flows)?,
        flows,
        next: query.next,
        newer,
        counters,
        now: view.now(),
    })
}

/// Checks that a visitor may list flows, and returns the project whose flows are listed.
fn scope(app: &App, visitor: &Visitor) -> Result<Option<String>, ApiError> {
    let caller = &visitor.caller;
    caller.must(&app.policy, RULE, Some(&caller.identity.project_id))?;
    Ok(caller.scope().map(str::to_owned))
}

/// `GET /ui/flows`
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(query): Query<FlowsQuery>,
) -> Result<Html, Failed> {
    let run = async {
        let scope = scope(&app, &visitor)?;
        let counters = app.counters.of(scope.clone()).await?;
        let (shown, read_by) = (visitor.clone(), Arc::clone(&app));
        let read = app
            .readers
            .read(visitor.caller.identity.clone(), move |view| {
                let flows = read(view, &read_by.gists, &query, scope.as_deref(), counters)?;
                Ok(flows.page(&shown.shell(), &query))
            });
        read.await
    };
    run.await.map(Html).map_err(|error| visitor.failed(error))
}

/// `GET /ui/flows/live`
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    visitor: Result<Visitor, Failed>,
    Query(query): Query<FlowsQuery>,
) -> Result<Response, ApiError> {
    let Ok(visitor) = visitor else {
        return Ok(live::reload());
    };
    let scope = scope(&app, &visitor)?;
    let caller = visitor.caller.clone();
    let served = Arc::clone(&app);
    let make = move || {
        let (shown, query, scope) = (visitor.clone(), query.clone(), scope.clone());
        let app = Arc::clone(&served);
        let parts = async move {
            let counters = app.counters.of(scope.clone()).await?;
            let read_by = Arc::clone(&app);
            let read = app
                .readers
                .read(shown.caller.identity.clone(), move |view| {
                    let flows =
                        read_again(view, &read_by.gists, &query, scope.as_deref(), counters)?;
                    Ok(Parts {
                        fragments: flows.fragments(&shown.shell(), &query),
                        again: None,
                    })
                });
            read.await
        };
        Box::pin(parts) as _
    };
    live::stream(app, caller, Wake::After(LOOK), Box::new(make))
}
