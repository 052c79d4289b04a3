use serde_json::json;

use cairn_model::error::HostErrorKind;

use super::*;

struct Fixed<T>(&'static str, T);

impl Policy for Fixed<Result<Decision, TaskError>> {
    fn name(&self) -> &str {
        self.0
    }

    fn check(
        &self,
        _: &Identity,
        _: &str,
        _: &Object,
        said: &mut Said<'_>,
    ) -> Result<Decision, TaskError> {
        said(LogLevel::Info, "asked".to_owned());
        self.1.clone()
    }
}

impl Validator for Fixed<Result<Vec<Violation>, TaskError>> {
    fn name(&self) -> &str {
        self.0
    }

    fn validate(
        &self,
        _: &Identity,
        _: &Value,
        _: &mut Said<'_>,
    ) -> Result<Vec<Violation>, TaskError> {
        self.1.clone()
    }
}

fn policy(
    mode: Mode,
    name: &'static str,
    answer: Result<Decision, TaskError>,
) -> (Mode, Arc<dyn Policy>) {
    (mode, Arc::new(Fixed(name, answer)))
}

fn deny(reason: &str) -> Result<Decision, TaskError> {
    Ok(Decision::Deny(reason.to_owned()))
}

fn trap() -> TaskError {
    TaskError::host(HostErrorKind::Trap, "unreachable")
}

fn violation(pointer: &str, kind: &str) -> Violation {
    Violation {
        pointer: pointer.to_owned(),
        kind: kind.to_owned(),
        message: "is wrong".to_owned(),
    }
}

fn validator(name: &'static str, answer: Result<Vec<Violation>, TaskError>) -> Arc<dyn Validator> {
    Arc::new(Fixed(name, answer))
}

/// Runs the checks; returns the result, and the events without logs.
fn pass(
    policies: Vec<(Mode, Arc<dyn Policy>)>,
    validators: Vec<Arc<dyn Validator>>,
) -> (Result<(), TaskError>, Vec<Event>) {
    let admission = Admission::new("ticket:open", policies, validators);
    let mut events = Vec::new();
    let requester = Identity::new("ann", "blue");
    let result = admission.pass(&requester, &json!({"size": 1}), &mut |event| {
        if !matches!(event, Event::CheckLog { .. }) {
            events.push(event);
        }
    });
    (result, events)
}

#[test]
fn no_policy_is_asked_after_the_first_enforced_denial() {
    let (result, _) = pass(
        vec![
            policy(Mode::Enforce, "a", Ok(Decision::Allow)),
            policy(Mode::Enforce, "b", deny("closed")),
            policy(Mode::Enforce, "c", deny("also closed")),
        ],
        vec![validator("v", Err(trap()))],
    );
    let error = result.unwrap_err();
    assert_eq!(
        (error.origin, error.kind.as_str()),
        (Origin::Policy, NOT_AUTHORIZED)
    );
    assert_eq!(error.message, "policy `b` denies `ticket:open`: closed");
    assert_eq!(
        error.details,
        json!({"reason": "closed", "action": "ticket:open", "policy": "b"})
    );
}

#[test]
fn a_policy_that_fails_denies() {
    let (result, _) = pass(vec![policy(Mode::Enforce, "a", Err(trap()))], Vec::new());
    let error = result.unwrap_err();
    assert_eq!(
        (error.origin, error.kind.as_str()),
        (Origin::Policy, NOT_AUTHORIZED)
    );
    assert_eq!(error.details["failure"]["kind"], "Trap");
}

#[test]
fn in_monitor_mode_a_denial_and_a_failure_are_noted_and_let_pass() {
    let (result, events) = pass(
        vec![
            policy(Mode::Monitor, "a", deny("closed")),
            policy(Mode::Monitor, "b", Err(trap())),
            policy(Mode::Monitor, "c", Ok(Decision::Allow)),
        ],
        Vec::new(),
    );
    assert_eq!(result, Ok(()));
    let noted: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::WouldDeny { policy, error } => (policy.as_str(), error.kind.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(noted, [("a", NOT_AUTHORIZED), ("b", NOT_AUTHORIZED)]);
}

#[test]
fn every_violation_of_every_validator_is_in_the_error() {
    let found = vec![violation("/a", "Own"), violation("", "Own")];
    let (result, _) = pass(
        Vec::new(),
        vec![
            validator("v", Ok(found)),
            validator("w", Ok(vec![violation("/b", "Own")])),
        ],
    );
    let error = result.unwrap_err();
    assert_eq!((error.origin, error.kind.as_str()), (Origin::Plugin, "Own"));
    assert_eq!(
        error.message,
        "the request has 3 violations: /a: is wrong; and 2 more"
    );
    let places: Vec<_> = error.details["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["validator"].as_str(), one["pointer"].as_str()))
        .collect();
    assert_eq!(
        places,
        [
            (Some("v"), Some("/a")),
            (Some("v"), Some("")),
            (Some("w"), Some("/b"))
        ]
    );
}

#[test]
fn violations_of_several_kinds_are_invalid_input() {
    let found = vec![violation("/a", "Own"), violation("/b", "Other")];
    let (result, _) = pass(Vec::new(), vec![validator("v", Ok(found))]);
    assert_eq!(result.unwrap_err().kind, "InvalidInput");
    let (result, _) = pass(
        Vec::new(),
        vec![validator("v", Ok(vec![violation("/a", "")]))],
    );
    assert_eq!(result.unwrap_err().kind, "InvalidInput");
}

#[test]
fn a_validator_that_fails_refuses_and_what_others_found_is_told() {
    let (result, _) = pass(
        Vec::new(),
        vec![
            validator("v", Err(trap())),
            validator("w", Ok(vec![violation("/b", "Own")])),
        ],
    );
    let error = result.unwrap_err();
    assert_eq!((error.origin, error.kind.as_str()), (Origin::Host, "Trap"));
    assert_eq!(error.details["validator"], "v");
    assert_eq!(error.details["violations"][0]["pointer"], "/b");
}

#[test]
fn a_target_is_the_callers_whatever_the_request_says() {
    let requester = Identity::new("ann", "blue");
    let forged = json!({"project_id": "red", "user_id": "root", "size": 1});
    let expected = json!({"project_id": "blue", "user_id": "ann", "size": 1});
    assert_eq!(Value::Object(target(&requester, &forged)), expected);
    let expected = json!({"project_id": "blue", "user_id": "ann", "request": [1]});
    assert_eq!(Value::Object(target(&requester, &json!([1]))), expected);
}

#[test]
fn a_rule_that_asks_for_a_plugin_that_is_not_there_fails() {
    let plugins = RulePlugins::new([policy(Mode::Enforce, "a", deny("closed")).1]);
    let requester = Identity::new("ann", "blue");
    let asks = plugins.on_behalf_of(&requester, &|_, _, _| {});
    assert_eq!(
        asks.ask("a", "x", &Object::new()),
        PluginAnswer::Denies("closed".to_owned())
    );
    assert!(matches!(
        asks.ask("b", "x", &Object::new()),
        PluginAnswer::Fails(_)
    ));
}
