//! What the answers and requests of a plugin may depend on, by what its case says.

use serde::Deserialize;

/// What may be different each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Varies {
    /// What the clock says.
    Clock,
    /// Random numbers.
    Randomness,
}
