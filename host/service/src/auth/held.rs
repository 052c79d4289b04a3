//! Sessions that were opened while the database cannot be written to: kept by this process until it can.

use std::collections::HashMap;
use std::time::Duration;

use cairn::clock::Timestamp;
use cairn::store::tokens::Session;
use cairn::value::Digest;
use parking_lot::Mutex;

/// How many sessions are kept; one more replaces the one that was not used for the longest time.
const MOST: usize = 1_000;

/// Holds sessions by the digests of their cookies.
#[derive(Default)]
pub(super) struct HeldSessions(Mutex<HashMap<Digest, Held>>);

struct Held {
    session: Session,
    /// Whether a request is writing it to the database.
    is_moving: bool,
}

impl HeldSessions {
    /// Keeps a session. Forgets those that were last used before `idle_since`.
    pub(super) fn keep(&self, digest: Digest, session: Session, idle_since: Timestamp) {
        let mut held = self.0.lock();
        held.retain(|_, held| held.session.seen_at >= idle_since);
        if held.len() >= MOST {
            let oldest = held.iter().min_by_key(|(_, held)| held.session.seen_at);
            let oldest = oldest.map(|(digest, _)| *digest);
            oldest.and_then(|digest| held.remove(&digest));
        }
        let is_moving = false;
        held.insert(digest, Held { session, is_moving });
    }

    /// Returns a session that was used within `idle`.
    pub(super) fn find(&self, digest: Digest, now: Timestamp, idle: Duration) -> Option<Session> {
        let mut held = self.0.lock();
        let found = held.get(&digest)?;
        if now.since(found.session.seen_at) > idle {
            held.remove(&digest);
            return None;
        }
        Some(found.session.clone())
    }

    /// Records that a session is in use.
    pub(super) fn touch(&self, digest: Digest, now: Timestamp) {
        if let Some(found) = self.0.lock().get_mut(&digest) {
            found.session.seen_at = now;
        }
    }

    /// Claims a session that is to be written to the database; `None` if it is not held, or another request has claimed it.
    pub(super) fn claim(&self, digest: Digest) -> Option<Session> {
        let mut held = self.0.lock();
        let found = held.get_mut(&digest).filter(|found| !found.is_moving)?;
        found.is_moving = true;
        Some(found.session.clone())
    }

    /// Gives a claimed session back, as it could not be written.
    pub(super) fn unclaim(&self, digest: Digest) {
        if let Some(found) = self.0.lock().get_mut(&digest) {
            found.is_moving = false;
        }
    }

    /// Forgets a session; returns whether it was held.
    pub(super) fn remove(&self, digest: Digest) -> bool {
        self.0.lock().remove(&digest).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn session(seen_at: Timestamp) -> Session {
        Session {
            token: None,
            user_id: "ann".to_owned(),
            project_id: "acme".to_owned(),
            created_at: seen_at,
            seen_at,
        }
    }

    fn digest(number: usize) -> Digest {
        Digest::of(number.to_string().as_bytes())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000_000).after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_session_lasts_as_long_as_it_is_used() {
        let held = HeldSessions::default();
        held.keep(digest(1), session(at(0)), at(0));
        assert!(held.find(digest(2), at(1), IDLE).is_none());
        for seconds in [50, 100, 150] {
            assert!(held.find(digest(1), at(seconds), IDLE).is_some());
            held.touch(digest(1), at(seconds));
        }
        assert!(held.find(digest(1), at(200), IDLE).is_some());
        assert!(held.find(digest(1), at(211), IDLE).is_none());
        assert!(!held.remove(digest(1)), "it is forgotten");
    }

    #[test]
    fn only_so_many_are_kept_and_the_ones_in_use_stay() {
        let held = HeldSessions::default();
        for number in 0..MOST {
            held.keep(digest(number), session(at(number as u64 / 100)), at(0));
        }
        held.touch(digest(0), at(20));
        held.keep(digest(MOST), session(at(20)), at(0));
        assert_eq!(held.0.lock().len(), MOST);
        assert!(held.find(digest(0), at(21), IDLE).is_some());
        assert!(held.find(digest(MOST), at(21), IDLE).is_some());
        held.keep(digest(1), session(at(30)), at(20));
        assert_eq!(held.0.lock().len(), 3, "what is idle is forgotten");
    }

    #[test]
    fn one_request_writes_a_session() {
        let held = HeldSessions::default();
        held.keep(digest(1), session(at(0)), at(0));
        assert!(held.claim(digest(1)).is_some());
        assert!(held.claim(digest(1)).is_none());
        assert!(
            held.find(digest(1), at(1), IDLE).is_some(),
            "it is still there"
        );
        held.unclaim(digest(1));
        assert!(held.claim(digest(1)).is_some());
        assert!(held.remove(digest(1)) && held.claim(digest(1)).is_none());
    }
}
