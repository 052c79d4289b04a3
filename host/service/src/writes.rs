//! Whether the database can be written, as far as that is known without a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use cairn::Host;
use tokio::sync::Mutex;

use crate::error::ApiError;

/// Remembers when it was last tried.
#[derive(Default)]
pub(crate) struct Writes {
    /// When a write was last tried, after one that failed.
    tried: Mutex<Option<Instant>>,
}

impl Writes {
    /// Fails if the last batch could not be written, and something else cannot be written now either. That is tried once a second at most.
    pub(crate) async fn check(&self, host: &Arc<Host>) -> Result<(), ApiError> {
        const PAUSE: Duration = Duration::from_secs(1);
        let refused = |reason: &str| {
            let detail = format!("the database cannot be written: {reason}");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unwritable", detail)
                .help("see `The disk is full` in host/docs/runbook.md")
                .retry_after(1)
        };
        let Some(reason) = host.store().trouble() else {
            return Ok(());
        };
        let mut tried = self.tried.lock().await;
        if tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return Err(refused(&reason));
        }
        *tried = Some(Instant::now());
        let store = Arc::clone(host.store());
        let probed = tokio::task::spawn_blocking(move || store.probe()).await;
        match probed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refused(&error.to_string())),
            Err(_) => Err(refused(&reason)),
        }
    }
}
