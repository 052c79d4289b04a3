//! Stores a greeting in a collection of records: the task of the first flow that `cairn init` creates.

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Error, Task, Wiring, bail, context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Greets a person by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Greet {
    /// The word before the name, such as `Hello`. In lower case it is the name of the result.
    pub word: String,
    /// The collection in which the greeting is stored.
    #[serde(default = "greetings")]
    pub collection: String,
    /// Names for which the task fails.
    #[serde(default)]
    pub refuse: Vec<String>,
}

fn greetings() -> String {
    "greetings".to_owned()
}

/// The person to greet.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Inputs {
    name: Option<String>,
}

/// The record of a greeting.
#[derive(Serialize)]
struct Greeting<'g> {
    text: &'g str,
    user: String,
}

impl Task for Greet {
    type Inputs = Inputs;
    type Output = Map<String, Value>;

    fn call(&self, inputs: Inputs) -> Result<Self::Output, Error> {
        let Some(name) = inputs.name.filter(|name| !name.is_empty()) else {
            bail!(
                "InvalidInput",
                "the request has no `name`; say who is greeted"
            );
        };
        if self.refuse.contains(&name) {
            bail!(
                "NameRefused",
                "`{name}` is one of the names that the flow's manifest refuses"
            );
        }
        let text = format!("{}, {name}!", self.word);
        let greeting = Greeting {
            text: &text,
            user: context::requester().user_id,
        };
        let key = format!("{} {name}", self.word);
        records::put(&self.collection, &key, &greeting, Expect::Any)?;
        Ok(Map::from_iter([(self.result(), text.into())]))
    } // no `revert`: the host undoes the record

    fn wiring(&self) -> Wiring {
        Wiring {
            provides: vec![self.result()],
            ..Wiring::of::<Inputs, ()>()
        }
    }
}

impl Greet {
    /// Returns the name of the result.
    fn result(&self) -> String {
        self.word.to_lowercase()
    }
}

cairn_plugin::export!(Greet);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn host() -> FakeHost {
        FakeHost::new()
            .settings(json!({"word": "Hello", "refuse": ["fail"]}))
            .answer("records.put", json!(1))
    }

    #[test]
    fn a_greeting_is_put_under_its_word_and_the_name() {
        let host = host();
        let result = host.call::<Greet>(json!({"name": "Ada"})).unwrap();
        assert_eq!(result, json!({"hello": "Hello, Ada!"}));
        let value = json!({"text": "Hello, Ada!", "user": "user"});
        host.assert_effects(&[(
            "records.put",
            json!({"collection": "greetings", "key": "Hello Ada", "value": value, "expect": "any"}),
        )]);
    }

    #[test]
    fn a_name_that_is_refused_or_missing_is_not_greeted() {
        for (inputs, kind) in [
            (json!({"name": "fail"}), "NameRefused"),
            (json!({"name": ""}), "InvalidInput"),
            (json!({"name": null}), "InvalidInput"),
        ] {
            let host = host();
            assert!(host.call::<Greet>(inputs).unwrap_err().is(kind));
            host.assert_effects(&[]);
        }
    }

    #[test]
    fn what_is_provided_is_named_after_the_word_and_a_name_is_taken() {
        let greet = Greet {
            word: "Goodbye".to_owned(),
            collection: greetings(),
            refuse: Vec::new(),
        };
        assert_eq!(
            greet.wiring(),
            Wiring {
                requires: vec!["name".to_owned()],
                provides: vec!["goodbye".to_owned()],
                ..Wiring::default()
            }
        );
    }
}
