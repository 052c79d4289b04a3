//! `GET /v1/flows/{id}/stream` and `GET /v1/stream`: server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use cairn::event::FlowState;
use cairn::{FlowId, Value};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::body::Query;
use super::flows::{Happened, Row, Which, flow_id, visible};
use crate::app::{App, stopped};
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::follow::{News, Watch};

/// Interval between two empty comments, which keep a connection open, and between two looks at whether the caller may still listen.
pub(crate) const ALIVE: Duration = Duration::from_secs(15);

/// Interval between two looks at a list.
const LIST: Duration = Duration::from_secs(1);

/// How many flows a stream over flows shows.
const LISTED: usize = 100;

type Events = Vec<Result<Sent, Infallible>>;

/// Takes one of the places for streams, until it is dropped.
///
/// # Errors
/// 503 when there is none.
pub(crate) fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = Arc::clone(&app.streams).try_acquire_owned();
    place.map_err(|_| ApiError::busy("too many streams of events are open"))
}

fn event(name: &str, data: &Value) -> Sent {
    Sent::default().event(name).data(data.to_string())
}

/// Streams what happens to a flow.
///
/// Each event `entry` is an entry of the flow's journal; its id is the entry's number, so `Last-Event-ID` resumes the stream without a gap, on any
/// host. `end`: the flow has ended; the stream ends, too. `gone`: the flow was pruned. `lagged`: the client was too slow, and `bye`: the
/// server stops or the caller's token has ended; connect again.
#[utoipa::path(
    get, path = "/v1/flows/{id}/stream", tag = "flows",
    params(
        ("id" = String, Path, description = "The flow's id"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last entry that the client has"),
    ),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "There is no such flow in the caller's projects", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn flow(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let id = flow_id(&id)?;
    let row = visible(&app, &caller, id).await?;
    caller.must(&app.policy, "api:flow:read", Some(&row.project_id))?;
    let place = place(&app)?;
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.trim().parse::<i64>().ok());
    let watch = app.follower.watch(id).await?;
    let one = FlowStream {
        app,
        caller,
        watch,
        next: last.unwrap_or(0).max(0),
        checked: Instant::now(),
        is_first: true,
        is_over: false,
        _place: place,
    };
    let events = stream::unfold(one, |mut one| async move {
        let events = one.events().await?;
        Some((stream::iter(events), one))
    });
    Ok(Sse::new(events.flatten()).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The stream of one flow.
struct FlowStream {
    app: Arc<App>,
    caller: Caller,
    watch: Watch,
    /// The index of the next entry to send, counted from 0.
    next: i64,
    /// When it was last checked whether the caller may listen.
    checked: Instant,
    is_first: bool,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl FlowStream {
    /// Waits for the next events; `None` at the end.
    async fn events(&mut self) -> Option<Events> {
        if self.is_over {
            return None;
        }
        if std::mem::take(&mut self.is_first) {
            let journal = std::mem::take(&mut self.watch.journal);
            let state = self.watch.state;
            return Some(self.entries(0, &journal, state));
        }
        loop {
            let look = self.checked + ALIVE;
            let mut stop = self.app.stop.subscribe();
            tokio::select! {
                news = self.watch.news.recv() => return Some(match news {
                    Some(News::Entries { first, entries, state }) => {
                        let events = self.entries(first, &entries, state);
                        if events.is_empty() {
                            continue;
                        }
                        events
                    }
                    Some(News::Gone) => self.last("gone"),
                    None => self.last("lagged"),
                }),
                _ = tokio::time::sleep_until(look) => {
                    self.checked = Instant::now();
                    if !self.app.auth.still_stands(&self.caller).await {
                        return Some(self.last("bye"));
                    }
                }
                () = stopped(&mut stop) => return Some(self.last("bye")),
            }
        }
    }

    /// Returns the entries that were not sent yet, and the end.
    fn entries(&mut self, first: i64, entries: &[cairn::event::Entry], state: FlowState) -> Events {
        let known = usize::try_from(self.next - first).unwrap_or(0);
        let new = entries.get(known..).unwrap_or_default();
        let mut events = Events::new();
        for happened in Happened::of(first.max(self.next), new) {
            self.next = happened.number;
            let sent = Sent::default()
                .event("entry")
                .id(happened.number.to_string())
                .json_data(&happened);
            events.extend(sent.ok().map(Ok));
        }
        if state.is_at_rest() && state != FlowState::Interrupted {
            self.is_over = true;
            events.push(Ok(event("end", &json!({ "state": state }))));
        }
        events
    }

    fn last(&mut self, name: &str) -> Events {
        self.is_over = true;
        vec![Ok(event(name, &json!({})))]
    }
}

/// Streams changes of a list of flows.
///
/// Each event `flows` has the rows that are new or have changed among the newest 100 flows that fit; its events have no id: after a
/// reconnect the first event has the whole list.
#[utoipa::path(
    get, path = "/v1/stream", tag = "flows", params(Which),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn flows(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let project = caller.identity.project_id.clone();
    caller.must(&app.policy, "api:flow:read", Some(&project))?;
    let place = place(&app)?;
    let mut one = ListStream {
        app,
        caller,
        which,
        known: HashMap::new(),
        checked: Instant::now(),
        first: Vec::new(),
        is_over: false,
        _place: place,
    };
    // Refuses wrong parameters before the answer begins.
    one.first = one.changed().await?;
    let events = stream::unfold(one, |mut one| async move {
        let events = one.events().await?;
        Some((stream::iter(events), one))
    });
    Ok(Sse::new(events.flatten()).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The stream of a list.
struct ListStream {
    app: Arc<App>,
    caller: Caller,
    which: Which,
    known: HashMap<FlowId, Row>,
    checked: Instant,
    first: Vec<Row>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl ListStream {
    async fn events(&mut self) -> Option<Events> {
        if self.is_over {
            return None;
        }
        let mut changed = std::mem::take(&mut self.first);
        while changed.is_empty() {
            let mut stop = self.app.stop.subscribe();
            tokio::select! {
                _ = tokio::time::sleep(LIST) => {}
                () = stopped(&mut stop) => return Some(self.last()),
            }
            if self.checked.elapsed() >= ALIVE {
                self.checked = Instant::now();
                if !self.app.auth.still_stands(&self.caller).await {
                    return Some(self.last());
                }
            }
            // The database may be away for a moment.
            changed = self.changed().await.unwrap_or_default();
        }
        Some(vec![Ok(event("flows", &json!({ "flows": changed })))])
    }

    /// Returns the rows that are new or have changed.
    async fn changed(&mut self) -> Result<Vec<Row>, ApiError> {
        let scope = self.caller.scope().map(str::to_owned);
        let which = self.which.clone();
        let read = self
            .app
            .readers
            .read(self.caller.identity.clone(), move |view| {
                which.read(view, scope.as_deref(), LISTED)
            });
        let rows: Vec<Row> = read.await?.flows.into_iter().map(Row::from).collect();
        let is_new = |row: &&Row| self.known.get(&row.id) != Some(*row);
        let changed: Vec<Row> = rows.iter().filter(is_new).cloned().collect();
        self.known = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(changed)
    }

    fn last(&mut self) -> Events {
        self.is_over = true;
        vec![Ok(event("bye", &json!({})))]
    }
}
