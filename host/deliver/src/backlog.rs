//! How many messages each project has undelivered, so that one whose receivers are gone does not fill the database.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use cairn_model::error::TaskError;
use cairn_store::deliver::Outbox;

/// Counts are used for so long.
const FRESH: Duration = Duration::from_secs(1);

/// They are not taken more often than this.
const AGAIN: Duration = Duration::from_millis(100);

/// Counts of undelivered messages. They are taken from the database now and then, not once a flow: between two counts each flow that begins
/// counts as one message.
pub(crate) struct Backlog {
    most: u64,
    counts: Mutex<Counts>,
}

struct Counts {
    outbox: Box<dyn Outbox>,
    taken: Option<Instant>,
    undelivered: BTreeMap<String, u64>,
    /// Flows that began since.
    begun: HashMap<String, u64>,
}

impl Backlog {
    pub(crate) fn new(outbox: Box<dyn Outbox>, most: u64) -> Self {
        Self {
            most,
            counts: Mutex::new(Counts {
                outbox,
                taken: None,
                undelivered: BTreeMap::new(),
                begun: HashMap::new(),
            }),
        }
    }

    /// Admits a flow of a project.
    ///
    /// # Errors
    /// `Backlog` when too many of the project's messages are undelivered.
    pub(crate) fn admit(&self, project: &str) -> Result<(), TaskError> {
        let mut counts = self.counts.lock();
        let age = counts.taken.map(|taken| taken.elapsed());
        let is_over = counts.of(project) >= self.most;
        let is_old = age.is_none_or(|age| age >= FRESH || (is_over && age >= AGAIN));
        if is_old && !counts.take() {
            // A database that cannot be read refuses the flow itself.
            return Ok(());
        }
        let undelivered = counts.of(project);
        if undelivered >= self.most {
            let message = format!(
                "project `{project}` has {undelivered} undelivered messages, and may have {}",
                self.most
            );
            return Err(TaskError::new("Backlog", message)
                .with("undelivered", undelivered)
                .with("most", self.most));
        }
        match counts.begun.get_mut(project) {
            Some(begun) => *begun += 1,
            None => drop(counts.begun.insert(project.to_owned(), 1)),
        }
        Ok(())
    }

    /// How many messages are `sending`; 0 when the database cannot be read.
    pub(crate) fn sending(&self) -> u64 {
        let sending = self.counts.lock().outbox.sending();
        sending.unwrap_or_else(|error| {
            tracing::warn!(%error, "messages that are to be delivered cannot be counted");
            0
        })
    }
}

impl Counts {
    fn of(&self, project: &str) -> u64 {
        let undelivered = self.undelivered.get(project).copied().unwrap_or(0);
        undelivered + self.begun.get(project).copied().unwrap_or(0)
    }

    /// Counts, and returns whether that succeeded.
    fn take(&mut self) -> bool {
        match self.outbox.undelivered() {
            Ok(undelivered) => {
                self.undelivered = undelivered;
                self.begun.clear();
                self.taken = Some(Instant::now());
                true
            }
            Err(error) => {
                tracing::warn!(%error, "undelivered messages cannot be counted");
                false
            }
        }
    }
}
