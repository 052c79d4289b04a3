//! Runs the cases of a plugin.

use cairn::error::TaskError;
use cairn::value::Value;
use serde::Serialize;

use crate::case::{Case, Expect};
use crate::error::LawsError;
use crate::law::{self, Broken, Law};
use crate::scene::{Experiment, Scene, Subject, Tools};

/// What came of all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// The cases, in order.
    pub cases: Vec<Checked>,
}

impl Tested {
    /// Whether every case came out as it should.
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(Checked::is_ok)
    }
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub case: String,
    /// What the call did not do that was expected of it.
    pub unexpected: Option<String>,
    /// The laws that were tried.
    pub laws: Vec<Law>,
    /// Those that were broken.
    pub broken: Vec<Broken>,
}

impl Checked {
    /// Whether it came out as it should.
    pub fn is_ok(&self) -> bool {
        self.unexpected.is_none() && self.broken.is_empty()
    }
}

/// Runs each case once, and holds what came of it to what is expected; and then tries the laws on it.
///
/// # Errors
/// When a case cannot be run: it does not fit its plugin, or the host itself fails.
pub fn test(
    tools: &Tools,
    subject: &Subject,
    cases: &[Case],
    laws: &[Law],
) -> Result<Tested, LawsError> {
    let cases = cases.iter().map(|case| {
        let scene = Scene::new(tools, subject, case)?;
        let usual = scene.run(&Experiment::default())?;
        let mut broken = Vec::new();
        for law in laws {
            broken.extend(law::check(*law, &scene, case, &usual)?);
        }
        Ok(Checked {
            case: case.name.clone(),
            unexpected: unexpected(&case.expect, usual.seen.result.as_ref()),
            laws: laws.to_vec(),
            broken,
        })
    });
    Ok(Tested {
        cases: cases.collect::<Result<_, LawsError>>()?,
    })
}

fn unexpected(expect: &Expect, result: Option<&Result<Value, TaskError>>) -> Option<String> {
    match (result, &expect.error) {
        (None, _) => Some("it was not called".to_owned()),
        (Some(Err(error)), Some(kind)) if error.kind == *kind => None,
        (Some(Err(error)), Some(kind)) => Some(format!("it should fail with {kind}: {error}")),
        (Some(Err(error)), None) => Some(format!("it failed: {error}")),
        (Some(Ok(result)), Some(kind)) => {
            Some(format!("it should fail with {kind}, and returned {result}"))
        }
        (Some(Ok(result)), None) => {
            let wrong = lacks(expect.result.as_ref()?, result, "")?;
            Some(format!("its result is not what it should be: {wrong}"))
        }
    }
}

/// What `found` lacks of `expected`, with its place: objects may hold more.
fn lacks(expected: &Value, found: &Value, place: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().find_map(|(key, value)| {
                let place = format!("{place}/{key}");
                match found.get(key) {
                    Some(found) => lacks(value, found, &place),
                    None => Some(format!("{place} is missing, should be {value}")),
                }
            })
        }
        _ if expected == found => None,
        _ => {
            let place = if place.is_empty() { "it" } else { place };
            Some(format!("{place} is {found}, should be {expected}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_may_hold_more_than_is_expected_and_what_it_lacks_is_named_with_its_place() {
        let found = json!({"a": {"b": 1, "c": [1, 2]}, "d": null});
        assert_eq!(lacks(&json!({"a": {"b": 1}}), &found, ""), None);
        let wrong = lacks(&json!({"a": {"c": [1]}}), &found, "");
        assert_eq!(wrong.unwrap(), "/a/c is [1,2], should be [1]");
        let wrong = lacks(&json!({"e": 1}), &found, "");
        assert_eq!(wrong.unwrap(), "/e is missing, should be 1");
    }

    #[test]
    fn a_call_succeeds_unless_an_error_is_expected() {
        let failed = Err(TaskError::new("Busy", "not now"));
        let expect = |error: Option<&str>| Expect {
            result: None,
            error: error.map(str::to_owned),
        };
        assert_eq!(unexpected(&expect(Some("Busy")), Some(&failed)), None);
        assert!(unexpected(&expect(None), Some(&failed)).is_some());
        assert!(unexpected(&expect(Some("Over")), Some(&failed)).is_some());
        assert!(unexpected(&expect(Some("Busy")), Some(&Ok(json!({})))).is_some());
        assert_eq!(unexpected(&expect(None), Some(&Ok(json!({})))), None);
    }
}
