//! What all handlers share.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use cairn::config::ServeConfig;
use cairn::policy::Policy;
use cairn::status::StatusLimits;
use cairn::store::hosts::Hosts;
use cairn::store::view::Reader;
use cairn::{Host, Identity, StoreError};
use tokio::sync::{Semaphore, watch};

use crate::auth::Auth;
use crate::deployed::Deployed;
use crate::error::ApiError;
use crate::follow::Follower;
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::status::{LastCounts, LastStatus};

/// Opens connections to the database, as the caller of the server has set them up.
pub trait Database: Send + Sync {
    /// Opens a connection for reads.
    ///
    /// # Errors
    /// Those of [`Reader::open`].
    fn reader(&self) -> Result<Reader, StoreError>;

    /// Opens the list of hosts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn hosts(&self) -> Result<Box<dyn Hosts>, StoreError>;
}

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
}

/// The state that all handlers share.
pub struct App {
    /// Runs the flows, once it could begin to.
    pub(crate) host: OnceLock<Arc<Host>>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) config: ServeConfig,
    pub(crate) database: Arc<dyn Database>,
    pub(crate) readers: Readers,
    pub(crate) auth: Auth,
    pub(crate) deployed: Deployed,
    pub(crate) follower: Arc<Follower>,
    /// The operator: for reads that belong to no request.
    pub(crate) operator: Identity,
    pub(crate) limits: StatusLimits,
    pub(crate) last_status: LastStatus,
    pub(crate) last_counts: LastCounts,
    pub(crate) metrics: Metrics,
    /// Places for streams of events.
    pub(crate) streams: Arc<Semaphore>,
    /// Places for requests that wait for room in the host's queue.
    pub(crate) waiting: Arc<Semaphore>,
    /// Whether the server stops.
    pub(crate) stop: Arc<watch::Sender<bool>>,
}

impl App {
    /// Returns the host.
    ///
    /// # Errors
    /// 503 while it does not run: the server has just started, or the database is held after a restore.
    pub(crate) fn host(&self) -> Result<&Arc<Host>, ApiError> {
        self.host.get().ok_or_else(|| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "held",
                "no flows run yet: the server has just started, or the database is held after a restore",
            )
            .help("an operator releases a held database with `cairn db release`")
            .retry_after(1)
        })
    }
}

/// Waits until the server stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stop.wait_for(|stop| *stop).await;
}
