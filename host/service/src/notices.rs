//! What became of operations that took longer than the page that asked for them waits: remembered for the person who asked, in this process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn::clock::{Clock as _, SystemClock, Timestamp};
use cairn::{FlowId, Identity};
use parking_lot::Mutex;

use crate::error::ApiError;

/// How many operations are remembered, of all persons; the oldest one is forgotten first.
const MOST: usize = 1_000;

/// How long a failure is shown.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// The operations that persons asked for, and whose outcomes they may not have seen.
#[derive(Default)]
pub(crate) struct Notices {
    last: AtomicU64,
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    number: u64,
    flow: FlowId,
    user_id: String,
    project_id: String,
    notice: Notice,
    /// When it failed.
    ended: Option<Instant>,
}

/// An operation that goes on, or has failed.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// The operation's name.
    pub(crate) operation: &'static str,
    /// When it was asked for.
    pub(crate) at: Timestamp,
    /// Why it failed; `None` while it goes on.
    pub(crate) failure: Option<Failure>,
}

/// Why an operation failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// One word.
    pub(crate) kind: String,
    /// What is wrong, in one sentence.
    pub(crate) detail: String,
    /// What helps, if that is known.
    pub(crate) help: Option<String>,
}

impl Notices {
    /// Notes that a person has asked for an operation; what was noted of the same person and flow before is forgotten. Returns its number.
    pub(crate) fn begin(&self, flow: FlowId, asker: &Identity, operation: &'static str) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        kept.retain(|one| !one.is_of(flow, asker) && !one.is_old());
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(Kept {
            number,
            flow,
            user_id: asker.user_id.clone(),
            project_id: asker.project_id.clone(),
            notice: Notice {
                operation,
                at: SystemClock.now(),
                failure: None,
            },
            ended: None,
        });
        number
    }

    /// Notes that an operation has failed.
    pub(crate) fn failed(&self, number: u64, error: &ApiError) {
        let problem = &error.problem;
        let mut kept = self.kept.lock();
        if let Some(one) = kept.iter_mut().find(|one| one.number == number) {
            one.notice.failure = Some(Failure {
                kind: problem.kind.clone(),
                detail: problem.detail.clone(),
                help: problem.help.clone(),
            });
            one.ended = Some(Instant::now());
        }
    }

    /// Forgets an operation: it is done, or its outcome was shown.
    pub(crate) fn forget(&self, number: u64) {
        self.kept.lock().retain(|one| one.number != number);
    }

    /// Returns the last operation on a flow that a person asked for, if it goes on, or has failed lately.
    pub(crate) fn of(&self, flow: FlowId, asker: &Identity) -> Option<Notice> {
        let kept = self.kept.lock();
        let found = kept
            .iter()
            .find(|one| one.is_of(flow, asker) && !one.is_old());
        found.map(|one| one.notice.clone())
    }
}

impl Kept {
    fn is_of(&self, flow: FlowId, asker: &Identity) -> bool {
        self.flow == flow && self.user_id == asker.user_id && self.project_id == asker.project_id
    }

    fn is_old(&self) -> bool {
        self.ended.is_some_and(|ended| ended.elapsed() > KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> ApiError {
        ApiError::bad("InvalidState", "it has passed its pivot")
    }

    #[test]
    fn a_failure_is_kept_for_the_person_who_asked() {
        let (notices, flow) = (Notices::default(), FlowId::new());
        let (ann, bob) = (Identity::new("ann", "acme"), Identity::new("bob", "acme"));
        let number = notices.begin(flow, &ann, "rollback");
        assert!(notices.of(flow, &ann).unwrap().failure.is_none());
        notices.failed(number, &error());
        let failure = notices.of(flow, &ann).unwrap().failure.unwrap();
        assert_eq!(failure.detail, "it has passed its pivot");
        assert!(notices.of(flow, &bob).is_none() && notices.of(FlowId::new(), &ann).is_none());
        // Another operation of the same person takes its place.
        let again = notices.begin(flow, &ann, "resume");
        notices.failed(number, &error());
        assert!(notices.of(flow, &ann).unwrap().failure.is_none());
        notices.forget(again);
        assert!(notices.of(flow, &ann).is_none());
    }

    #[test]
    fn only_so_many_are_kept() {
        let (notices, ann) = (Notices::default(), Identity::new("ann", "acme"));
        let first = FlowId::new();
        notices.begin(first, &ann, "resume");
        for _ in 0..MOST {
            notices.begin(FlowId::new(), &ann, "resume");
        }
        assert_eq!(notices.kept.lock().len(), MOST);
        assert!(notices.of(first, &ann).is_none());
    }
}
