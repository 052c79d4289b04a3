//! Counts the visits of points, and aborts the process at one of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use signal_hook::consts::SIGSTOP;

use super::{Death, Visits};

static DEATH: OnceLock<(Option<Death>, bool)> = OnceLock::new();
static VISITS: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

/// Says where this process dies, or is stopped.
pub(super) fn die_at(death: Option<Death>, stops: bool) {
    DEATH.get_or_init(|| (death, stops));
}

/// Counts a visit; does not return from that at which the process is to die, and from that at which it is stopped when it goes on.
pub(super) fn visit(point: &'static str) {
    let time = {
        let mut visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
        let times = visits.entry(point).or_default();
        *times += 1;
        *times
    };
    if let Some((Some(death), stops)) = DEATH.get()
        && death.point == point
        && death.time == time
    {
        if !stops {
            std::process::abort();
        }
        // All threads stop until the process receives SIGCONT.
        if let Err(error) = signal_hook::low_level::raise(SIGSTOP) {
            eprintln!("the process cannot be stopped: {error}");
            std::process::abort();
        }
    }
}

/// Returns how often each point was visited.
pub(super) fn visits() -> Vec<Visits> {
    let visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
    let visits = visits.iter().map(|(point, times)| Visits {
        point: (*point).to_owned(),
        times: *times,
    });
    visits.collect()
}
