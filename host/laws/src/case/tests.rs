use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;

fn parse(text: &str, roles: &[Role]) -> Result<Vec<Case>, String> {
    let roles = roles.iter().copied().collect();
    Case::parse(text, Path::new("cases/a.toml"), &roles).map_err(|error| error.to_string())
}

fn policies(text: &str) -> Vec<PolicyCase> {
    let cases = parse(text, &[Role::Policy]).unwrap().into_iter();
    let cases = cases.map(|case| match case {
        Case::Policy(case) => case,
        other => panic!("{other:?}"),
    });
    cases.collect()
}

#[test]
fn what_stands_above_the_cases_of_a_policy_is_for_all_that_say_nothing_else() {
    let cases = policies(
        "action = 'volume:create'\nnow = 2026-01-05T08:00:00+01:00\nsettings = { most = 1 }\n\
         requester = { roles = ['member'] }\n\
         [[case]]\nname = 'one'\n\
         [[case]]\nname = 'two'\naction = 'volume:delete'\nnow = 1970-01-01T00:00:01Z\nsettings = '{\"most\": null}'\n\
         requester = { admin = true }\ntarget = { size = 2 }\nvaries_with = ['clock']\nexpect = { deny = 'most' }\n",
    );
    let one = &cases[0];
    assert_eq!(one.action, "volume:create");
    assert_eq!(one.now, Some(Duration::from_secs(1_767_596_400)));
    assert_eq!(json!(one.settings), json!({"most": 1}));
    assert_eq!(one.requester.roles, ["member"]);
    assert_eq!((one.target.len(), &one.varies_with[..]), (0, &[][..]));
    assert_eq!(one.expect, PolicyExpect::Allow);
    let two = &cases[1];
    assert_eq!(two.action, "volume:delete");
    assert_eq!(two.now, Some(Duration::from_secs(1)));
    assert_eq!(json!(two.settings), json!({"most": null}));
    assert!(two.requester.admin && two.requester.roles.is_empty());
    assert_eq!(json!(two.target), json!({"size": 2}));
    assert_eq!(two.varies_with, [Varies::Clock]);
    assert_eq!(two.expect, PolicyExpect::Deny("most".to_owned()));
}

#[test]
fn a_policy_may_be_expected_to_allow_to_deny_or_to_fail() {
    for (expect, expected) in [
        ("'allow'", PolicyExpect::Allow),
        ("'deny'", PolicyExpect::Deny(String::new())),
        ("{ deny = 'x' }", PolicyExpect::Deny("x".to_owned())),
        ("{ error = 'X' }", PolicyExpect::Error("X".to_owned())),
    ] {
        let text = format!("action = 'a:b'\n[[case]]\nname = 'one'\nexpect = {expect}");
        assert_eq!(policies(&text)[0].expect, expected);
    }
}

#[test]
fn a_validator_is_expected_to_find_nothing_unless_the_case_names_violations() {
    let text = "settings = { most = 1 }\n[[case]]\nname = 'one'\ninputs = { size = 1 }\n\
        [[case]]\nname = 'two'\nexpect = { violations = [{ pointer = '/size', kind = 'Odd' }, { pointer = '', kind = 'Odd', message = 'm' }] }";
    let cases = parse(text, &[Role::Validator]).unwrap();
    let [Case::Validator(one), Case::Validator(two)] = &cases[..] else {
        panic!("{cases:?}");
    };
    assert_eq!(json!(one.inputs), json!({"size": 1}));
    assert_eq!(one.expect, ValidatorExpect::default());
    for case in [one, two] {
        assert_eq!(json!(case.settings), json!({"most": 1}));
    }
    let expected = two.expect.violations.iter().map(|violation| {
        let ExpectedViolation {
            pointer,
            kind,
            message,
        } = violation;
        (pointer.as_str(), kind.as_str(), message.as_str())
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(expected, [("/size", "Odd", ""), ("", "Odd", "m")]);
}

#[test]
fn a_file_is_about_what_the_plugin_is_or_says_which_of_it() {
    let both = [Role::Policy, Role::Validator];
    let case = "[[case]]\nname = 'one'\naction = 'a:b'";
    assert_eq!(
        parse(case, &[Role::Policy]).unwrap()[0].role(),
        Role::Policy
    );
    let refused = parse(case, &both).unwrap_err();
    for part in [
        "the plugin is a policy and a validator",
        "cases/a.toml",
        "write `world = \"policy\" or \"validator\"`",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    let cases = parse(&format!("world = 'policy'\n{case}"), &both).unwrap();
    assert_eq!(cases[0].role(), Role::Policy);
    let refused = parse(&format!("world = 'task'\n{case}"), &both).unwrap_err();
    assert!(
        refused.contains("these are cases of a task, and the plugin is a policy and a validator"),
        "{refused}"
    );
    let refused = parse(&format!("world = 'rule'\n{case}"), &both).unwrap_err();
    assert!(refused.contains("unknown variant `rule`"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place_and_the_fix() {
    let one = "[[case]]\nname = 'one'\n";
    let policy = format!("action = 'a:b'\n{one}");
    for (role, text, parts) in [
        (
            Role::Policy,
            one.to_owned(),
            &["case `one` names no `action`", "volume:create"][..],
        ),
        (
            Role::Policy,
            format!("{policy}inputs = {{}}"),
            &["unknown field `inputs`", "a.toml:4", "cases of a policy"],
        ),
        (
            Role::Policy,
            format!("{policy}expect = 'maybe'"),
            &["no answer of a policy", "\"deny\"", "a.toml:4"],
        ),
        (
            Role::Policy,
            format!("{policy}expect = {{ deny = 'a', error = 'b' }}"),
            &["no answer of a policy"],
        ),
        (
            Role::Policy,
            format!("{policy}expect = {{ deny = 1 }}"),
            &["no answer of a policy"],
        ),
        (
            Role::Policy,
            format!("{policy}now = 2026-01-05T08:00:00"),
            &["which point in time", "T12:00:00Z", "a.toml:4"],
        ),
        (
            Role::Policy,
            format!("{policy}now = 1969-12-31T23:59:59Z"),
            &["is before 1970"],
        ),
        (Role::Policy, format!("{policy}now = 'noon'"), &["datetime"]),
        (
            Role::Validator,
            format!("{one}expect = {{ violations = [{{ pointer = '' }}] }}"),
            &["missing field `kind`"],
        ),
        (
            Role::Validator,
            format!(
                "{one}expect = {{ error = 'E', violations = [{{ pointer = '', kind = 'K' }}] }}"
            ),
            &["case `one` expects violations and an error"],
        ),
        (
            Role::Validator,
            format!("{one}varies_with = ['clock']"),
            &["unknown field `varies_with`"],
        ),
        (
            Role::Validator,
            format!("{one}{one}"),
            &["two cases are called `one`"],
        ),
        (Role::Validator, String::new(), &["missing field `case`"]),
        (
            Role::Validator,
            "case = []".to_owned(),
            &["there is no [[case]]"],
        ),
        (
            Role::Task,
            format!("{one}action = 'a:b'"),
            &["unknown field `action`", "cases of a task"],
        ),
        (
            Role::External,
            one.to_owned(),
            &[
                "case `one` names no `kind`",
                "cases/a.toml",
                "write `kind =",
            ],
        ),
    ] {
        let refused = parse(&text, &[role]).unwrap_err();
        for part in parts {
            assert!(refused.contains(part), "`{part}` is not in: {refused}");
        }
    }
}
