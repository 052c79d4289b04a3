//! Takes an unused name: a number from a sequence, a record under the name made from it, and a count.

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Error, Task, bail, context, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operator's collection, and its sequence and counter.
const NAMES: &str = "names";
const NUMBERS: &str = "numbers";
const TAKEN: &str = "taken";

/// The settings in the manifest, of which there are none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TakeName {}

/// The inputs, which some earlier task must provide.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// The prefix of the name.
    prefix: Option<String>,
}

/// The result, which later tasks can take as inputs.
#[derive(Serialize, JsonSchema)]
struct Output {
    name: String,
}

/// The record that is stored under the name.
#[derive(Serialize)]
struct Name {
    number: u64,
    user: String,
}

impl Task for TakeName {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let Some(prefix) = inputs.prefix.filter(|prefix| !prefix.is_empty()) else {
            bail!(
                "InvalidInput",
                "the request has no `prefix`; say what the names begin with"
            );
        };
        // Not returned to the sequence: when this flow fails, the number is skipped.
        let number = records::next(NAMES, NUMBERS)?;
        let name = format!("{prefix}-{number}");
        let user = context::requester().user_id;
        records::put(NAMES, &name, &Name { number, user }, Expect::Absent)?;
        records::add(NAMES, TAKEN, 1)?;
        log::info(format!("took the name {name}"));
        Ok(Output { name })
    }
} // no `revert`: the host undoes the record and the count

cairn_plugin::export!(TakeName);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn host() -> FakeHost {
        let host = FakeHost::new().answer("records.next", json!(7));
        host.answer("records.put", json!(1))
    }

    #[test]
    fn a_name_is_made_of_a_number_and_is_counted() {
        let host = host();
        let result = host.call::<TakeName>(json!({"prefix": "host"})).unwrap();
        assert_eq!(result, json!({"name": "host-7"}));
        let value = json!({"number": 7, "user": "user"});
        host.assert_effects(&[
            (
                "records.next",
                json!({"collection": "names", "sequence": "numbers"}),
            ),
            (
                "records.put",
                json!({"collection": "names", "key": "host-7", "value": value, "expect": "absent"}),
            ),
            (
                "records.add",
                json!({"collection": "names", "counter": "taken", "delta": 1}),
            ),
        ]);
    }

    #[test]
    fn a_name_that_is_there_already_is_not_counted() {
        let taken = Error::new("VersionConflict", "it is there");
        let host = host().fail("records.put", taken);
        let error = host
            .call::<TakeName>(json!({"prefix": "host"}))
            .unwrap_err();
        assert!(error.is("VersionConflict"));
        assert_eq!(host.calls("records.add"), [json!(null); 0]);
    }

    #[test]
    fn nothing_is_taken_without_a_prefix() {
        let host = FakeHost::new();
        assert!(
            host.call::<TakeName>(json!({"prefix": null}))
                .unwrap_err()
                .is("InvalidInput")
        );
        host.assert_effects(&[]);
    }
}
