//! Puts objects on the shelf, one for each label in its settings.

use cairn_plugin::{Error, NoInputs, Task, externals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Places {
    labels: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    placed: usize,
}

impl Task for Places {
    type Inputs = NoInputs;
    type Output = Output;

    fn call(&self, _: NoInputs) -> Result<Output, Error> {
        for label in &self.labels {
            let spec = json!({"title": label});
            externals::make::<Value>("shelf", "book", label, &spec)?;
        }
        Ok(Output {
            placed: self.labels.len(),
        })
    }
}

cairn_plugin::export!(Places);
