//! Makes the fields of the request available to the flow: later tasks take their inputs from here, unless another task
//! provides them.

use cairn_plugin::{Error, Task, Wiring, bail, context};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Makes the fields of the request available to the flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// Keys of the request that become results; null if the request lacks one.
    pub provides: Vec<String>,
    /// Keys that become results only if the request contains them.
    #[serde(default)]
    pub optional: Vec<String>,
}

impl Task for Inject {
    type Inputs = cairn_plugin::NoInputs;
    type Output = Map<String, Value>;

    fn call(&self, _inputs: Self::Inputs) -> Result<Self::Output, Error> {
        let Some(request) = context::request()? else {
            bail!(
                "RequestMissing",
                "the host shows this plugin no request; only the built-in `inject` sees it"
            );
        };
        let Value::Object(mut request) = request else {
            bail!("InvalidInput", "the request is no JSON object");
        };
        let mut output = Map::new();
        for key in &self.optional {
            if let Some(value) = request.get(key) {
                output.insert(key.clone(), value.clone());
            }
        }
        for key in &self.provides {
            let value = request.remove(key).or_else(|| output.get(key).cloned());
            output.insert(key.clone(), value.unwrap_or_default());
        }
        Ok(output)
    }

    fn wiring(&self) -> Wiring {
        Wiring {
            provides: self.provides.clone(),
            ..Wiring::default()
        }
    }
}

cairn_plugin::export!(Inject);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    fn inject(settings: Value, request: Value) -> Result<Value, Error> {
        FakeHost::new()
            .settings(settings)
            .request(request)
            .call::<Inject>(json!({}))
    }

    #[test]
    fn a_listed_key_that_the_request_lacks_is_null_and_others_stay_behind() {
        let output = inject(
            json!({"provides": ["size", "name"]}),
            json!({"size": 2, "secret": 1}),
        );
        assert_eq!(output.unwrap(), json!({"size": 2, "name": null}));
    }

    #[test]
    fn an_optional_key_that_the_request_lacks_is_left_out() {
        let settings = json!({"provides": ["size"], "optional": ["hints", "volume_spec"]});
        assert_eq!(
            inject(settings, json!({"size": 2, "hints": {}})).unwrap(),
            json!({"size": 2, "hints": {}})
        );
    }

    #[test]
    fn a_key_listed_twice_is_given_once() {
        let settings = json!({"provides": ["size", "size"], "optional": ["size"]});
        assert_eq!(
            inject(settings, json!({"size": 2})).unwrap(),
            json!({"size": 2})
        );
    }

    #[test]
    fn a_request_must_be_an_object_and_must_be_shown() {
        let settings = json!({"provides": []});
        assert!(
            inject(settings.clone(), json!([1]))
                .unwrap_err()
                .is("InvalidInput")
        );
        let hidden = FakeHost::new().settings(settings).call::<Inject>(json!({}));
        assert!(hidden.unwrap_err().is("RequestMissing"));
    }

    #[test]
    fn what_is_provided_is_what_the_settings_list() {
        let inject = Inject {
            provides: vec!["size".into()],
            optional: vec!["hints".into()],
        };
        assert_eq!(
            inject.wiring(),
            Wiring {
                provides: vec!["size".into()],
                ..Wiring::default()
            }
        );
    }
}
