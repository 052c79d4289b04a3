//! A validator that gives the same question another answer for the one reason that its settings name.

use cairn_plugin::{Error, Validator, Violation, context, random, time};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fickle {
    by: By,
}

/// What its answer leans on, besides the question.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum By {
    /// Nothing.
    Nothing,
    Clock,
    Randomness,
    Requester,
}

impl Validator for Fickle {
    type Inputs = Value;

    /// Finds everything wrong, with what it must not lean on.
    fn validate(&self, inputs: Value) -> Result<Vec<Violation>, Error> {
        let more = match self.by {
            By::Nothing => String::new(),
            By::Clock => format!("{:?}", time::now()),
            By::Randomness => random::number().to_string(),
            By::Requester => context::requester().project_id,
        };
        Ok(vec![
            Violation::new("", inputs.to_string()),
            Violation::new("/size", more).kind("Fickle"),
        ])
    }
}

cairn_plugin::export_validator!(Fickle);
