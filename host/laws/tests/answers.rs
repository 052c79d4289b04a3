//! Runs cases of policies and validators, with the law that the same question gets the same answer.

mod guests;

use std::collections::BTreeSet;
use std::path::Path;

use cairn::plan::Role;
use cairn_laws::{Case, Checked, Law, LawsError, Subject, test};

use guests::{component, tools};

/// Runs the only case of a text on the guest of that role, with all laws.
fn try_case(role: Role, text: &str) -> Result<Checked, LawsError> {
    let guest = match role {
        Role::Task => "lawless.wasm",
        Role::Policy => "examples/fickle_policy.wasm",
        Role::Validator => "examples/fickle_validator.wasm",
        Role::External => panic!("externals have tests of their own"),
    };
    let cases = Case::parse(text, Path::new("cases.toml"), &BTreeSet::from([role]))?;
    let subject = Subject::file(component(guest));
    let tested = test(&tools(), &subject, &cases, &Law::ALL)?;
    let [checked] = <[Checked; 1]>::try_from(tested.cases).unwrap();
    assert_eq!(checked.laws, [Law::SameAnswer]);
    Ok(checked)
}

fn policy(more: &str) -> Checked {
    let text = format!("[[case]]\nname = 'one'\naction = 'volume:create'\n{more}");
    try_case(Role::Policy, &text).unwrap()
}

fn validator(more: &str) -> Checked {
    try_case(Role::Validator, &format!("[[case]]\nname = 'one'\n{more}")).unwrap()
}

#[test]
fn a_policy_is_asked_by_the_requester_of_its_case_about_action_and_target() {
    let own = "settings = { by = 'nothing' }\ntarget = { size = 1 }\n\
        expect = { deny = 'demo of demo with : volume:create {\"project_id\":\"demo\",\"size\":1,\"user_id\":\"demo\"}' }";
    let other = "settings = { by = 'nothing' }\ntarget = { project_id = 'red' }\n\
        requester = { user = 'ada', project = 'blue', roles = ['a', 'b'] }\n\
        expect = { deny = 'ada of blue with a+b: volume:create {\"project_id\":\"red\",\"user_id\":\"ada\"}' }";
    for case in [own, other] {
        let checked = policy(case);
        assert!(checked.is_ok(), "{checked:#?}");
    }
    let unexpected = policy("settings = { by = 'nothing' }").unexpected.unwrap();
    assert_eq!(unexpected.expected, "allow");
    assert!(
        unexpected.found.starts_with("deny: demo of demo"),
        "{unexpected:?}"
    );
}

#[test]
fn the_clock_of_a_policy_stands_where_its_case_says() {
    let case = "settings = { by = 'clock' }\nvaries_with = ['clock']\n";
    // The usual time of cases, and the time of this case.
    for (now, seconds) in [
        ("", 1_750_233_600_u64),
        ("now = 1970-01-01T00:01:00Z\n", 60),
    ] {
        let expect = format!("expect = {{ deny = 'tv_sec: {seconds}, tv_nsec: 0' }}");
        let checked = policy(&format!("{case}{now}{expect}"));
        assert!(checked.is_ok(), "{checked:#?}");
    }
}

#[test]
fn an_answer_of_a_policy_that_depends_on_clock_or_randomness_is_caught_unless_the_case_allows_it() {
    for (by, how) in [
        ("clock", "asked at another time, the answer is `deny: "),
        (
            "randomness",
            "asked with other randomness, the answer is `deny: ",
        ),
    ] {
        let case = format!("settings = {{ by = '{by}' }}\nexpect = 'deny'\n");
        let checked = policy(&case);
        assert_eq!(checked.unexpected, None);
        let [broken] = &checked.broken[..] else {
            panic!("{checked:#?}");
        };
        assert_eq!(broken.law, Law::SameAnswer);
        assert!(broken.message.starts_with(how), "{}", broken.message);
        let checked = policy(&format!("{case}varies_with = ['{by}']"));
        assert!(checked.is_ok(), "{checked:#?}");
    }
}

#[test]
fn a_validator_is_asked_about_the_inputs_of_its_case() {
    let case = "settings = { by = 'nothing' }\ninputs = { size = 1 }\n";
    let expect = "expect = { violations = [{ pointer = '', kind = 'InvalidInput', message = '{\"size\":1}' }, \
        { pointer = '/size', kind = 'Fickle' }] }";
    let checked = validator(&format!("{case}{expect}"));
    assert!(checked.is_ok(), "{checked:#?}");
    let unexpected = validator(case).unexpected.unwrap();
    assert_eq!(unexpected.expected, "no violation");
    assert_eq!(
        unexpected.found,
        "\"\" InvalidInput: {\"size\":1}\n/size Fickle: "
    );
}

#[test]
fn an_answer_of_a_validator_that_depends_on_anything_else_is_caught() {
    for (by, how) in [
        ("clock", "asked at another time"),
        ("randomness", "asked with other randomness"),
        ("requester", "asked by another requester"),
    ] {
        let checked = validator(&format!("settings = {{ by = '{by}' }}"));
        let [broken] = &checked.broken[..] else {
            panic!("{checked:#?}");
        };
        assert_eq!(broken.law, Law::SameAnswer);
        assert!(broken.message.starts_with(how), "{}", broken.message);
        assert!(broken.sequence.is_empty() && broken.differences.is_empty());
    }
}

#[test]
fn a_case_that_does_not_fit_its_plugin_is_refused_with_its_name() {
    for (role, case, reason) in [
        (Role::Policy, "action = 'a:b'", "`by`"),
        (Role::Validator, "settings = { by = 'chance' }", "chance"),
        (
            Role::Policy,
            "action = 'a b'\nsettings = { by = 'nothing' }",
            "action",
        ),
    ] {
        let refused = try_case(role, &format!("[[case]]\nname = 'one'\n{case}")).unwrap_err();
        let LawsError::Invalid(diagnostic) = refused else {
            panic!("{refused:?}");
        };
        let told = diagnostic.to_string();
        assert!(told.starts_with("case `one`: "), "{told}");
        assert!(
            told.contains(reason) && told.contains("cases.toml"),
            "{told}"
        );
    }
    // A task is refused as a policy, even if its cases are a policy's.
    let cases = "[[case]]\nname = 'one'\naction = 'a:b'\nsettings = { breaks = 'nothing' }";
    let cases = Case::parse(
        cases,
        Path::new("cases.toml"),
        &BTreeSet::from([Role::Policy]),
    );
    let subject = Subject::file(component("lawless.wasm"));
    let refused = test(&tools(), &subject, &cases.unwrap(), &[]).unwrap_err();
    assert!(
        refused.to_string().contains("this component is a task"),
        "{refused}"
    );
}
