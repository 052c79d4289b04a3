//! Random numbers, from a source that a test can seed.

/// Returns a random number, for unique names. Not for secrets: the host creates keys (see [`keys`](crate::keys)). In a
/// component it comes from WASI's randomness, in a native test from [`FakeHost::seed`](crate::testing::FakeHost::seed).
///
/// Use it sparingly: a call whose host calls differ between runs breaks the law `same-requests` of
/// `cairn plugin test --laws`, unless its cases say `varies_with = ["randomness"]`.
pub fn number() -> u64 {
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::random();
    #[cfg(target_arch = "wasm32")]
    {
        use std::hash::BuildHasher as _;
        // The only stable source of randomness in the standard library: every `RandomState` has different keys.
        std::collections::hash_map::RandomState::new().hash_one(0)
    }
}
