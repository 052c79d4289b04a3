//! The sources of variation that a case allows for its plugin.

use serde::Deserialize;

/// A source that differs between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Varies {
    /// The clock.
    Clock,
    /// Random numbers.
    Randomness,
}
