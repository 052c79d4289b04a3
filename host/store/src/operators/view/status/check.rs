//! Checks by domains that are too slow to run whenever their result is asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use cairn_model::clock::{self, Timestamp};

use crate::StoreError;
use crate::operators::facts;
use crate::view::View;

/// How old the result of a check may be.
const FRESH: Duration = Duration::from_secs(600);

/// A check of a domain's rows in the whole database, such as that usages equal bookings. A domain registers it among its
/// [services](cairn_effects::rows::Services) as `Box<dyn Check>`.
pub trait Check: Send + Sync {
    /// Returns its name, such as `quota`: the fact `NAME-check` holds its last result.
    fn name(&self) -> &'static str;

    /// Runs the check, and returns how many differences it found.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn run(&self, view: &View<'_>) -> Result<u64, StoreError>;

    /// Returns a sentence for this number of differences, which is not 0.
    fn sentence(&self, differences: u64) -> String;

    /// Returns the command that helps.
    fn command(&self) -> &'static str;
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The check's name.
    pub name: &'static str,
    /// When it ran.
    #[serde(serialize_with = "clock::as_text")]
    pub at: Timestamp,
    /// How many differences it found.
    pub differences: u64,
    /// Whether it ran just now, so that the result is not noted.
    #[serde(skip)]
    pub is_new: bool,
}

/// A result as the fact holds it.
#[derive(Serialize, Deserialize)]
struct Noted {
    at: String,
    differences: u64,
}

impl CheckResult {
    /// Creates the result of a check that ran at `at`.
    pub fn new(name: &'static str, at: Timestamp, differences: u64) -> Self {
        Self {
            name,
            at,
            differences,
            is_new: true,
        }
    }

    /// Returns the name of the fact that holds the last result of a check.
    pub(crate) fn fact(name: &str) -> String {
        format!("{name}-check")
    }

    /// Returns the value of the fact.
    pub(crate) fn noted(&self) -> String {
        let noted = Noted {
            at: self.at.to_string(),
            differences: self.differences,
        };
        serde_json::to_string(&noted).unwrap_or_default()
    }

    fn read(name: &'static str, noted: &str) -> Option<Self> {
        let noted: Noted = serde_json::from_str(noted).ok()?;
        Some(Self {
            name,
            at: noted.at.parse().ok()?,
            differences: noted.differences,
            is_new: false,
        })
    }
}

/// Returns the result of each check: the noted one if it is at most ten minutes old, else that of a run.
pub(super) fn results<'v>(
    view: &View<'v>,
) -> Result<Vec<(&'v dyn Check, CheckResult)>, StoreError> {
    let checks = view.services().all::<Box<dyn Check>>();
    let results = checks.map(|check| {
        let result = result(view, &**check)?;
        Ok((&**check, result))
    });
    results.collect()
}

fn result(view: &View<'_>, check: &dyn Check) -> Result<CheckResult, StoreError> {
    let now = view.now();
    let noted = facts::fact(view.sql(), &CheckResult::fact(check.name()))?;
    let noted = noted.and_then(|noted| CheckResult::read(check.name(), &noted));
    // A result from the future is not trusted: the clock was set back.
    match noted.filter(|noted| noted.at <= now && now.since(noted.at) <= FRESH) {
        Some(noted) => Ok(noted),
        None => Ok(CheckResult::new(check.name(), now, check.run(view)?)),
    }
}
