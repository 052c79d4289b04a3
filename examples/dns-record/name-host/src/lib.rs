//! Gives a host a name: a number from a sequence, a record under the name made from it, and an entry in DNS.

use std::net::IpAddr;

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Error, Task, bail, externals, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The operator's collection and its sequence, and the flow's provider.
const HOSTS: &str = "hosts";
const NUMBERS: &str = "numbers";
const PROVIDER: &str = "pdns";

/// The settings in the manifest, of which there are none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NameHost {}

/// The inputs, which some earlier task must provide.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// The prefix of the name.
    prefix: Option<String>,
    /// The address of the host.
    address: Option<IpAddr>,
}

/// The result, which later tasks can take as inputs.
#[derive(Serialize, JsonSchema)]
struct Output {
    fqdn: String,
}

/// What the provider tells about the entry.
#[derive(Deserialize)]
struct Entry {
    id: String,
    fqdn: String,
}

impl Task for NameHost {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let (Some(prefix), Some(address)) = (inputs.prefix, inputs.address) else {
            bail!(
                "InvalidInput",
                "the request has no `prefix` or no `address`; say what the name begins with, and where the host is"
            );
        };
        // Not returned to the sequence: when this flow fails, the number is skipped.
        let number = records::next(HOSTS, NUMBERS)?;
        let name = format!("{prefix}-{number}");
        let mut host = json!({"number": number, "address": address});
        records::put(HOSTS, &name, &host, Expect::Absent)?;
        let spec = json!({"name": name, "address": address});
        let entry: Entry = externals::make(PROVIDER, "record", "main", &spec)?;
        // For the flow that removes the host.
        host["entry"] = entry.id.into();
        records::put(HOSTS, &name, &host, Expect::Any)?;
        log::info(format!("named the host {}", entry.fqdn));
        Ok(Output { fqdn: entry.fqdn })
    }
} // no `revert`: the host undoes the record, and has the provider remove the entry

cairn_plugin::export!(NameHost);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;

    use super::*;

    fn host() -> FakeHost {
        let host = FakeHost::new().answer("records.next", json!(7));
        host.answer("records.put", json!(1))
    }

    #[test]
    fn a_host_gets_a_record_and_an_entry_of_one_name() {
        let made = json!({"id": "an-id", "fqdn": "web-7.example.org."});
        let host = host().answer("externals.make", made);
        let inputs = json!({"prefix": "web", "address": "192.0.2.7"});
        let result = host.call::<NameHost>(inputs).unwrap();
        assert_eq!(result, json!({"fqdn": "web-7.example.org."}));
        let value = json!({"number": 7, "address": "192.0.2.7"});
        let spec = json!({"name": "web-7", "address": "192.0.2.7"});
        let entered = json!({"number": 7, "address": "192.0.2.7", "entry": "an-id"});
        host.assert_effects(&[
            (
                "records.next",
                json!({"collection": "hosts", "sequence": "numbers"}),
            ),
            (
                "records.put",
                json!({"collection": "hosts", "key": "web-7", "value": value, "expect": "absent"}),
            ),
            (
                "externals.make",
                json!({"provider": "pdns", "kind": "record", "label": "main", "spec": spec}),
            ),
            (
                "records.put",
                json!({"collection": "hosts", "key": "web-7", "value": entered, "expect": "any"}),
            ),
        ]);
    }

    #[test]
    fn nothing_is_taken_without_an_address() {
        let host = FakeHost::new();
        let error = host.call::<NameHost>(json!({"prefix": "web"})).unwrap_err();
        assert!(error.is("InvalidInput"));
        host.assert_effects(&[]);
    }
}
