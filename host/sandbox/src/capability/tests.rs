//! Narrowed grants, the time that counts towards the deadline, and the length of errors.

mod externals;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_effects::event::LogLevel;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::{Context, Unwanted, Wanted};
use cairn_manifest::manifest::{Grants, Limits};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::secret::Secret;
use cairn_model::stall;

use super::*;
use crate::wit::cairn::plugin::rpc::Host as Rpc;
use crate::wit::cairn::plugin::secrets::Host as Secrets;

/// A context that applies every effect and makes every object, and records their names.
struct Willing {
    requester: Identity,
    applied: Mutex<Vec<&'static str>>,
    made: Mutex<Vec<String>>,
    /// What each effect waits for.
    delay: fn(),
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
        (self.delay)();
        self.applied.lock().unwrap().push(effect.name());
        Ok(effect.read(Value::Null).unwrap())
    }
    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        panic!("nobody asks {:?}", look_up.function())
    }
    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        externals::make(wanted, &self.made)
    }
    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        externals::remove(unwanted, &self.made)
    }
    fn log(&self, _: LogLevel, _: String) {}
}

/// Creates the state of a call with one grant, and its context.
fn call(capability: &str, grant: Option<Grant>) -> (State, Arc<Willing>) {
    call_within(Limits::default(), capability, grant)
}

fn call_within(limits: Limits, capability: &str, grant: Option<Grant>) -> (State, Arc<Willing>) {
    call_with(limits, capability, grant, || ())
}

fn call_with(
    limits: Limits,
    capability: &str,
    grant: Option<Grant>,
    delay: fn(),
) -> (State, Arc<Willing>) {
    let context = Arc::new(Willing {
        requester: Identity::new("ann", "acme"),
        applied: Mutex::default(),
        made: Mutex::default(),
        delay,
    });
    let granted = Granted {
        settings: "{}".to_owned(),
        grants: Grants::from_iter(grant.map(|grant| (capability.to_owned(), grant))),
        limits,
        sees_request: false,
    };
    let services = Services {
        enforcer: Arc::new(cairn_policy::Policy::default()),
        domains: Default::default(),
        surroundings: None,
        secrets: Arc::new(BTreeMap::from([
            ("other".to_owned(), Secret::new("hunter3")),
            ("pdns".to_owned(), Secret::new("hunter2")),
        ])),
        rule_plugins: Default::default(),
    };
    let state = State::new(
        Arc::clone(&context) as _,
        Arc::new(granted),
        Arc::new(services),
    );
    (state, context)
}

#[test]
fn a_narrowed_grant_of_rpc_holds() {
    let topics = Some(Grant::only("topics", ["storage.*".to_owned()].into()));
    let (mut state, context) = call("rpc", topics);
    let mut cast = |topic: &str| {
        Rpc::cast(
            &mut state,
            topic.to_owned(),
            "go".to_owned(),
            "{}".to_owned(),
        )
        .unwrap()
    };
    assert_eq!(cast("cinder-scheduler").unwrap_err().kind, "NotGranted");
    assert_eq!(context.applied.lock().unwrap().len(), 0);
    cast("storage.one").unwrap();
    assert_eq!(context.applied.lock().unwrap().len(), 1);
}

/// Casts messages whose effects take two deadlines each, and returns how many were applied.
fn casts_with(delay: fn()) -> usize {
    let limits = Limits {
        deadline: SLOW / 2,
        ..Limits::default()
    };
    let (mut state, context) = call_with(limits, "rpc", Some(Grant::all()), delay);
    for _ in 0..2 {
        let (topic, method, body) = ("storage".to_owned(), "go".to_owned(), "{}".to_owned());
        let _ = Rpc::cast(&mut state, topic, method, body);
    }
    context.applied.lock().unwrap().len()
}

/// How long a slow effect takes.
const SLOW: Duration = Duration::from_millis(200);

#[test]
fn the_time_in_which_the_host_waits_for_its_database_does_not_count_towards_the_deadline() {
    assert_eq!(casts_with(|| stall::during(|| std::thread::sleep(SLOW))), 2);
    // The work of the host for the plugin does: the second call is too late.
    assert_eq!(casts_with(|| std::thread::sleep(SLOW)), 1);
}

#[test]
fn a_secret_is_given_by_name_within_the_grant() {
    let names = ["pdns".to_owned(), "gone".to_owned()].into();
    let (mut state, _) = call("secrets", Some(Grant::only("names", names)));
    let mut get = |name: &str| Secrets::get(&mut state, name.to_owned()).unwrap();
    assert_eq!(get("pdns").unwrap(), "hunter2");
    let error = get("gone").unwrap_err();
    assert_eq!(error.kind, "SecretUnavailable");
    assert_eq!(
        error.message,
        "the secret `gone` is not set up: see the operator's settings"
    );
    assert_eq!(get("other").unwrap_err().kind, "NotGranted");
    let (mut state, _) = call("secrets", None);
    assert!(Secrets::get(&mut state, "pdns".to_owned()).is_err());
}

#[test]
fn an_error_is_cut_short_where_a_character_ends() {
    let long = "é".repeat(MAX_DETAILS);
    let error = from_wit(types::Error {
        kind: long.clone(),
        message: long.clone(),
        details: Some(format!("\"{long}\"")),
    });
    assert_eq!(error.kind, format!("{}…", "é".repeat(MAX_KIND / 2)));
    assert_eq!(error.message, format!("{}…", "é".repeat(MAX_MESSAGE / 2)));
    let details = error.details.as_str().unwrap();
    assert!(details.starts_with("\"é") && details.ends_with("é…"));
    assert!(details.len() <= MAX_DETAILS + "…".len());
}
