//! What all handlers share.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;
use cairn::config::ServeConfig;
use cairn::policy::Policy;
use cairn::status::StatusLimits;
use cairn::{Host, Identity};
use tokio::sync::{Semaphore, watch};

use crate::auth::{Auth, Caller};
use crate::calls::Calls;
use crate::counters::LastCounters;
use crate::database::Database;
use crate::deployed::Deployed;
use crate::error::ApiError;
use crate::follow::Follower;
use crate::gists::Gists;
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::readers::Readers;
use crate::runner::Runner;
use crate::status::Oversight;
use crate::writes::Writes;

/// What a server is made of.
pub struct Parts {
    /// Opens connections to the database.
    pub database: Arc<dyn Database>,
    /// The operator's rules.
    pub policy: Arc<Policy>,
    /// `[serve]`, with what the command line changed.
    pub config: ServeConfig,
    /// What `[status]` expects of flows, messages and backups.
    pub status: StatusLimits,
    /// Whom requests are made for without authentication.
    pub operator: Identity,
    /// Whether the dashboard is served.
    pub ui: bool,
}

/// The state that all handlers share.
pub struct App {
    pub(crate) runner: Arc<Runner>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) config: ServeConfig,
    pub(crate) database: Arc<dyn Database>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) auth: Auth,
    pub(crate) deployed: Deployed,
    pub(crate) follower: Arc<Follower>,
    pub(crate) oversight: Oversight,
    pub(crate) counters: LastCounters,
    pub(crate) gists: Gists,
    pub(crate) notices: Notices,
    pub(crate) calls: Calls,
    pub(crate) metrics: Metrics,
    pub(crate) writes: Writes,
    /// What `[status]` expects.
    pub(crate) limits: StatusLimits,
    /// Places for streams of events.
    pub(crate) streams: Arc<Semaphore>,
    /// Places for requests that wait for room in the host's queue.
    pub(crate) waiting: Arc<Semaphore>,
    /// Places for requests that ask providers of objects outside the database.
    pub(crate) asking: Arc<Semaphore>,
    /// Whether the server stops.
    pub(crate) stop: Arc<watch::Sender<bool>>,
}

impl App {
    /// Returns the host.
    ///
    /// # Errors
    /// As [`Runner::host`].
    pub(crate) fn host(&self) -> Result<&Arc<Host>, ApiError> {
        self.runner.host()
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut RequestParts,
        app: &Arc<App>,
    ) -> Result<Self, ApiError> {
        app.auth.caller_of(parts).await
    }
}

/// Waits until the server stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stop.wait_for(|stop| *stop).await;
}
