//! Connections for reads, which block and therefore run on threads of their own.

use std::sync::Arc;

use cairn::store::view::{Reader, View};
use cairn::{Identity, StoreError};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::database::Database;
use crate::error::ApiError;

/// How many reads run at once; more wait.
const MOST: usize = 8;

/// A pool of connections for reads.
pub(crate) struct Readers {
    database: Arc<dyn Database>,
    idle: Arc<Mutex<Vec<Reader>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(database: Arc<dyn Database>) -> Self {
        Self {
            database,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Runs a read as `requester`.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Database`] when no connection can be opened.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        requester: Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| ApiError::stopping())?;
        let (database, idle) = (Arc::clone(&self.database), Arc::clone(&self.idle));
        let run = move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let reader = match pooled {
                Some(reader) => reader,
                None => database.reader()?,
            };
            let result = read(&reader.view(&requester));
            // After another error the connection is as before.
            if !result.as_ref().is_err_and(ApiError::is_of_database) {
                idle.lock().push(reader);
            }
            result
        };
        tokio::task::spawn_blocking(run).await?
    }
}

/// Runs what blocks, such as a change of the database.
///
/// # Errors
/// Those of `run`.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(run).await?
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::of_store(&error)
    }
}
