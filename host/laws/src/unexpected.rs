//! Compares the outcome of a case with the expected one.

use cairn::admission::{Decision, Violation};
use cairn::{TaskError, Value};
use serde::Serialize;

use crate::case::{ExpectedViolation, PolicyExpect, TaskExpect, ValidatorExpect};

/// The expected outcome of a case, and the found one. Each has one or more lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unexpected {
    /// The expected outcome.
    pub expected: String,
    /// The found outcome.
    pub found: String,
}

impl Unexpected {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Compares the result of a task's call.
    pub(crate) fn result(
        expect: &TaskExpect,
        result: Option<&Result<Value, TaskError>>,
    ) -> Option<Self> {
        match (result, &expect.error) {
            (Some(Err(error)), Some(kind)) if error.kind == *kind => None,
            (Some(Ok(result)), None) => lacks(expect.result.as_ref()?, result, ""),
            (result, kind) => {
                let expected = match kind {
                    Some(kind) => failure(kind),
                    None => "success".to_owned(),
                };
                Some(Self::new(
                    expected,
                    match result {
                        Some(Ok(result)) => format!("the result {result}"),
                        Some(Err(error)) => error_found(error),
                        None => "no call".to_owned(),
                    },
                ))
            }
        }
    }

    /// Compares a policy's answer.
    pub(crate) fn decision(
        expect: &PolicyExpect,
        answer: &Result<Decision, TaskError>,
    ) -> Option<Self> {
        let expected = match (expect, answer) {
            (PolicyExpect::Allow, Ok(Decision::Allow)) => return None,
            (PolicyExpect::Deny(part), Ok(Decision::Deny(reason))) if reason.contains(part) => {
                return None;
            }
            (PolicyExpect::Error(kind), Err(error)) if error.kind == *kind => return None,
            (PolicyExpect::Allow, _) => "allow".to_owned(),
            (PolicyExpect::Deny(part), _) if part.is_empty() => "deny".to_owned(),
            (PolicyExpect::Deny(part), _) => format!("deny, for a reason with `{part}` in it"),
            (PolicyExpect::Error(kind), _) => failure(kind),
        };
        Some(Self::new(expected, decision(answer)))
    }

    /// Compares a validator's answer.
    pub(crate) fn violations(
        expect: &ValidatorExpect,
        answer: &Result<Vec<Violation>, TaskError>,
    ) -> Option<Self> {
        let is_expected = match (&expect.error, answer) {
            (Some(kind), Err(error)) => error.kind == *kind,
            (None, Ok(found)) => {
                found.len() == expect.violations.len()
                    && found
                        .iter()
                        .zip(&expect.violations)
                        .all(|(found, expected)| fits(expected, found))
            }
            (Some(_), Ok(_)) | (None, Err(_)) => false,
        };
        if is_expected {
            return None;
        }
        let expected = match &expect.error {
            Some(kind) => failure(kind),
            None => lines(expect.violations.iter().map(|expected| {
                let message = match expected.message.as_str() {
                    "" => String::new(),
                    part => format!(": …{part}…"),
                };
                format!("{} {}{message}", place(&expected.pointer), expected.kind)
            })),
        };
        Some(Self::new(expected, violations(answer)))
    }
}

/// Returns a policy's answer as text.
pub(crate) fn decision(answer: &Result<Decision, TaskError>) -> String {
    match answer {
        Ok(Decision::Allow) => "allow".to_owned(),
        Ok(Decision::Deny(reason)) => format!("deny: {reason}"),
        Err(error) => error_found(error),
    }
}

/// Returns a validator's answer as text, with a line for each violation.
pub(crate) fn violations(answer: &Result<Vec<Violation>, TaskError>) -> String {
    match answer {
        Ok(found) => lines(found.iter().map(|violation| {
            let Violation {
                pointer,
                kind,
                message,
            } = violation;
            format!("{} {kind}: {message}", place(pointer))
        })),
        Err(error) => error_found(error),
    }
}

fn failure(kind: &str) -> String {
    format!("the error {kind}")
}

fn error_found(error: &TaskError) -> String {
    format!("the error {error}")
}

fn fits(expected: &ExpectedViolation, found: &Violation) -> bool {
    found.pointer == expected.pointer
        && found.kind == expected.kind
        && found.message.contains(&expected.message)
}

/// Returns a JSON pointer as text; the empty one, for the whole document, as two quotes.
fn place(pointer: &str) -> &str {
    match pointer {
        "" => "\"\"",
        pointer => pointer,
    }
}

fn lines(violations: impl Iterator<Item = String>) -> String {
    match violations.collect::<Vec<_>>() {
        none if none.is_empty() => "no violation".to_owned(),
        lines => lines.join("\n"),
    }
}

/// Returns the first part of `expected` that `found` lacks, with its place. Objects may have more keys.
fn lacks(expected: &Value, found: &Value, at: &str) -> Option<Unexpected> {
    let said = |value: &str| match at {
        "" => format!("the result {value}"),
        _ => format!("{at} is {value}"),
    };
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().find_map(|(key, value)| {
                let at = format!("{at}/{key}");
                match found.get(key) {
                    Some(found) => lacks(value, found, &at),
                    None => Some(Unexpected::new(
                        format!("{at} is {value}"),
                        format!("{at} is missing"),
                    )),
                }
            })
        }
        _ if expected == found => None,
        _ => Some(Unexpected::new(
            said(&expected.to_string()),
            said(&found.to_string()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(expected: &str, found: &str) -> Option<Unexpected> {
        Some(Unexpected::new(expected, found))
    }

    #[test]
    fn a_result_may_hold_more_than_is_expected_and_what_it_lacks_is_named_with_its_place() {
        let found = json!({"a": {"b": 1, "c": [1, 2]}, "d": null});
        assert_eq!(lacks(&json!({"a": {"b": 1}}), &found, ""), None);
        assert_eq!(
            lacks(&json!({"a": {"c": [1]}}), &found, ""),
            of("/a/c is [1]", "/a/c is [1,2]")
        );
        assert_eq!(
            lacks(&json!({"e": 1}), &found, ""),
            of("/e is 1", "/e is missing")
        );
        assert_eq!(
            lacks(&json!(1), &json!(2), ""),
            of("the result 1", "the result 2")
        );
    }

    #[test]
    fn a_call_succeeds_unless_an_error_is_expected() {
        let failed = Err(TaskError::new("Busy", "not now"));
        let check = |error: Option<&str>, result: &Result<Value, TaskError>| {
            let expect = TaskExpect {
                result: None,
                error: error.map(str::to_owned),
            };
            Unexpected::result(&expect, Some(result))
        };
        assert_eq!(check(Some("Busy"), &failed), None);
        assert_eq!(check(None, &Ok(json!({}))), None);
        let found = "the error Busy: not now";
        assert_eq!(check(None, &failed), of("success", found));
        assert_eq!(check(Some("Over"), &failed), of("the error Over", found));
        assert_eq!(
            check(Some("Busy"), &Ok(json!({}))),
            of("the error Busy", "the result {}")
        );
    }

    #[test]
    fn a_policy_denies_for_a_reason_that_holds_what_is_expected() {
        let denied = Ok(Decision::Deny("closed at night".to_owned()));
        let failed = Err(TaskError::new("Broken", "no clock"));
        let deny = |part: &str| PolicyExpect::Deny(part.to_owned());
        let error = |kind: &str| PolicyExpect::Error(kind.to_owned());
        let check = Unexpected::decision;
        assert_eq!(check(&PolicyExpect::Allow, &Ok(Decision::Allow)), None);
        assert_eq!(check(&deny(""), &denied), None);
        assert_eq!(check(&deny("at night"), &denied), None);
        assert_eq!(check(&error("Broken"), &failed), None);
        assert_eq!(
            check(&PolicyExpect::Allow, &denied),
            of("allow", "deny: closed at night")
        );
        assert_eq!(check(&deny(""), &Ok(Decision::Allow)), of("deny", "allow"));
        assert_eq!(
            check(&deny("at noon"), &denied),
            of(
                "deny, for a reason with `at noon` in it",
                "deny: closed at night"
            )
        );
        // An error denies too, but does not satisfy an expected denial.
        let found = "the error Broken: no clock";
        assert_eq!(check(&deny(""), &failed), of("deny", found));
        assert_eq!(
            check(&error("Other"), &failed),
            of("the error Other", found)
        );
    }

    #[test]
    fn a_validator_names_each_violation_that_is_expected_in_order_and_no_other() {
        let violation = |pointer: &str, message: &str| Violation {
            pointer: pointer.to_owned(),
            kind: "InvalidInput".to_owned(),
            message: message.to_owned(),
        };
        let found = Ok(vec![
            violation("/size", "must be at least 1"),
            violation("", "is odd"),
        ]);
        let check = |expected: &[(&str, &str, &str)]| {
            let violations = expected.iter().map(|(pointer, kind, message)| {
                let [pointer, kind, message] =
                    [pointer, kind, message].map(|text| text.to_string());
                ExpectedViolation {
                    pointer,
                    kind,
                    message,
                }
            });
            let expect = ValidatorExpect {
                violations: violations.collect(),
                error: None,
            };
            Unexpected::violations(&expect, &found).map(|unexpected| unexpected.expected)
        };
        let kind = "InvalidInput";
        assert_eq!(check(&[("/size", kind, "at least"), ("", kind, "")]), None);
        for (expected, told) in [
            (vec![], "no violation"),
            (vec![("/size", kind, "")], "/size InvalidInput"),
            (
                vec![("/size", kind, "at most"), ("", kind, "")],
                "/size InvalidInput: …at most…\n\"\" InvalidInput",
            ),
            (
                vec![("/size", "Other", ""), ("", kind, "")],
                "/size Other\n\"\" InvalidInput",
            ),
            (
                vec![("", kind, ""), ("/size", kind, "")],
                "\"\" InvalidInput\n/size InvalidInput",
            ),
        ] {
            assert_eq!(check(&expected).as_deref(), Some(told));
        }
        let error = ValidatorExpect {
            violations: Vec::new(),
            error: Some("Broken".to_owned()),
        };
        let failed = Err(TaskError::new("Broken", "no"));
        assert_eq!(Unexpected::violations(&error, &failed), None);
        assert_eq!(
            Unexpected::violations(&error, &Ok(Vec::new())),
            of("the error Broken", "no violation")
        );
        assert_eq!(
            Unexpected::violations(&ValidatorExpect::default(), &failed),
            of("no violation", "the error Broken: no")
        );
    }
}
