//! Streams that keep a page up to date: each event is a part of the page, as the server makes it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::api::stream::{ALIVE, place};
use crate::app::{App, stopped};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::follow::Watch;

/// Interval between two signs of life, by which the page knows that it is not behind.
const BEAT: Duration = Duration::from_secs(5);

/// The least time between two looks at a page: at most four a second.
const LEAST: Duration = Duration::from_millis(250);

/// How many times as long as it took to make the parts a stream waits before it makes them again.
const SPARE: u32 = 4;

/// A part of a page: its id, and its HTML, whose first element has the id.
pub(super) type Fragment = (&'static str, String);

/// What a page consists of at this moment.
pub(super) struct Parts {
    pub fragments: Vec<Fragment>,
    /// When they are other ones although nothing has happened, such as the length of what goes on.
    pub again: Option<Duration>,
}

/// When a page may have changed.
pub(super) enum Wake {
    /// When something happens to a flow.
    Flow(Watch),
    /// After this time.
    After(Duration),
}

/// Makes the parts of a page.
pub(super) type Make = Box<dyn Fn() -> BoxFuture<'static, Result<Parts, ApiError>> + Send>;

/// Streams the parts of a page: all of them at first, and then those that are other ones.
///
/// # Errors
/// 503 when too many streams are open.
pub(super) fn stream(
    app: Arc<App>,
    caller: Caller,
    wake: Wake,
    make: Make,
) -> Result<Response, ApiError> {
    let place = place(&app)?;
    let now = Instant::now();
    let one = Live {
        app,
        caller,
        wake,
        make,
        sent: HashMap::new(),
        due: Some(now),
        not_before: now,
        beat: now + BEAT,
        checked: now,
        is_over: false,
        _place: place,
    };
    let events = stream::unfold(one, |mut one| async move {
        let events = one.events().await?;
        Some((stream::iter(events), one))
    });
    let alive = KeepAlive::new().interval(ALIVE);
    Ok(Sse::new(events.flatten()).keep_alive(alive).into_response())
}

/// Tells a page to load itself anew, and ends: whoever is logged out gets to the login by it.
pub(super) fn reload() -> Response {
    Sse::new(stream::iter([Ok::<_, Infallible>(named("reload", ""))])).into_response()
}

struct Live {
    app: Arc<App>,
    caller: Caller,
    wake: Wake,
    make: Make,
    /// The hashes of the parts that the page has.
    sent: HashMap<&'static str, u64>,
    /// When the parts are made next; `None` when something must happen before.
    due: Option<Instant>,
    not_before: Instant,
    beat: Instant,
    /// When it was last checked whether the caller may listen.
    checked: Instant,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

fn named(name: &str, data: &str) -> Event {
    // A carriage return ends a line of the stream.
    Event::default().event(name).data(data.replace('\r', ""))
}

impl Live {
    /// Waits for the next events; `None` at the end.
    async fn events(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        if self.is_over {
            return None;
        }
        loop {
            let due = self.due.map(|due| due.max(self.not_before));
            let mut stop = self.app.stop.subscribe();
            tokio::select! {
                () = until(due) => {
                    let events = self.parts().await;
                    if !events.is_empty() {
                        return Some(events);
                    }
                }
                is_there = self.wake.next() => {
                    if !is_there {
                        // It was too slow, or the flow is gone: the page is loaded anew.
                        return Some(self.last("reload"));
                    }
                    self.due = Some(Instant::now());
                }
                () = tokio::time::sleep_until(self.beat) => {
                    self.beat = Instant::now() + BEAT;
                    if self.checked.elapsed() >= ALIVE {
                        self.checked = Instant::now();
                        if !self.app.auth.still_stands(&self.caller).await {
                            return Some(self.last("reload"));
                        }
                    }
                    return Some(vec![Ok(named("beat", ""))]);
                }
                // The browser connects again, to the server that comes after.
                () = stopped(&mut stop) => return None,
            }
        }
    }

    /// Makes the parts, and returns those that the page does not have.
    async fn parts(&mut self) -> Vec<Result<Event, Infallible>> {
        let begun = Instant::now();
        let made = (self.make)().await;
        let took = begun.elapsed();
        self.not_before = Instant::now() + LEAST.max(took * SPARE);
        let Ok(Parts { fragments, again }) = made else {
            // The database may be away for a moment.
            self.due = Some(Instant::now() + BEAT);
            return Vec::new();
        };
        self.due = again.map(|again| Instant::now() + again);
        let mut events = Vec::new();
        for (id, html) in fragments {
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            let hash = hasher.finish();
            if self.sent.insert(id, hash) != Some(hash) {
                events.push(Ok(named("part", &html)));
            }
        }
        events
    }

    fn last(&mut self, name: &str) -> Vec<Result<Event, Infallible>> {
        self.is_over = true;
        vec![Ok(named(name, ""))]
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Wake {
    /// Waits until the page may have changed; returns false when nothing more is told.
    async fn next(&mut self) -> bool {
        match self {
            Self::Flow(watch) => match watch.news.recv().await {
                Some(crate::follow::News::Entries { .. }) => {
                    // What else has come is in the next look, too.
                    while let Ok(crate::follow::News::Entries { .. }) = watch.news.try_recv() {}
                    true
                }
                Some(crate::follow::News::Gone) | None => false,
            },
            Self::After(time) => {
                tokio::time::sleep(*time).await;
                true
            }
        }
    }
}
