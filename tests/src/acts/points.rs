//! Counts the visits of points, and aborts the process at one of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{Death, Visits};

static DEATH: OnceLock<Option<Death>> = OnceLock::new();
static VISITS: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

/// Says where this process dies.
pub(super) fn die_at(death: Option<Death>) {
    DEATH.get_or_init(|| death);
}

/// Counts a visit; does not return from that at which the process is to die.
pub(super) fn visit(point: &'static str) {
    let time = {
        let mut visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
        let times = visits.entry(point).or_default();
        *times += 1;
        *times
    };
    if let Some(Some(death)) = DEATH.get()
        && death.point == point
        && death.time == time
    {
        std::process::abort();
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
