//! The host that runs the flows, once it could begin to.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use cairn::Host;

use crate::error::ApiError;

/// Holds the host.
#[derive(Default)]
pub(crate) struct Runner(OnceLock<Arc<Host>>);

impl Runner {
    /// Lets this host run the flows; another one that was given before stays.
    pub(crate) fn begin(&self, host: Arc<Host>) {
        let _ = self.0.set(host);
    }

    /// Returns the host.
    ///
    /// # Errors
    /// 503 while it does not run: the server has just started, or the database is held after a restore.
    pub(crate) fn host(&self) -> Result<&Arc<Host>, ApiError> {
        self.0.get().ok_or_else(|| {
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
