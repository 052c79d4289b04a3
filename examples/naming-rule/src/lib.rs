//! Rejects a request whose `name` breaks the operator's rules, before anything is reserved or created.

mod pattern;

use cairn_plugin::{Error, Task};
use pattern::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;

/// The rules. An omitted rule allows everything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NamingRule {
    /// A regular expression that some part of the name must match; to match the whole name, anchor it with `^` and `$`.
    pattern: Option<Pattern>,
    /// The minimal length, in characters.
    min_length: Option<usize>,
    /// The maximal length, in characters.
    max_length: Option<usize>,
    /// Forbidden names, compared without regard to case.
    reserved: Vec<String>,
    /// Allows a request without a name.
    allow_missing: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Inputs {
    name: Option<String>,
}

impl Task for NamingRule {
    type Inputs = Inputs;
    type Output = ();

    fn call(&self, inputs: Inputs) -> Result<(), Error> {
        let Some(name) = inputs.name else {
            return if self.allow_missing {
                Ok(())
            } else {
                Err(missing())
            };
        };
        match self.broken_by(&name) {
            None => Ok(()),
            Some((rule, reason)) => Err(Error::new(
                "InvalidInput",
                format!("the name `{name}` {reason}"),
            )
            .with("rule", rule)
            .with("name", name)),
        }
    }
}

impl NamingRule {
    /// Returns the first rule that the name breaks, and a description of the violation.
    fn broken_by(&self, name: &str) -> Option<(&'static str, String)> {
        let length = name.chars().count();
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            return Some((
                "min_length",
                format!("has {length} characters; the fewest are {least}"),
            ));
        }
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            return Some((
                "max_length",
                format!("has {length} characters; the most are {most}"),
            ));
        }
        if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.matches(name))
        {
            return Some(("pattern", format!("does not match `{pattern}`")));
        }
        let lower = name.to_lowercase();
        if self
            .reserved
            .iter()
            .any(|reserved| reserved.to_lowercase() == lower)
        {
            return Some(("reserved", "is reserved; choose another".to_owned()));
        }
        None
    }
}

fn missing() -> Error {
    Error::new(
        "InvalidInput",
        "the request has no `name`, and the rules ask for one",
    )
    .with("rule", "allow_missing")
}

cairn_plugin::export!(NamingRule);

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::{Value, json};

    use super::*;

    /// Checks that a name breaks the given rule, or none.
    #[track_caller]
    fn check(settings: Value, name: Value, rule: Option<&str>) {
        match FakeHost::new()
            .settings(settings)
            .call::<NamingRule>(json!({"name": name}))
        {
            Ok(result) => assert_eq!((result, rule), (Value::Null, None)),
            Err(error) => {
                assert!(error.is("InvalidInput"), "{error}");
                assert_eq!(error.details()["rule"].as_str(), rule, "{error}");
            }
        }
    }

    #[test]
    fn without_rules_any_name_is_fine_but_there_must_be_one() {
        check(json!({}), json!("anything at all"), None);
        check(json!({}), json!(null), Some("allow_missing"));
        check(json!({"allow_missing": true}), json!(null), None);
    }

    #[test]
    fn a_name_matches_the_pattern() {
        let rules = json!({"pattern": "^[a-z][a-z0-9-]*$"});
        check(rules.clone(), json!("db-1"), None);
        check(rules.clone(), json!("DB-1"), Some("pattern"));
        check(rules, json!(""), Some("pattern"));
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let rules = json!({"min_length": 2, "max_length": 3});
        check(rules.clone(), json!("é"), Some("min_length"));
        check(rules.clone(), json!("éé"), None);
        check(rules.clone(), json!("ééé"), None);
        check(rules, json!("éééé"), Some("max_length"));
    }

    #[test]
    fn a_reserved_name_is_refused_in_any_case() {
        check(
            json!({"reserved": ["Root"]}),
            json!("ROOT"),
            Some("reserved"),
        );
        check(json!({"reserved": ["Root"]}), json!("rooted"), None);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_with_the_settings() {
        let host = FakeHost::new().settings(json!({"pattern": "["}));
        let error = host.call::<NamingRule>(json!({"name": "db"})).unwrap_err();
        assert!(error.is("InvalidSettings"));
        assert_eq!(error.details()["field"], "pattern");
    }

    #[test]
    fn a_name_is_required_of_an_earlier_task_and_nothing_is_provided() {
        let wiring = NamingRule::default().wiring();
        assert_eq!(wiring.requires, ["name"]);
        assert_eq!((wiring.optional.len(), wiring.provides.len()), (0, 0));
    }
}
