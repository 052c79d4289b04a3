use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::bindings::exports::cairn::plugin::plugin;
use crate::testing::FakeHost;

/// Answers as its kinds of objects say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scripted {
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct Spec {
    size: u32,
}

impl External for Scripted {
    type Spec = Spec;
    type Made = Value;

    fn look(&self, object: &ExternalObject) -> Result<Presence<Value>, Error> {
        match object.kind.as_str() {
            "partial" => Ok(Presence::Partial),
            "whole" => Ok(Presence::Whole(json!({"token": object.token}))),
            "silent" => Err(Error::new("NoAnswer", "it does not answer")),
            _ => Ok(Presence::Absent),
        }
    }

    fn make(&self, object: &ExternalObject, spec: Spec) -> Result<Value, ActError> {
        match object.kind.as_str() {
            "refused" => Err(ActError::Refused(Error::new("Full", "no room"))),
            "silent" => Err(Error::new("NoAnswer", "it does not answer"))?,
            _ => Ok(json!({"id": object.id, "size": spec.size})),
        }
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        self.make(object, Spec { size: 0 }).map(drop)
    }

    fn list(&self, _kind: &str, _after: Option<&str>) -> Result<Vec<String>, Error> {
        Ok(self.ids.clone())
    }
}

struct Plugin;

impl Package for Plugin {
    type Plugin = Scripted;
    const NAME: &'static str = "scripted";
    const VERSION: (u32, u32) = (1, 0);
}

fn host(ids: &[String]) -> FakeHost {
    FakeHost::new().settings(json!({"ids": ids}))
}

fn what(kind: &str) -> wit::Object {
    wit::Object {
        kind: kind.to_owned(),
        id: "one".to_owned(),
        token: 7,
    }
}

#[test]
fn what_there_is_reaches_the_host_as_such() {
    let look = |kind| host(&[]).run(|| <Plugin as wit::Guest>::look(what(kind)));
    assert_eq!(look("absent"), Ok(wit::Presence::Absent));
    assert_eq!(look("partial"), Ok(wit::Presence::Partial));
    let whole = wit::Presence::Whole(r#"{"token":7}"#.to_owned());
    assert_eq!(look("whole"), Ok(whole));
    assert_eq!(look("silent").unwrap_err().kind, "NoAnswer");
}

#[test]
fn a_refusal_is_one_and_an_error_that_is_passed_on_is_unsure() {
    let make = |kind, spec: &str| {
        host(&[]).run(|| <Plugin as wit::Guest>::make(what(kind), spec.to_owned()))
    };
    let remove = |kind| host(&[]).run(|| <Plugin as wit::Guest>::remove(what(kind)));
    let made = make("whole", r#"{"size": 3}"#);
    assert_eq!(made.unwrap(), r#"{"id":"one","size":3}"#);
    assert_eq!(remove("whole"), Ok(()));
    for failed in [
        make("refused", r#"{"size": 3}"#).map(drop),
        remove("refused"),
    ] {
        match failed {
            Err(wit::Failure::Refused(error)) => assert_eq!(error.kind, "Full"),
            other => panic!("{other:?}"),
        }
    }
    for failed in [make("silent", r#"{"size": 3}"#).map(drop), remove("silent")] {
        match failed {
            Err(wit::Failure::Unsure(error)) => assert_eq!(error.kind, "NoAnswer"),
            other => panic!("{other:?}"),
        }
    }
    // The plugin has not been called yet.
    match make("whole", r#"{"size": "big"}"#) {
        Err(wit::Failure::Refused(error)) => {
            assert_eq!(error.kind, "InvalidInput");
            assert_eq!(error.details.as_deref(), Some(r#"{"field":"size"}"#));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_is_sorted_and_cut_into_pages_that_end() {
    let mut ids: Vec<String> = (0..2_500).map(|number| format!("{number:04}")).collect();
    ids.reverse();
    ids.push("0007".to_owned());
    let host = host(&ids);
    let page = |after: Option<&str>| {
        let after = after.map(str::to_owned);
        host.run(|| <Plugin as wit::Guest>::list("any".to_owned(), after))
            .unwrap()
    };
    let first = page(None);
    assert_eq!((first.len(), first[0].as_str()), (1_000, "0000"));
    let second = page(first.last().map(String::as_str));
    assert_eq!((second.len(), second[0].as_str()), (1_000, "1000"));
    assert_eq!(page(Some("1999")).len(), 500);
    assert_eq!(page(Some("2499")), Vec::<String>::new());
}

#[test]
fn an_external_describes_itself_by_its_crate_and_takes_part_in_no_wiring() {
    let descriptor = <Plugin as plugin::Guest>::describe(r#"{"ids": []}"#.into()).unwrap();
    assert_eq!(descriptor.name, "scripted");
    assert!(descriptor.requires.is_empty() && descriptor.provides.is_empty());
}
