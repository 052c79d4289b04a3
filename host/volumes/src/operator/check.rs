use cairn_store::StoreError;
use cairn_store::view::{Check, View};

use super::ReadVolumes as _;

/// The name of the check that usages equal bookings and open reservations, in the status of the database.
pub const QUOTA_CHECK: &str = "quota";

/// The check, for the status of the database.
struct QuotaCheck;

/// Returns the check, as a service of the domain.
pub fn quota_check() -> Box<dyn Check> {
    Box::new(QuotaCheck)
}

impl Check for QuotaCheck {
    fn name(&self) -> &'static str {
        QUOTA_CHECK
    }

    fn run(&self, view: &View<'_>) -> Result<u64, StoreError> {
        Ok(view.quota_drift(None)?.len() as u64)
    }

    fn sentence(&self, differences: u64) -> String {
        match differences {
            1 => "1 usage differs from what is booked and reserved".to_owned(),
            _ => format!("{differences} usages differ from what is booked and reserved"),
        }
    }

    fn command(&self) -> &'static str {
        "cairn quota check --admin"
    }
}
