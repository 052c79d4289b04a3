//! Availability zones.

use crate::Error;
use crate::host::zones;

/// Whether volumes may be placed in `zone`.
///
/// # Errors
/// Whatever the host cannot answer for.
pub fn valid(zone: &str) -> Result<bool, Error> {
    Ok(zones::valid(zone)?)
}

/// Where a volume goes when nobody says otherwise.
pub fn default() -> String {
    zones::default()
}
