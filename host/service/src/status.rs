//! Whether anything needs a person: remembered for a moment, because probes and pages ask often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::Identity;
use cairn::status::StatusLimits;
use cairn::store::view::{FlowCounts, Status};
use parking_lot::Mutex;

use crate::error::ApiError;
use crate::readers::{Readers, blocking};
use crate::runner::Runner;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// How old counts of all flows may be: a million of them take some 50 ms.
const COUNTED: Duration = Duration::from_secs(5);

/// An answer, and when it was found.
type Last<T> = Mutex<Option<(Instant, Arc<T>)>>;

/// Looks at the whole database.
pub(crate) struct Oversight {
    readers: Arc<Readers>,
    runner: Arc<Runner>,
    operator: Identity,
    limits: StatusLimits,
    last_status: Last<Status>,
    last_counts: Last<FlowCounts>,
}

impl Oversight {
    pub(crate) fn new(
        readers: Arc<Readers>,
        runner: Arc<Runner>,
        operator: Identity,
        limits: StatusLimits,
    ) -> Self {
        Self {
            readers,
            runner,
            operator,
            limits,
            last_status: Mutex::default(),
            last_counts: Mutex::default(),
        }
    }

    /// Returns what needs a person, as of a moment ago.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn status(&self) -> Result<Arc<Status>, ApiError> {
        if let Some((at, status)) = &*self.last_status.lock()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(status));
        }
        let limits = self.limits;
        let operator = self.operator.clone();
        let read = self
            .readers
            .read(operator.clone(), move |view| Ok(view.status(&limits)?));
        let status = Arc::new(read.await?);
        *self.last_status.lock() = Some((Instant::now(), Arc::clone(&status)));
        let checks = status.new_checks();
        if let (false, Ok(host)) = (checks.is_empty(), self.runner.host().cloned()) {
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

    /// Forgets the last status, as what it looked at was repaired.
    pub(crate) fn forget(&self) {
        *self.last_status.lock() = None;
    }

    /// Counts the flows of all projects by their states, as of a moment ago.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn flow_counts(&self) -> Result<Arc<FlowCounts>, ApiError> {
        if let Some((at, counts)) = &*self.last_counts.lock()
            && at.elapsed() < COUNTED
        {
            return Ok(Arc::clone(counts));
        }
        let read = self.readers.read(self.operator.clone(), |view| {
            Ok(view.flow_counts(None, None)?)
        });
        let counts = Arc::new(read.await?);
        *self.last_counts.lock() = Some((Instant::now(), Arc::clone(&counts)));
        Ok(counts)
    }
}
