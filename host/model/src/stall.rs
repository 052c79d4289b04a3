//! How long a thread has waited for the host's database. A task is not to blame for these waits, so they do not count towards its call's deadline.
//!
//! The time belongs to the thread, not to an argument of every function between a plugin and its database: a call runs on one thread from
//! its beginning to its end.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static TOTAL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Whether an outer wait counts already.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `wait`, and adds its time to that of this thread's waits.
pub fn during<T>(wait: impl FnOnce() -> T) -> T {
    /// Ends the wait, also when it panics.
    struct Ends(Instant);

    impl Drop for Ends {
        fn drop(&mut self) {
            COUNTS.set(false);
            TOTAL.set(TOTAL.get() + self.0.elapsed());
        }
    }

    if COUNTS.replace(true) {
        return wait();
    }
    let _ends = Ends(Instant::now());
    wait()
}

/// Returns how long this thread has waited since it began. Meaningful as a difference of two answers.
pub fn total() -> Duration {
    TOTAL.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAP: Duration = Duration::from_millis(20);

    fn nap() {
        std::thread::sleep(NAP);
    }

    #[test]
    fn only_waits_of_this_thread_count_and_each_counts_once() {
        nap();
        std::thread::spawn(|| during(nap)).join().unwrap();
        assert_eq!(total(), Duration::ZERO);
        let since = Instant::now();
        during(|| during(nap));
        let waited = total();
        assert!((NAP..=since.elapsed()).contains(&waited), "{waited:?}");
        nap();
        assert_eq!(total(), waited);
    }

    #[test]
    fn a_wait_that_panics_ends() {
        assert!(std::panic::catch_unwind(|| during(|| panic!("lost"))).is_err());
        let before = total();
        nap();
        assert_eq!(total(), before);
        during(nap);
        assert!(total() >= before + NAP);
    }
}
