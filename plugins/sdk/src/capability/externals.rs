//! Objects outside the database, such as DNS records or accounts, which providers make: plugins that implement
//! [`External`](crate::External).
//!
//! ```
//! use cairn_plugin::externals;
//! use cairn_plugin::testing::FakeHost;
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! /// What the provider `pdns` returns for a record.
//! #[derive(Deserialize)]
//! struct Made {
//!     fqdn: String,
//! }
//!
//! let host = FakeHost::new().answer("externals.make", json!({"fqdn": "db.example."}));
//! host.run(|| {
//!     let made: Made = externals::make("pdns", "record", "main", &json!({"name": "db"})).unwrap();
//!     assert_eq!(made.fqdn, "db.example.");
//! });
//! host.assert_effects(&[(
//!     "externals.make",
//!     json!({"provider": "pdns", "kind": "record", "label": "main", "spec": {"name": "db"}}),
//! )]);
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::externals;
use crate::{Error, json};

/// Makes an object as `spec` describes it, and returns what its provider tells about it: a type of the task's own, or
/// [`serde_json::Value`]. `provider` is its name in the manifest. An effect: the host removes the object when the call or the flow is
/// undone.
///
/// A repeat with the same `label` returns the object that was made; calls with different labels make different objects. The time
/// that the provider needs does not count towards the deadline of the call.
///
/// # Errors
/// The provider's, when nothing was made; `ProviderFailed` when the provider broke down and nothing was made; `ProviderNotFound`;
/// `NotGranted` for a provider or a kind outside the grant; `NotInRevert`; `InvalidInput` for an invalid kind, label or spec;
/// `ResultInvalid` when the result does not deserialize as `T`.
pub fn make<T: DeserializeOwned>(
    provider: &str,
    kind: &str,
    label: &str,
    spec: &impl Serialize,
) -> Result<T, Error> {
    let spec = serde_json::to_string(spec).map_err(|error| {
        let message = format!("the spec of the {kind} `{label}` is no JSON: {error}");
        Error::new("InvalidInput", message)
    })?;
    let made = externals::make(provider, kind, label, &spec)?;
    let what = format!("the result of `{provider}`");
    json::from_text("ResultInvalid", &what, &made)
}

/// Removes an object that an earlier flow of the same project made. `id` is the [`ExternalObject::id`](crate::ExternalObject::id) that its
/// provider was told. An object that this flow has removed is success.
///
/// Nothing undoes a removal, so only a task with `pivot = true` in the manifest may call this. Up to the first removal the flow can be rolled
/// back; from then on it only goes forward: a task that fails is called again, after ever longer pauses.
///
/// # Errors
/// The provider's, when it refused and nothing was removed; `NotPivot`; `ExternalNotFound`; `Busy` while another act on the object has not
/// ended; `InvalidInput` for an object that this flow made; `ProviderNotFound`; `NotGranted`; `NotInRevert`.
pub fn remove(provider: &str, kind: &str, id: &str) -> Result<(), Error> {
    Ok(externals::remove(provider, kind, id)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn a_result_of_another_type_is_named_with_its_provider() {
        let host = FakeHost::new().answer("externals.make", json!({"id": 7}));
        let error = host.run(|| make::<String>("pdns", "record", "main", &Value::Null));
        let error = error.unwrap_err();
        assert!(error.is("ResultInvalid"), "{error}");
        assert!(error.message().contains("`pdns`"), "{error}");
    }

    #[test]
    fn a_removal_is_an_effect_and_its_refusal_reaches_the_task() {
        let host = FakeHost::new();
        host.run(|| remove("pdns", "record", "some-id")).unwrap();
        let arguments = json!({"provider": "pdns", "kind": "record", "id": "some-id"});
        host.assert_effects(&[("externals.remove", arguments)]);
        let refusal = Error::new("NotPivot", "add `pivot = true`");
        let host = FakeHost::new().fail("externals.remove", refusal.clone());
        assert_eq!(
            host.run(|| remove("pdns", "record", "some-id")),
            Err(refusal)
        );
    }

    #[test]
    fn a_refusal_reaches_the_task_as_such() {
        let refusal = Error::new("ZoneNotFound", "there is no such zone").with("zone", "a");
        let host = FakeHost::new().fail("externals.make", refusal.clone());
        let made = host.run(|| make::<Value>("pdns", "record", "main", &json!({"zone": "a"})));
        assert_eq!(made, Err(refusal));
    }
}
