//! Follows flows for the streams of events: one query for all watched flows, whichever process runs them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn::event::{Entry, FlowState};
use cairn::store::view::{Reach, View};
use cairn::{FlowId, Identity};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::error::ApiError;
use crate::readers::Readers;

/// Interval between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How many pieces of news a stream may be behind before it is dropped.
const BEHIND: usize = 64;

/// What a stream is told of its flow.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Entries that were added to its journal; `first` is the number of the first one, counted from 0.
    Entries {
        first: i64,
        entries: Arc<Vec<Entry>>,
        state: FlowState,
    },
    /// It was pruned.
    Gone,
}

/// Follows flows while streams watch them.
pub(crate) struct Follower {
    readers: Arc<Readers>,
    watched: Mutex<HashMap<FlowId, Watched>>,
    begun: Notify,
}

struct Watched {
    /// The length of its journal when it was last looked at.
    entries: i64,
    streams: Vec<mpsc::Sender<News>>,
}

/// One stream's watch on a flow. It ends without a last word when the stream was too slow.
pub(crate) struct Watch {
    /// What the journal held when the watch began.
    pub(crate) journal: Vec<Entry>,
    /// The flow's state then.
    pub(crate) state: FlowState,
    pub(crate) news: mpsc::Receiver<News>,
}

impl Follower {
    pub(crate) fn new(readers: Arc<Readers>) -> Arc<Self> {
        Arc::new(Self {
            readers,
            watched: Mutex::default(),
            begun: Notify::new(),
        })
    }

    /// Begins to watch a flow: returns what there is of it and, from there on, the news.
    ///
    /// # Errors
    /// `NotFound`; those of the read.
    pub(crate) async fn watch(&self, flow: FlowId) -> Result<Watch, ApiError> {
        let read = move |view: &View<'_>| {
            view.consistently(|view| {
                let reach = view.reaches(&[flow])?.pop();
                Ok((reach, view.journal(flow)?))
            })
            .map_err(ApiError::from)
        };
        // From before the read on, so that nothing is missed: what comes twice is left out below.
        let (tell, news) = mpsc::channel(BEHIND);
        let nobody = Identity::default();
        let (reach, journal) = self.readers.read(nobody, read).await?;
        let reach = reach.ok_or_else(|| ApiError::not_found(format!("there is no flow {flow}")))?;
        {
            let mut watched = self.watched.lock();
            let one = watched.entry(flow).or_insert_with(|| Watched {
                entries: reach.entries,
                streams: Vec::new(),
            });
            // The streams before this one may be told again what they know: each leaves that out.
            one.entries = one.entries.min(reach.entries);
            one.streams.push(tell);
        }
        self.begun.notify_one();
        Ok(Watch {
            journal,
            state: reach.state,
            news,
        })
    }

    /// Looks at the watched flows until the follower is gone.
    pub(crate) async fn run(follower: Weak<Self>) {
        loop {
            let Some(follower) = follower.upgrade() else {
                return;
            };
            let is_idle = follower.watched.lock().is_empty();
            if is_idle {
                // Looks now and then whether it is still wanted.
                let _ = tokio::time::timeout(LOOK * 4, follower.begun.notified()).await;
                continue;
            }
            tokio::time::sleep(LOOK).await;
            if let Err(error) = follower.look().await {
                tracing::debug!(
                    detail = error.problem.detail,
                    "flows cannot be followed; trying again"
                );
            }
        }
    }

    /// Looks once, and tells the streams what is new.
    async fn look(&self) -> Result<(), ApiError> {
        let known: Vec<(FlowId, i64)> = {
            let mut watched = self.watched.lock();
            watched.retain(|_, one| {
                one.streams.retain(|stream| !stream.is_closed());
                !one.streams.is_empty()
            });
            watched
                .iter()
                .map(|(flow, one)| (*flow, one.entries))
                .collect()
        };
        if known.is_empty() {
            return Ok(());
        }
        let read = move |view: &View<'_>| {
            view.consistently(|view| {
                let flows: Vec<FlowId> = known.iter().map(|(flow, _)| *flow).collect();
                let reaches: HashMap<FlowId, Reach> = (view.reaches(&flows)?.into_iter())
                    .map(|reach| (reach.flow, reach))
                    .collect();
                let is_new = |(flow, entries): &&(FlowId, i64)| {
                    reaches
                        .get(flow)
                        .is_some_and(|reach| reach.entries > *entries)
                };
                let new: Vec<(FlowId, i64)> = known.iter().filter(is_new).copied().collect();
                let stretches = view.entries_from(&new)?;
                Ok((flows, reaches, stretches))
            })
            .map_err(ApiError::from)
        };
        let (flows, reaches, stretches) = self.readers.read(Identity::default(), read).await?;
        let mut watched = self.watched.lock();
        for stretch in stretches {
            let (Some(one), Some(reach)) =
                (watched.get_mut(&stretch.flow), reaches.get(&stretch.flow))
            else {
                continue;
            };
            one.entries = stretch.first + stretch.entries.len() as i64;
            let news = News::Entries {
                first: stretch.first,
                entries: Arc::new(stretch.entries),
                state: reach.state,
            };
            one.tell(&news);
        }
        for flow in flows.iter().filter(|flow| !reaches.contains_key(flow)) {
            if let Some(mut one) = watched.remove(flow) {
                one.tell(&News::Gone);
            }
        }
        Ok(())
    }
}

impl Watched {
    /// Tells all streams; drops those that are too far behind.
    fn tell(&mut self, news: &News) {
        self.streams
            .retain(|stream| stream.try_send(news.clone()).is_ok());
    }
}
