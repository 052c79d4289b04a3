//! Availability zones.

use crate::Error;
use crate::host::zones;

/// Returns whether volumes may be placed in `zone`.
///
/// # Errors
/// An error of the host's lookup.
pub fn valid(zone: &str) -> Result<bool, Error> {
    Ok(zones::valid(zone)?)
}

/// Returns the zone of volumes whose request names none.
pub fn default() -> String {
    zones::default()
}
