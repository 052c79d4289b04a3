//! The way to the writer. An effect takes it for microseconds, a commit for hundreds of them. Whoever finds it taken looks again for a
//! moment before it sleeps: to be woken costs more than most effects do. Nobody waits for a commit in this way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// How long somebody looks again: a few effects.
const MOMENT: Duration = Duration::from_micros(50);

/// Between two looks at the clock.
const LOOKS: usize = 32;

/// A lock whose holder says when it takes long.
pub(super) struct Gate<T> {
    inside: Mutex<T>,
    long: Arc<AtomicBool>,
    /// Somebody looks already. One is enough: more of them keep processors from whoever is inside.
    watched: AtomicBool,
    /// Alone on one processor, whoever looks keeps it from whoever is inside.
    alone: bool,
}

impl<T> Gate<T> {
    /// Before something whose holder sets `long` while it takes long.
    pub(super) fn before(inside: T, long: Arc<AtomicBool>) -> Self {
        Self {
            inside: Mutex::new(inside),
            long,
            watched: AtomicBool::new(false),
            alone: std::thread::available_parallelism()
                .is_ok_and(|processors| processors.get() == 1),
        }
    }

    /// Waits until nobody is inside.
    pub(super) fn enter(&self) -> MutexGuard<'_, T> {
        if let Some(inside) = self.inside.try_lock() {
            return inside;
        }
        if !self.alone && !self.watched.swap(true, Ordering::Relaxed) {
            self.look_again();
            self.watched.store(false, Ordering::Relaxed);
        }
        self.inside.lock()
    }

    /// Says whether it looked for the whole moment.
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

/// While it lives, whoever is inside takes long.
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
