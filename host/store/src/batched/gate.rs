//! The lock of the writer. An effect holds it for microseconds, a commit for hundreds of microseconds. A thread that finds it held
//! spins for a moment before it sleeps, because a wake-up costs more than most effects. No thread spins during a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use cairn_model::stall;

/// How long a thread spins: the time of a few effects.
const MOMENT: Duration = Duration::from_micros(50);

/// Spins between two reads of the clock.
const LOOKS: usize = 32;

/// A lock whose holder signals a long operation.
pub(super) struct Gate<T> {
    inside: Mutex<T>,
    long: Arc<AtomicBool>,
    /// Whether a thread spins. Only one does: more would take processors from the holder.
    watched: AtomicBool,
    /// Whether there is only one processor, which a spinning thread would take from the holder.
    alone: bool,
}

impl<T> Gate<T> {
    /// Creates a lock around `inside`, whose holder sets `long` during a long operation.
    pub(super) fn before(inside: T, long: Arc<AtomicBool>) -> Self {
        Self {
            inside: Mutex::new(inside),
            long,
            watched: AtomicBool::new(false),
            alone: std::thread::available_parallelism()
                .is_ok_and(|processors| processors.get() == 1),
        }
    }

    /// Acquires the lock.
    pub(super) fn enter(&self) -> MutexGuard<'_, T> {
        if let Some(inside) = self.inside.try_lock() {
            return inside;
        }
        if !self.alone && !self.watched.swap(true, Ordering::Relaxed) {
            self.look_again();
            self.watched.store(false, Ordering::Relaxed);
        }
        stall::during(|| self.inside.lock())
    }

    /// Spins until the lock is free or its holder signals a long operation. Returns whether it gave up after [`MOMENT`].
    fn look_again(&self) -> bool {
        let until = Instant::now() + MOMENT;
        while Instant::now() < until {
            for _ in 0..LOOKS {
                if !self.inside.is_locked() || self.long.load(Ordering::Relaxed) {
                    return false;
                }
                std::hint::spin_loop();
            }
        }
        true
    }
}

/// Signals a long operation of the lock's holder until it is dropped.
pub(super) struct Long(Arc<AtomicBool>);

impl Long {
    pub(super) fn begin(long: &Arc<AtomicBool>) -> Self {
        long.store(true, Ordering::Relaxed);
        Self(Arc::clone(long))
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn one_after_the_other_is_inside() {
        let gate = Gate::before(0_u32, Arc::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let mut inside = gate.enter();
                        let before = *inside;
                        std::hint::black_box(&inside);
                        *inside = before + 1;
                    }
                });
            }
        });
        assert_eq!(*gate.enter(), 4000);
    }

    #[test]
    fn nobody_looks_at_what_takes_long_or_is_free() {
        let gate = Gate::before((), Arc::default());
        assert!(!gate.look_again());
        let inside = gate.enter();
        assert!(gate.look_again());
        let long = Long::begin(&gate.long);
        assert!(!gate.look_again());
        drop(long);
        assert!(gate.look_again());
        drop(inside);
    }

    #[test]
    fn who_waited_long_gets_in() {
        let gate = Gate::before((), Arc::default());
        let (arrived, entered, inside) = (channel(), channel(), gate.enter());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                arrived.0.send(()).unwrap();
                drop(gate.enter());
                entered.0.send(()).unwrap();
            });
            arrived.1.recv().unwrap();
            assert!(entered.1.recv_timeout(1000 * MOMENT).is_err());
            drop(inside);
            assert!(entered.1.recv().is_ok());
        });
    }
}
