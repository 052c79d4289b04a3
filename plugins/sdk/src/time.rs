//! The current time, from a clock that a test can set.

use std::time::SystemTime;

/// Returns the current time: in a component from the clock of WASI, in a native test from [`FakeHost::now`](crate::testing::FakeHost::now).
///
/// Use it sparingly: a call whose host calls differ between runs breaks the law `same-requests` of `cairn plugin test --laws`, unless its
/// cases say `varies_with = ["clock"]`. A policy whose answer changes with the time breaks the law `same-answer` unless its cases say so; a
/// validator's answer must never depend on the time.
pub fn now() -> SystemTime {
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::now();
    #[cfg(target_arch = "wasm32")]
    SystemTime::now()
}
