//! A policy whose answer depends on one forbidden source, which its settings name.

use cairn_plugin::{Decision, Error, Policy, random, time};
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
}

impl Policy for Fickle {
    type Target = Value;

    /// Denies with the whole question and the forbidden source as the reason.
    fn check(&self, action: &str, target: Value) -> Result<Decision, Error> {
        let requester = cairn_plugin::context::requester();
        let more = match self.by {
            By::Nothing => String::new(),
            By::Clock => format!("{:?}", time::now()),
            By::Randomness => random::number().to_string(),
        };
        let roles = requester.roles.join("+");
        Ok(Decision::deny(format!(
            "{} of {} with {roles}: {action} {target} {more}",
            requester.user_id, requester.project_id
        )))
    }
}

cairn_plugin::export_policy!(Fickle);
