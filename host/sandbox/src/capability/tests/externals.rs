//! Objects outside the database, as tasks make them.

use std::path::Path;
use std::time::Duration;

use cairn_manifest::document::Document;
use cairn_model::error::HostErrorKind;

use super::*;
use crate::capability::Externals;
use crate::wit::cairn::plugin::externals::Host;

/// How long a provider takes.
const ACT: Duration = Duration::from_millis(60);

/// Makes an object, as its provider says.
pub(super) fn make(wanted: &Wanted<'_>, made: &Mutex<Vec<String>>) -> Result<Value, TaskError> {
    let Wanted {
        provider,
        kind,
        label,
        spec,
    } = wanted;
    let name = format!("{provider} {kind} {label} {spec}");
    made.lock().unwrap().push(name);
    match *provider {
        "full" => Err(TaskError::new("Full", "no room").with("left", 0)),
        "lost" => Err(TaskError::host(HostErrorKind::InDoubt, "nobody knows")),
        "slow" => {
            std::thread::sleep(ACT);
            Ok(Value::Null)
        }
        _ => Ok(Value::String(label.to_uppercase())),
    }
}

/// Removes an object, as its provider says.
pub(super) fn remove(
    unwanted: &Unwanted<'_>,
    removed: &Mutex<Vec<String>>,
) -> Result<(), TaskError> {
    let Unwanted { provider, kind, id } = unwanted;
    removed
        .lock()
        .unwrap()
        .push(format!("{provider} {kind} {id}"));
    match *provider {
        "full" => Err(TaskError::new("Full", "no room")),
        "lost" => Err(TaskError::host(HostErrorKind::InDoubt, "nobody knows")),
        _ => Ok(()),
    }
}

fn parse(value: &str) -> Result<Option<Grant>, String> {
    let text = format!("externals = {value}");
    let document = Document::new(&text, Path::new("flow.toml")).unwrap();
    let entries = document.parse().unwrap();
    let item = document.root(&entries).get("externals").unwrap();
    Externals.parse(&item).map_err(|error| error.to_string())
}

fn grant(value: &str) -> Grant {
    parse(value).unwrap().unwrap()
}

fn ask(
    state: &mut State,
    provider: &str,
    kind: &str,
    label: &str,
    spec: &str,
) -> wasmtime::Result<Result<String, types::Error>> {
    let [provider, kind, label, spec] = [provider, kind, label, spec].map(str::to_owned);
    Host::make(state, provider, kind, label, spec)
}

#[test]
fn a_task_makes_an_object_and_gets_its_result() {
    let (mut state, context) = call("externals", Some(Grant::all()));
    let made = ask(&mut state, "pdns", "record", "main", "{\"ip\": 1}").unwrap();
    assert_eq!(made.unwrap(), "\"MAIN\"");
    let made = context.made.lock().unwrap();
    assert_eq!(*made, ["pdns record main {\"ip\":1}"]);
}

#[test]
fn a_task_removes_an_object_that_its_grant_reaches() {
    let narrow = grant("{ providers = ['pdns', 'full', 'lost'], kinds = ['record'] }");
    let (mut state, context) = call("externals", Some(narrow));
    let mut remove = |provider: &str, kind: &str, id: &str| {
        let [provider, kind, id] = [provider, kind, id].map(str::to_owned);
        Host::remove(&mut state, provider, kind, id)
    };
    remove("pdns", "record", "an-id").unwrap().unwrap();
    assert_eq!(
        remove("full", "record", "an-id").unwrap().unwrap_err().kind,
        "Full"
    );
    // The host ends the call: what there is is not known.
    remove("lost", "record", "an-id").unwrap_err();
    for (provider, kind, id, why) in [
        ("bind", "record", "an-id", "NotGranted"),
        ("pdns", "zone", "an-id", "NotGranted"),
        ("pdns", "record", "an\nid", "InvalidInput"),
    ] {
        let refused = remove(provider, kind, id).unwrap().unwrap_err();
        assert_eq!(refused.kind, why);
    }
    let removed = context.made.lock().unwrap();
    let asked = [
        "pdns record an-id",
        "full record an-id",
        "lost record an-id",
    ];
    assert_eq!(*removed, asked, "a refusal does not reach the host");
}

#[test]
fn a_narrowed_grant_holds_for_providers_and_for_kinds() {
    let narrow = grant("{ providers = ['pdns', 'ldap-*'], kinds = ['record'] }");
    let (mut state, context) = call("externals", Some(narrow));
    for (provider, kind, says) in [
        ("bind", "record", "the provider `bind`"),
        ("pdns", "zone", "the kind of objects `zone`"),
    ] {
        let refused = ask(&mut state, provider, kind, "main", "{}").unwrap();
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, "NotGranted");
        assert!(refused.message.contains(says), "{}", refused.message);
    }
    assert_eq!(context.made.lock().unwrap().len(), 0);
    for provider in ["pdns", "ldap-2"] {
        let made = ask(&mut state, provider, "record", "main", "{}").unwrap();
        made.unwrap();
    }
    assert_eq!(context.made.lock().unwrap().len(), 2);
}

#[test]
fn a_call_without_the_grant_ends() {
    let (mut state, context) = call("externals", None);
    ask(&mut state, "pdns", "record", "main", "{}").unwrap_err();
    let ended = state.ended().unwrap();
    assert_eq!(ended.kind, HostErrorKind::NotGranted.as_str());
    assert_eq!(context.made.lock().unwrap().len(), 0);
}

#[test]
fn what_cannot_name_or_describe_an_object_is_refused() {
    let (mut state, context) = call("externals", Some(Grant::all()));
    let long = "x".repeat(256);
    for (kind, label, spec, says) in [
        ("", "main", "{}", "the kind is empty"),
        (&*long, "main", "{}", "the kind has 256 characters"),
        (
            "record\n",
            "main",
            "{}",
            "the kind has the control character",
        ),
        ("record", " ", "{}", "the label is empty"),
        ("record", &*long, "{}", "the label has 256 characters"),
        ("record", "main", "{", "the spec"),
    ] {
        let refused = ask(&mut state, "pdns", kind, label, spec).unwrap();
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, "InvalidInput", "{says}");
        assert!(refused.message.contains(says), "{}", refused.message);
    }
    assert_eq!(context.made.lock().unwrap().len(), 0);
}

#[test]
fn the_time_of_a_provider_does_not_count_towards_the_deadline() {
    let limits = Limits {
        deadline: ACT / 2,
        ..Limits::default()
    };
    let (mut state, context) = call_within(limits, "externals", Some(Grant::all()));
    for label in ["one", "two", "three"] {
        let made = ask(&mut state, "slow", "record", label, "{}").unwrap();
        made.unwrap();
    }
    assert_eq!(context.made.lock().unwrap().len(), 3);
    // The task's own time does.
    std::thread::sleep(ACT / 2);
    ask(&mut state, "slow", "record", "four", "{}").unwrap_err();
    assert_eq!(context.made.lock().unwrap().len(), 3);
}

#[test]
fn a_task_may_handle_a_refusal_and_not_an_act_in_doubt() {
    let (mut state, _) = call("externals", Some(Grant::all()));
    let refused = ask(&mut state, "full", "record", "main", "{}").unwrap();
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, "Full");
    assert_eq!(refused.details.as_deref(), Some("{\"left\":0}"));
    assert!(state.ended().is_none());
    ask(&mut state, "lost", "record", "main", "{}").unwrap_err();
    let ended = state.ended().unwrap();
    assert_eq!(ended.kind, HostErrorKind::InDoubt.as_str());
}

#[test]
fn two_grants_together_reach_what_each_of_them_does() {
    let pdns = "{ providers = ['pdns'] }";
    let records = "{ kinds = ['record'] }";
    let both = "{ providers = ['pdns'], kinds = ['record'] }";
    for (one, other, expected) in [
        ("true", "true", Some("true")),
        ("true", both, Some(both)),
        (pdns, records, Some(both)),
        (
            both,
            "{ providers = ['p*'], kinds = ['zone', 'record'] }",
            Some(both),
        ),
        (pdns, "{ providers = ['bind'] }", None),
        (both, "{ kinds = ['zone'] }", None),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let found = Externals.within(&grant(one), &grant(other));
            assert_eq!(found, expected.map(grant), "{one} and {other}");
        }
    }
}

#[test]
fn what_is_no_grant_is_refused_with_the_fix() {
    assert_eq!(parse("false"), Ok(None));
    for (value, expected) in [
        (
            "1",
            "`externals` must be true, false, or a table that narrows the grant",
        ),
        ("{}", "`externals` narrows nothing"),
        (
            "{ provider = ['pdns'] }",
            "unknown key `provider` in [externals]",
        ),
        ("{ providers = [] }", "`externals.providers` is empty"),
    ] {
        let error = parse(value).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("help: "), "{error}");
    }
}
