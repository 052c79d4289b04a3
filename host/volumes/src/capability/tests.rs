//! Every function of `quota` enforces a narrowed grant, and a missing grant ends the call.

use std::sync::{Arc, Mutex};

use cairn_effects::event::LogLevel;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::Context;
use cairn_manifest::manifest::{Grant, Grants, Limits};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::value::Value;
use serde_json::json;

use super::wit::cairn::plugin::quota::{Delta, Host as Quota, QuotaError};
use cairn_sandbox::capability::{Granted, Services, State};
use cairn_sandbox::wasmtime;

/// A context that accepts and records every effect. The id of an open reservation is its resource, that of a volume type its name.
struct Willing {
    requester: Identity,
    applied: Mutex<Vec<&'static str>>,
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
        self.applied.lock().unwrap().push(effect.name());
        let answer = match effect.name() {
            "quota_reserve" => json!([]),
            _ => Value::Null,
        };
        Ok(effect.read(answer).unwrap())
    }
    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        let arguments = look_up.arguments_dyn();
        let answer = match look_up.function() {
            Some("quota.with-volume-type") => &arguments["volume-type-id"],
            None => &arguments["reservations"],
            other => panic!("unexpected look-up {other:?}"),
        };
        Ok(look_up.read(answer.clone()).unwrap())
    }
    fn log(&self, _: LogLevel, _: String) {}
}

/// Starts a call of a plugin with one grant; returns it with the context that records its effects.
fn call(capability: &str, grant: Option<Grant>) -> (State, Arc<Willing>) {
    let context = Arc::new(Willing {
        requester: Identity::new("ann", "acme"),
        applied: Mutex::default(),
    });
    let granted = Granted {
        settings: "{}".to_owned(),
        grants: Grants::from_iter(grant.map(|grant| (capability.to_owned(), grant))),
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

fn only(names: &[&str]) -> Option<Grant> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Some(Grant::only("resources", names))
}

fn delta(resource: &str, amount: i64) -> Delta {
    Delta {
        resource: resource.to_owned(),
        amount,
    }
}

/// A use of the interface `quota` with a resource's name.
type Use = fn(&mut State, &str) -> wasmtime::Result<Result<(), QuotaError>>;

const USES: [(&str, Use); 6] = [
    ("reserve", |state, name| {
        Ok(Quota::reserve(state, vec![delta("volumes", 1), delta(name, 1)])?.map(drop))
    }),
    ("reserve a negative amount", |state, name| {
        Ok(Quota::reserve(state, vec![delta("volumes", 1), delta(name, -1)])?.map(drop))
    }),
    ("commit", |state, name| {
        Quota::commit(state, vec!["volumes".to_owned(), name.to_owned()])
    }),
    ("rollback", |state, name| {
        Quota::rollback(state, vec!["volumes".to_owned(), name.to_owned()])
    }),
    ("with_volume_type, without a type", |state, name| {
        Ok(Quota::with_volume_type(state, vec![delta(name, 1)], None)?.map(drop))
    }),
    ("with_volume_type", |state, name| {
        let kind = name.strip_prefix("volumes_").unwrap_or("any").to_owned();
        Ok(Quota::with_volume_type(state, vec![delta("volumes", 1)], Some(kind))?.map(drop))
    }),
];

#[test]
fn a_narrowed_grant_of_quota_holds_in_every_function() {
    for (what, act) in USES {
        let narrow = only(&["volumes", "volumes_slow"]);
        let (mut state, context) = call("quota", narrow);
        match act(&mut state, "volumes_fast").unwrap() {
            Err(QuotaError::Other(error)) => {
                assert_eq!(error.kind, "NotGranted", "{what}");
                assert!(
                    error.message.contains("`volumes_fast`"),
                    "{}",
                    error.message
                );
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(context.applied.lock().unwrap().len(), 0, "{what}");

        // Resources inside of the grant are allowed; a grant that is not narrowed allows all.
        act(&mut state, "volumes_slow")
            .unwrap()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (mut state, _) = call("quota", Some(Grant::all()));
        act(&mut state, "volumes_fast")
            .unwrap()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    }
}

#[test]
fn a_grant_that_is_gone_ends_the_call_and_says_why() {
    for (what, act) in USES {
        let (mut state, context) = call("quota", None);
        act(&mut state, "volumes").expect_err(what);
        let ended = state.ended().expect(what);
        assert!(ended.is_host(HostErrorKind::NotGranted), "{what}: {ended}");
        assert!(ended.message.contains("`quota`"), "{ended}");
        assert_eq!(context.applied.lock().unwrap().len(), 0, "{what}");
    }
}
