//! A minimal plugin that takes a name and provides a greeting.

use cairn_plugin::{Error, Task, bail, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings, from the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hello {
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "Hello".to_owned()
}

/// The inputs, which some earlier task must provide.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    name: Option<String>,
}

/// The result, which later tasks can take as inputs.
#[derive(Serialize, JsonSchema)]
struct Output {
    text: String,
}

impl Task for Hello {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let Some(name) = inputs.name.filter(|name| !name.is_empty()) else {
            bail!(
                "InvalidInput",
                "the request has no `name`; say whom to greet"
            );
        };
        let text = format!("{}, {name}!", self.greeting);
        log::info(&text);
        Ok(Output { text })
    }
}

cairn_plugin::export!(Hello);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_greeted() {
        let host = FakeHost::new().settings(json!({"greeting": "Welcome"}));
        assert_eq!(
            host.call::<Hello>(json!({"name": "Ada"})).unwrap(),
            json!({"text": "Welcome, Ada!"})
        );
    }

    #[test]
    fn an_empty_name_is_not_greeted() {
        assert!(
            FakeHost::new()
                .call::<Hello>(json!({"name": null}))
                .unwrap_err()
                .is("InvalidInput")
        );
    }
}
