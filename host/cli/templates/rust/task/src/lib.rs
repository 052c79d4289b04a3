//! Takes a name and provides a greeting.

use cairn_plugin::{Error, Task, bail, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings, from the manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Greet {
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "Hello".to_owned()
}

/// Inputs, which earlier tasks must provide.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    name: Option<String>,
}

/// The result, which later tasks can take.
#[derive(Serialize, JsonSchema)]
struct Output {
    text: String,
}

impl Task for Greet {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let Some(name) = inputs.name.filter(|name| !name.is_empty()) else {
            bail!("InvalidInput", "the request has no `name` to greet");
        };
        // with.call
        let text = format!("{}, {name}!", self.greeting);
        log::info(&text);
        Ok(Output { text })
    }
} // no `revert`: the host undoes what the task changed through it

cairn_plugin::export!(Greet);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::{Value, json};

    use super::*;

    fn host(settings: Value) -> FakeHost {
        FakeHost::new()
            // with.told
            .settings(settings)
    }

    #[test]
    fn a_name_is_greeted() {
        let host = host(json!({"greeting": "Welcome"}));
        let result = host.call::<Greet>(json!({"name": "Ada"})).unwrap();
        assert_eq!(result, json!({"text": "Welcome, Ada!"}));
    }

    #[test]
    fn a_missing_name_is_refused() {
        let error = host(json!({})).call::<Greet>(json!({"name": null})).unwrap_err();
        assert!(error.is("InvalidInput"));
    }
}
