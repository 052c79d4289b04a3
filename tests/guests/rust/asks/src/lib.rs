//! A task that reads a secret, and has a ticket opened.

use cairn_plugin::{Error, NoInputs, Task, externals, secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asks {
    secret: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    length: usize,
    ticket: Value,
}

impl Task for Asks {
    type Inputs = NoInputs;
    type Output = Output;

    fn call(&self, _: NoInputs) -> Result<Output, Error> {
        Ok(Output {
            length: secrets::get(&self.secret)?.len(),
            ticket: externals::make("desk", "ticket", "main", &json!({}))?,
        })
    }
}

cairn_plugin::export!(Asks);
