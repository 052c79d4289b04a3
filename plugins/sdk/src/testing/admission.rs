use serde_json::Value;

use super::FakeHost;
use crate::{Decision, Error, Policy, Validator, Violation, policy_check, validator};

impl FakeHost {
    /// Asks a policy as the host does: with the settings, and through JSON.
    ///
    /// # Errors
    /// The policy's error, or `InvalidSettings` or `InvalidInput` when the settings or the target do not deserialize.
    /// Each denies.
    pub fn check<P: Policy>(&self, action: &str, target: Value) -> Result<Decision, Error> {
        let settings = self.state.borrow().settings.to_string();
        self.run(|| policy_check::check::<P>(&settings, action, &target.to_string()))
    }

    /// Asks a validator as the host does: with the settings, and through JSON.
    ///
    /// # Errors
    /// The validator's error, or `InvalidSettings`.
    pub fn validate<V: Validator>(&self, inputs: Value) -> Result<Vec<Violation>, Error> {
        let settings = self.state.borrow().settings.to_string();
        self.run(|| validator::validate::<V>(&settings, &inputs.to_string()))
    }
}
