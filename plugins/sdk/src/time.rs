//! What time it is, from a clock that a test can set.

use std::time::SystemTime;

/// Now. In a component the clock of WASI, in a native test what
/// [`FakeHost::now`](crate::testing::FakeHost::now) says.
///
/// Ask for it only where nothing else will do: a call that asks the host for other things each time breaks the law
/// `same-requests` of `cairn plugin test --laws`, unless its cases say `varies_with = ["clock"]`. So does a policy whose answer is
/// another each time, for the law `same-answer`; a validator's may never be.
pub fn now() -> SystemTime {
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::now();
    #[cfg(target_arch = "wasm32")]
    SystemTime::now()
}
