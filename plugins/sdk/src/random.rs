//! Random numbers, from a source that a test can set.

/// A random number, for names that should differ, and not for secrets: keys are the host's to make (see
/// [`keys`](crate::keys)). In a component from the randomness of WASI, in a native test from
/// [`FakeHost::seed`](crate::testing::FakeHost::seed).
///
/// Ask for it only where nothing else will do: a call that asks the host for other things each time breaks the law
/// `same-requests` of `cairn plugin test --laws`, unless its cases say `varies_with = ["randomness"]`.
pub fn number() -> u64 {
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::random();
    #[cfg(target_arch = "wasm32")]
    {
        use std::hash::BuildHasher as _;
        // The standard library's only stable door to randomness: each of these has keys of its own.
        std::collections::hash_map::RandomState::new().hash_one(0)
    }
}
