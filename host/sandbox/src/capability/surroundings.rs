use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use cairn_model::value::Digest;

/// The clocks and the randomness that plugins get from WASI instead of the machine's: the same for each instance of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Time of the wall clock, since 1970. It does not advance.
    pub now: Duration,
    /// Seed of all randomness.
    pub seed: u64,
}

impl Surroundings {
    pub(super) fn apply(self, builder: &mut WasiCtxBuilder) {
        builder
            .wall_clock(Wall(self.now))
            .monotonic_clock(Monotonic::default())
            .secure_random(Deterministic::new(self.bytes("secure")))
            .insecure_random(Deterministic::new(self.bytes("insecure")))
            .insecure_random_seed(u128::from(self.seed));
    }

    /// Returns random bytes, which repeat when they are used up; no plugin under test needs so many.
    fn bytes(self, purpose: &str) -> Vec<u8> {
        (0_u32..256)
            .flat_map(|block| Digest::of(format!("{purpose} {} {block}", self.seed).as_bytes()).0)
            .collect()
    }
}

/// The machine's wall clock. A clock set before 1970, at which that of WASI panics, reads as 1970.
pub(super) struct MachineClock;

impl HostWallClock for MachineClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default()
    }
}

struct Wall(Duration);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A clock that advances with every read, so that a plugin that waits for it makes progress.
#[derive(Default)]
struct Monotonic(AtomicU64);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        /// Nanoseconds.
        const STEP: u64 = 1_000_000;
        self.0.fetch_add(STEP, Ordering::Relaxed)
    }
}
