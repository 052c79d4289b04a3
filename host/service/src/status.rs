//! Whether anything needs a person: remembered for a moment, because probes and pages ask often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::store::view::{FlowCounts, Status};
use parking_lot::Mutex;

use crate::app::App;
use crate::error::ApiError;
use crate::readers::blocking;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer, and when it was found.
#[derive(Default)]
pub(crate) struct LastStatus(Mutex<Option<(Instant, Arc<Status>)>>);

impl App {
    /// Returns what needs a person, as of a moment ago.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn status(&self) -> Result<Arc<Status>, ApiError> {
        if let Some((at, status)) = &*self.last_status.0.lock()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(status));
        }
        let limits = self.limits.clone();
        let operator = self.operator.clone();
        let read = self
            .readers
            .read(operator.clone(), move |view| Ok(view.status(&limits)?));
        let status = Arc::new(read.await?);
        *self.last_status.0.lock() = Some((Instant::now(), Arc::clone(&status)));
        let checks = status.new_checks();
        if let (false, Ok(host)) = (checks.is_empty(), self.host().cloned()) {
            let noted = blocking(move || {
                let store = host.store();
                Ok(store.admin(&operator, |admin| admin.note_checks(&checks))?)
            });
            if let Err(error) = noted.await {
                tracing::debug!(
                    detail = error.problem.detail,
                    "the results of checks were not noted"
                );
            }
        }
        Ok(status)
    }
}

/// How old counts of all flows may be: a million of them take some 50 ms.
const COUNTED: Duration = Duration::from_secs(5);

/// The last counts, and when they were made.
#[derive(Default)]
pub(crate) struct LastCounts(Mutex<Option<(Instant, Arc<FlowCounts>)>>);

impl App {
    /// Counts the flows of all projects by their states, as of a moment ago.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn flow_counts(&self) -> Result<Arc<FlowCounts>, ApiError> {
        if let Some((at, counts)) = &*self.last_counts.0.lock()
            && at.elapsed() < COUNTED
        {
            return Ok(Arc::clone(counts));
        }
        let read = self.readers.read(self.operator.clone(), |view| {
            Ok(view.flow_counts(None, None)?)
        });
        let counts = Arc::new(read.await?);
        *self.last_counts.0.lock() = Some((Instant::now(), Arc::clone(&counts)));
        Ok(counts)
    }
}
