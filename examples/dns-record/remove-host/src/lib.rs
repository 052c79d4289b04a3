//! Removes a host that an earlier flow has named: its record, and its entry in DNS. It is the pivot of its flow.

use cairn_plugin::records::{self, Expect};
use cairn_plugin::{Error, Task, bail, externals, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operator's collection, and the flow's provider.
const HOSTS: &str = "hosts";
const PROVIDER: &str = "pdns";

/// The settings in the manifest, of which there are none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoveHost {}

/// The inputs, which some earlier task must provide.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// The name of the host, without its zone.
    host: Option<String>,
}

/// The result, which later tasks can take as inputs.
#[derive(Serialize, JsonSchema)]
struct Output {
    removed: String,
}

/// The value of a record, as far as it is needed here.
#[derive(Deserialize)]
struct Host {
    /// The id of the entry in DNS.
    entry: String,
}

impl Task for RemoveHost {
    type Inputs = Inputs;
    type Output = Output;

    fn call(&self, inputs: Inputs) -> Result<Output, Error> {
        let Some(name) = inputs.host else {
            bail!(
                "InvalidInput",
                "the request has no `host`; say which host is to be removed"
            );
        };
        let Some(found) = records::get::<Host>(HOSTS, &name)? else {
            bail!("HostNotFound", "there is no host `{name}`");
        };
        // Before the entry: this can be refused, and is undone when the provider refuses.
        records::remove(HOSTS, &name, Expect::Version(found.version))?;
        // From here on the flow only goes forward.
        externals::remove(PROVIDER, "record", &found.value.entry)?;
        log::info(format!("removed the host {name}"));
        Ok(Output { removed: name })
    }
}

cairn_plugin::export!(RemoveHost);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_record_goes_before_the_entry() {
        let value = json!({"number": 7, "address": "192.0.2.7", "entry": "an-id"});
        let record = json!({"key": "web-7", "value": value, "version": 3});
        let host = FakeHost::new().answer("records.get", record);
        let result = host.call::<RemoveHost>(json!({"host": "web-7"})).unwrap();
        assert_eq!(result, json!({"removed": "web-7"}));
        host.assert_effects(&[
            (
                "records.remove",
                json!({"collection": "hosts", "key": "web-7", "expect": {"version": 3}}),
            ),
            (
                "externals.remove",
                json!({"provider": "pdns", "kind": "record", "id": "an-id"}),
            ),
        ]);
    }

    #[test]
    fn a_host_that_is_not_there_is_an_error() {
        let host = FakeHost::new();
        let error = host
            .call::<RemoveHost>(json!({"host": "web-7"}))
            .unwrap_err();
        assert!(error.is("HostNotFound"), "{error}");
        host.assert_effects(&[]);
    }
}
