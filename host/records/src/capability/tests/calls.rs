//! Every function enforces a narrowed grant, and passes arguments and answers unchanged.

use std::sync::{Arc, Mutex};

use cairn_effects::event::LogLevel;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::Context;
use cairn_manifest::manifest::{Grant, Grants, Limits};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::value::Value;
use cairn_sandbox::capability::{Granted, Services, State};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wit::cairn::plugin::types;
use serde_json::json;

use super::super::wit::cairn::plugin::records::{Expect, Host};
use super::grant;

/// A context that answers every request and records it.
struct Willing {
    requester: Identity,
    asked: Mutex<Vec<(&'static str, Value)>>,
}

impl Willing {
    fn answer(&self, function: &'static str, arguments: Value) -> Value {
        self.asked.lock().unwrap().push((function, arguments));
        let entry = json!({"key": "k", "value": {"a": 1}, "version": 7});
        match function {
            "records.get" => entry,
            "records.list" => json!({"entries": [entry], "next": "l"}),
            "records.put" | "records.next" => json!(7),
            "records.count" => json!(-7),
            _ => Value::Null,
        }
    }
}

impl Context for Willing {
    fn call(&self) -> CallId {
        CallId {
            flow: FlowId::new(),
            task: TaskId::new(),
            phase: Phase::Call,
            attempt: 1,
        }
    }
    fn requester(&self) -> &Identity {
        &self.requester
    }
    fn request(&self) -> &Value {
        &Value::Null
    }
    fn fact(&self, _: &str) -> bool {
        false
    }
    fn result(&self, _: &str) -> Option<Value> {
        None
    }
    fn results(&self) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        let answer = self.answer(effect.function(), effect.arguments_dyn());
        Ok(effect.read(answer).unwrap())
    }
    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        let answer = self.answer(look_up.function().unwrap(), look_up.arguments_dyn());
        Ok(look_up.read(answer).unwrap())
    }
    fn log(&self, _: LogLevel, _: String) {}
}

/// Starts a call of a plugin with a grant; returns it with the context that records its requests.
fn call(grant: Option<Grant>) -> (State, Arc<Willing>) {
    let context = Arc::new(Willing {
        requester: Identity::new("ann", "acme"),
        asked: Mutex::default(),
    });
    let granted = Granted {
        settings: "{}".to_owned(),
        grants: Grants::from_iter(grant.map(|grant| ("records".to_owned(), grant))),
        limits: Limits::default(),
        sees_request: false,
    };
    let services = Services {
        enforcer: Arc::new(cairn_policy::Policy::default()),
        domains: Default::default(),
        surroundings: None,
        secrets: Arc::new(cairn_model::secret::NoSecrets),
        rule_plugins: Default::default(),
    };
    let state = State::new(
        Arc::clone(&context) as _,
        Arc::new(granted),
        Arc::new(services),
    );
    (state, context)
}

/// A use of the interface: name, whether it changes something, and function.
type Use = (
    &'static str,
    bool,
    fn(&mut State, String) -> wasmtime::Result<Result<(), types::Error>>,
);

const USES: [Use; 7] = [
    ("records.get", false, |state, name| {
        Ok(Host::get(state, name, "k".to_owned())?.map(drop))
    }),
    ("records.list", false, |state, name| {
        Ok(Host::list(state, name, String::new(), None, 5)?.map(drop))
    }),
    ("records.count", false, |state, name| {
        Ok(Host::count(state, name, "n".to_owned())?.map(drop))
    }),
    ("records.put", true, |state, name| {
        Ok(Host::put(state, name, "k".to_owned(), "1".to_owned(), Expect::Any)?.map(drop))
    }),
    ("records.remove", true, |state, name| {
        Host::remove(state, name, "k".to_owned(), Expect::Any)
    }),
    ("records.add", true, |state, name| {
        Host::add(state, name, "n".to_owned(), 1)
    }),
    ("records.next", true, |state, name| {
        Ok(Host::next(state, name, "s".to_owned())?.map(drop))
    }),
];

#[test]
fn a_narrowed_grant_holds_in_every_function() {
    for (what, changes, act) in USES {
        for (written, collection, granted) in [
            ("true", "dns", true),
            ("{ collections = ['dns'] }", "dns", true),
            ("{ collections = ['dns'] }", "names", false),
            ("{ access = 'read' }", "dns", !changes),
            ("{ collections = ['d*'], access = 'read' }", "dns", !changes),
            ("{ collections = ['dns'], access = 'read' }", "names", false),
        ] {
            let (mut state, context) = call(Some(grant(written)));
            let told = act(&mut state, collection.to_owned()).unwrap();
            let asked = context.asked.lock().unwrap();
            match (told, granted) {
                (Ok(()), true) => assert_eq!(asked[0].0, what, "{written}"),
                (Err(error), false) => {
                    assert_eq!(error.kind, "NotGranted", "{what}: {written}");
                    assert!(error.message.contains(collection), "{}", error.message);
                    assert!(asked.is_empty(), "{what}: {written}");
                }
                (told, _) => panic!("{what} of {collection} with {written}: {told:?}"),
            }
        }
    }
}

#[test]
fn a_grant_that_is_gone_ends_the_call_and_says_why() {
    for (what, _, act) in USES {
        let (mut state, context) = call(None);
        act(&mut state, "dns".to_owned()).expect_err(what);
        let ended = state.ended().expect(what);
        assert!(ended.is_host(HostErrorKind::NotGranted), "{what}: {ended}");
        assert!(context.asked.lock().unwrap().is_empty(), "{what}");
    }
}

#[test]
fn values_versions_and_what_is_expected_cross_the_border_whole() {
    let (mut state, context) = call(Some(Grant::all()));
    let found = Host::get(&mut state, "dns".to_owned(), "k".to_owned()).unwrap();
    let found = found.unwrap().expect("the record is there");
    assert_eq!(
        (found.key.as_str(), found.value.as_str(), found.version),
        ("k", r#"{"a":1}"#, 7)
    );
    let page = Host::list(
        &mut state,
        "dns".to_owned(),
        "p".to_owned(),
        Some("c".to_owned()),
        5,
    );
    let page = page.unwrap().unwrap();
    assert_eq!((page.entries.len(), page.next.as_deref()), (1, Some("l")));
    for expect in [Expect::Absent, Expect::Version(3)] {
        let put = Host::put(
            &mut state,
            "dns".to_owned(),
            "k".to_owned(),
            "[1]".to_owned(),
            expect,
        );
        assert_eq!(put.unwrap().unwrap(), 7);
    }
    let no_json = Host::put(
        &mut state,
        "dns".to_owned(),
        "k".to_owned(),
        "[".to_owned(),
        Expect::Any,
    );
    assert_eq!(no_json.unwrap().unwrap_err().kind, "InvalidInput");
    let asked = context.asked.lock().unwrap();
    assert_eq!(
        asked[1].1,
        json!({"collection": "dns", "prefix": "p", "cursor": "c", "limit": 5})
    );
    let put =
        |expect: Value| json!({"collection": "dns", "key": "k", "value": [1], "expect": expect});
    assert_eq!(asked[2].1, put(json!("absent")));
    assert_eq!(asked[3].1, put(json!({"version": 3})));
    assert_eq!(asked.len(), 4);
}
