//! How many flows there are in each state: of all, and of those of the last hour. Remembered for a moment, because pages ask often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::Identity;
use cairn::store::view::FlowCounts;
use parking_lot::Mutex;

use crate::error::ApiError;
use crate::readers::Readers;

/// How old a count may be.
const FRESH: Duration = Duration::from_secs(1);

/// A count may be so many times as old as it took to count.
const SPARE: u32 = 50;

/// The most projects whose counts are remembered.
const MOST: usize = 1_000;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// How many flows there are.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) all: FlowCounts,
    /// Those of the last hour.
    pub(crate) hour: FlowCounts,
    /// How many were asked for in the last minute.
    pub(crate) minute: u64,
}

/// The last counts, by the project whose flows were counted.
pub(crate) struct LastCounters {
    readers: Arc<Readers>,
    known: Mutex<HashMap<Option<String>, Known>>,
}

#[derive(Clone)]
struct Known {
    counters: Arc<Counters>,
    until: Instant,
}

impl LastCounters {
    pub(crate) fn new(readers: Arc<Readers>) -> Self {
        Self {
            readers,
            known: Mutex::default(),
        }
    }

    /// Counts the flows of a project, or all of them.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn of(&self, project: Option<String>) -> Result<Arc<Counters>, ApiError> {
        let known = self.known.lock().get(&project).cloned();
        if let Some(known) = known
            && Instant::now() < known.until
        {
            return Ok(known.counters);
        }
        let counted = project.clone();
        // Else the view counts those of the caller's project.
        let counter = Identity {
            is_admin: true,
            ..Identity::default()
        };
        let begun = Instant::now();
        let read = self.readers.read(counter, move |view| {
            let counted = counted.as_deref();
            let since = |time: Duration| Some(view.now().before(time));
            Ok(Counters {
                all: view.flow_counts(counted, None)?,
                hour: view.flow_counts(counted, since(HOUR))?,
                minute: view.flow_counts(counted, since(MINUTE))?.total(),
            })
        });
        let counters = Arc::new(read.await?);
        let mut all = self.known.lock();
        if all.len() >= MOST {
            all.clear();
        }
        let known = Known {
            counters: Arc::clone(&counters),
            until: Instant::now() + FRESH.max(begun.elapsed() * SPARE),
        };
        all.insert(project, known);
        Ok(counters)
    }
}
