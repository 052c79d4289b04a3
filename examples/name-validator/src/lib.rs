//! Checks the names of the volume and of its metadata before any task runs, and reports all violations.

use cairn_plugin::{Error, Validator, Violation};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The rules. An omitted rule allows everything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NameValidator {
    /// The maximal length of a name, in characters.
    max_length: Option<usize>,
    /// The required prefix of names.
    prefix: String,
    /// Forbidden names, compared without regard to case.
    reserved: Vec<String>,
    /// Keys of the metadata that a request must contain.
    required_metadata: Vec<String>,
}

/// The fields of a request that this validator reads.
#[derive(Debug, Deserialize)]
struct Inputs {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

impl Validator for NameValidator {
    type Inputs = Inputs;

    fn validate(&self, inputs: Inputs) -> Result<Vec<Violation>, Error> {
        let mut violations = Vec::new();
        match &inputs.name {
            Some(name) => self.check("/name", name, &mut violations),
            None => violations.push(Violation::new("", "there is no `name`")),
        }
        let metadata = inputs.metadata.unwrap_or_default();
        for key in &self.required_metadata {
            match metadata.get(key) {
                None => violations.push(
                    Violation::new("/metadata", format!("there is no `{key}`"))
                        .kind("MetadataMissing"),
                ),
                Some(Value::String(text)) if !text.is_empty() => {}
                Some(_) => violations.push(Violation::new(
                    format!("/metadata/{}", escaped(key)),
                    "must be text that is not empty",
                )),
            }
        }
        Ok(violations)
    }
}

impl NameValidator {
    fn check(&self, pointer: &str, name: &str, violations: &mut Vec<Violation>) {
        let mut refuse = |message: String| violations.push(Violation::new(pointer, message));
        let length = name.chars().count();
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            refuse(format!("has {length} characters; the most are {most}"));
        }
        if !name.starts_with(&self.prefix) {
            refuse(format!("does not start with `{}`", self.prefix));
        }
        let lower = name.to_lowercase();
        if self
            .reserved
            .iter()
            .any(|reserved| reserved.to_lowercase() == lower)
        {
            refuse("is reserved; choose another".to_owned());
        }
    }
}

/// Escapes a key for use in a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

cairn_plugin::export_validator!(NameValidator);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(settings: Value, inputs: Value, places: &[(&str, &str)]) {
        let violations = FakeHost::new()
            .settings(settings)
            .validate::<NameValidator>(inputs)
            .expect("the settings are sound");
        let found: Vec<(&str, &str)> = violations
            .iter()
            .map(|violation| (violation.pointer.as_str(), violation.kind.as_str()))
            .collect();
        assert_eq!(found, places, "{violations:?}");
    }

    #[test]
    fn without_rules_any_name_is_fine_but_there_must_be_one() {
        check(json!({}), json!({"name": "anything at all"}), &[]);
        check(json!({}), json!({}), &[("", "InvalidInput")]);
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        check(
            json!({"max_length": 4, "prefix": "db-", "reserved": ["Admin"], "required_metadata": ["owner", "a/b"]}),
            json!({"name": "ADMIN", "metadata": {"a/b": ""}}),
            &[
                ("/name", "InvalidInput"),
                ("/name", "InvalidInput"),
                ("/name", "InvalidInput"),
                ("/metadata", "MetadataMissing"),
                ("/metadata/a~1b", "InvalidInput"),
            ],
        );
    }

    #[test]
    fn a_request_of_other_types_is_refused_at_the_place() {
        check(json!({}), json!({"name": 7}), &[("/name", "InvalidInput")]);
        check(
            json!({}),
            json!({"name": "a", "metadata": []}),
            &[("/metadata", "InvalidInput")],
        );
    }
}
