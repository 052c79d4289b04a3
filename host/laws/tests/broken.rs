//! A task that breaks one law fails that law and no other, with the shortest sequence of host calls that shows it.

mod guests;

use std::collections::BTreeSet;
use std::path::Path;

use cairn::Diagnostic;
use cairn::plan::Role;
use cairn_laws::{Broken, Call, Case, Checked, Law, LawsError, Subject, test};
use serde_json::json;

use guests::{component, tools};

fn lawless() -> Subject {
    Subject::file(component("lawless.wasm"))
}

fn parse(text: &str) -> Result<Vec<Case>, Diagnostic> {
    let roles = BTreeSet::from([Role::Task]);
    Case::parse(text, Path::new("cases.toml"), &roles)
}

/// Tries all laws on the guest that breaks `what`. `more` is added to its case.
fn try_laws(what: &str, more: &str) -> Checked {
    let case = format!(
        "[[case]]\nname = 'one'\nsettings = {{ breaks = '{what}' }}\n\
         state = {{ volumes = [{{ id = 'v1', size = 1 }}] }}\n{more}"
    );
    let cases = parse(&case).unwrap();
    let tested = test(&tools(), &lawless(), &cases, &Law::ALL).unwrap();
    let [checked] = <[Checked; 1]>::try_from(tested.cases).unwrap();
    assert_eq!(checked.unexpected, None);
    checked
}

/// Returns the only law that is broken.
fn broken(what: &str, more: &str, law: Law) -> Broken {
    let checked = try_laws(what, more);
    let laws: Vec<Law> = checked.broken.iter().map(|broken| broken.law).collect();
    assert_eq!(laws, [law], "{:#?}", checked.broken);
    checked.broken.into_iter().next().unwrap()
}

/// Returns the functions of the sequence.
fn functions(broken: &Broken) -> Vec<&str> {
    let sequence = broken.sequence.iter();
    sequence.map(|asked| asked.function.as_str()).collect()
}

fn differences(broken: &Broken) -> Vec<String> {
    broken.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn a_task_whose_effects_the_host_undoes_keeps_every_law() {
    assert_eq!(try_laws("nothing", "").broken, []);
}

#[test]
fn what_a_revert_keeps_must_be_named() {
    let broken = broken("revert", "", Law::Revert);
    assert_eq!(functions(&broken), ["volumes.update", "volumes.update"]);
    assert_eq!(
        differences(&broken),
        [
            "volumes/v1: host was null, and is \"host-1\"",
            "volumes/v1: status was \"available\", and is \"moving\""
        ]
    );
    let named = "keep = ['volumes/v1.host', 'volumes/*.status']";
    assert_eq!(try_laws("revert", named).broken, []);
}

/// The settings of records for cases of the guest that uses them.
const RECORDS: &str =
    "host = { records = { marks = { sequences = ['numbers'], counters = { made = {} } } } }";

#[test]
fn records_counters_and_sequences_that_the_host_takes_back_keep_every_law() {
    assert_eq!(try_laws("records", RECORDS).broken, []);
}

#[test]
fn a_record_that_is_left_after_a_revert_is_caught_unless_it_is_named() {
    let broken = broken("record", RECORDS, Law::Revert);
    assert_eq!(functions(&broken), ["records.put", "records.put"]);
    let [found] = &differences(&broken)[..] else {
        panic!("{broken:?}")
    };
    assert!(
        found.starts_with("records/demo/marks/mark is new: "),
        "{found}"
    );
    let named = format!("{RECORDS}\nkeep = ['records/demo/marks/mark']");
    assert_eq!(try_laws("record", &named).broken, []);
}

#[test]
fn what_is_named_must_be_left() {
    let broken = broken("nothing", "keep = ['volumes/v1']", Law::Revert);
    assert_eq!(
        broken.message,
        "`keep` names volumes/v1, and nothing of it is left"
    );
}

#[test]
fn a_revert_that_changes_something_when_it_is_repeated_is_caught() {
    let broken = broken("twice", "keep = ['volumes/v1.status']", Law::Twice);
    let once = ["catalog.volume", "volumes.update"];
    assert_eq!(functions(&broken), [once, once].concat());
    assert_eq!(
        differences(&broken),
        ["volumes/v1: status was \"error\", and is \"available\""]
    );
}

#[test]
fn a_call_that_passes_over_a_refusal_and_keeps_the_rest_is_caught_at_the_call_that_was_refused() {
    let broken = broken("failure", "", Law::Failure);
    assert!(
        broken.message.starts_with("when host call 2 is refused"),
        "{}",
        broken.message
    );
    assert_eq!(functions(&broken), ["volumes.update", "volumes.update"]);
    assert!(broken.sequence[0].error.is_none() && broken.sequence[1].error.is_some());
    assert_eq!(
        differences(&broken),
        ["volumes/v1: status was \"available\", and is \"moving\""]
    );
}

#[test]
fn a_revert_that_changes_something_after_a_cut_off_is_caught_at_the_first_call() {
    let broken = broken("cut-off", "", Law::CutOff);
    assert!(
        broken
            .message
            .starts_with("when the call is cut off after host call 1"),
        "{}",
        broken.message
    );
    assert_eq!(functions(&broken), ["volumes.update"]);
    assert_eq!(
        differences(&broken),
        ["volumes/v1: status was \"available\", and is \"error\""]
    );
}

#[test]
fn a_revert_that_must_know_how_the_call_ended_is_caught_before_the_first_call() {
    let broken = broken("interrupted", "", Law::Interrupted);
    assert_eq!(
        broken.message,
        "when the host dies before the first host call, its revert failed: EndUnknown: how did the call end?"
    );
    assert_eq!(functions(&broken), [""; 0]);
}

#[test]
fn requests_that_depend_on_randomness_or_on_the_clock_are_caught_unless_the_case_allows_them() {
    for (what, how, varies) in [
        ("random-requests", "with other randomness", "randomness"),
        ("timed-requests", "at another time", "clock"),
    ] {
        let broken = broken(what, "", Law::SameRequests);
        assert!(broken.message.contains(how), "{}", broken.message);
        assert!(broken.message.contains("request 2"), "{}", broken.message);
        assert_eq!(functions(&broken), ["volumes.update", "volumes.update"]);
        let allowed = format!("varies_with = ['{varies}']");
        // Runs with equal clock and randomness still give equal requests.
        assert_eq!(try_laws(what, &allowed).broken, []);
    }
}

#[test]
fn a_case_that_does_not_fit_is_refused_with_its_name() {
    for (settings, more, reason) in [
        (
            "{ breaks = 'nothing' }",
            "state = { volumes = [{ id = 'v', colour = 'red' }] }",
            "colour",
        ),
        ("{ breaks = 'everything' }", "", "breaks"),
        (
            "{ breaks = 'nothing' }",
            "before = [{ plugin = 'builtin:nobody' }]",
            "nobody",
        ),
        ("{ breaks = 'nothing' }", "grants = {}", "volumes"),
        (
            "{ breaks = 'nothing' }",
            "before = [{ plugin = 'builtin:quota-reserve' }]\ninputs = { size = 5000 }",
            "which runs before, failed",
        ),
    ] {
        let case = format!("[[case]]\nname = 'odd'\nsettings = {settings}\n{more}");
        let cases = parse(&case).unwrap();
        let refused = test(&tools(), &lawless(), &cases, &[]).unwrap_err();
        let LawsError::Invalid(diagnostic) = refused else {
            panic!("{refused}");
        };
        assert!(diagnostic.message.contains(reason), "{diagnostic}");
        assert!(diagnostic.message.contains("case `odd`"), "{diagnostic}");
    }
}

#[test]
fn a_file_of_cases_that_is_wrong_is_refused_with_its_line() {
    for (text, reason, line) in [
        ("", "case", None),
        ("case = []", "no [[case]]", None),
        ("[[case]]\nname = 'a'\nsize = 1", "size", Some(3)),
        (
            "[[case]]\nname = 'a'\n[[case]]\nname = 'a'",
            "two cases are called `a`",
            None,
        ),
        (
            "[[case]]\nname = 'a'\nkeep = ['volumes']",
            "names nothing to keep",
            Some(3),
        ),
        (
            "[[case]]\nname = 'a'\ninputs = '[1]'",
            "JSON object",
            Some(3),
        ),
        (
            "[[case]]\nname = 'a'\nexpect = { error = 'A', result = 1 }",
            "result and an error",
            None,
        ),
    ] {
        let refused = parse(text).unwrap_err();
        assert!(refused.message.contains(reason), "{refused}");
        if line.is_some() {
            assert_eq!(refused.line, line, "{refused}");
        }
    }
}

#[test]
fn an_object_outside_the_database_is_what_a_fake_says_and_there_is_no_provider_otherwise() {
    let tools = tools();
    let mut call = Call::default();
    call.settings.insert("breaks".to_owned(), "external".into());
    let without = cairn_laws::call(&tools, &lawless(), &call, false).unwrap();
    assert_eq!(without.error.unwrap().kind, "ProviderNotFound");

    let answers = json!({"make": {"answer": true}});
    let kinds = tools.plugins.kinds();
    let added = call
        .fakes
        .add("externals", answers.as_object().unwrap(), kinds);
    added.unwrap();
    let called = cairn_laws::call(&tools, &lawless(), &call, false).unwrap();
    assert_eq!(called.error, None);
    assert_eq!(called.result, json!({"has_host": true}));
    let [asked] = &called.asked[..] else {
        panic!("{:?}", called.asked);
    };
    assert_eq!(asked.function, "externals.make");
    assert_eq!(
        asked.arguments,
        json!({"provider": "pdns", "kind": "record", "label": "main", "spec": {"name": "db"}})
    );
}
