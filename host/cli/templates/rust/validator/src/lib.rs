//! Reports a size in a request that is out of bounds.

use cairn_plugin::{Error, Validator, Violation};
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings, from the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sizes {
    /// The largest size, in GiB.
    most: u64,
}

/// The fields of a request that the validator uses.
#[derive(Deserialize)]
struct Inputs {
    size: u64,
}

impl Validator for Sizes {
    type Inputs = Inputs;

    fn validate(&self, inputs: Inputs) -> Result<Vec<Violation>, Error> {
        let mut violations = Vec::new();
        if inputs.size == 0 {
            violations.push(Violation::new("/size", "must be at least 1 GiB"));
        }
        if inputs.size > self.most {
            violations.push(Violation::new("/size", format!("must be at most {} GiB", self.most)));
        }
        Ok(violations)
    }
}

cairn_plugin::export_validator!(Sizes);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn violations(size: i64) -> usize {
        let host = FakeHost::new().settings(json!({"most": 100}));
        host.validate::<Sizes>(json!({"size": size})).unwrap().len()
    }

    #[test]
    fn a_size_within_its_bounds_is_accepted() {
        assert_eq!(violations(100), 0);
    }

    #[test]
    fn a_size_out_of_its_bounds_is_a_violation() {
        assert_eq!((violations(0), violations(101), violations(-1)), (1, 1, 1));
    }
}
