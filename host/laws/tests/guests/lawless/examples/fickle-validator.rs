//! A validator whose answer depends on one forbidden source, which its settings name.

use cairn_plugin::{Error, Validator, Violation, context, random, time};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fickle {
    by: By,
}

/// The source that its answer depends on, besides the question.
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

    /// Returns a violation that contains the forbidden source.
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
