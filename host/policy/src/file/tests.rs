use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Policy;

fn yaml(text: &str) -> Result<Policy, String> {
    let policy = Policy::parse(text, Some(Path::new("policy.yaml")));
    policy.map_err(|error| error.to_string())
}

#[track_caller]
fn same(text: &str, json: &str) {
    let json = Policy::parse(json, Some(Path::new("policy.json"))).unwrap();
    assert_eq!(yaml(text), Ok(json), "{text}");
}

/// Checks that the text is refused with this message, at this line.
#[track_caller]
fn refused(text: &str, message: &str, line: usize) {
    let error = yaml(text).unwrap_err();
    let place = format!("\n  --> policy.yaml:{line}\n  help: ");
    assert!(
        error.starts_with(message) && error.contains(&place),
        "{text:?}:\n{error}"
    );
}

#[test]
fn yaml_and_json_make_the_same_rules() {
    let json =
        r#"{"a": "role:x or role:y", "b": "!", "c": [["role:x", "role:y"], ["@"]], "d": ""}"#;
    same(
        "# rules\na: role:x\n  or role:y # anybody\n\"b\": '!'\nc:\n- [role:x, role:y]\n- - '@'\nd: \"\"\n",
        json,
    );
    same(
        "a: >\n  role:x\n  or role:y\nb: \"!\"\nc: [[role:x, role:y], '@']\nd: []",
        json,
    );
    same(json, json);
    same("\u{feff}---\r\na: role:x\r\n...\r\n", r#"{"a": "role:x"}"#);
}

#[test]
fn the_name_of_the_file_says_what_it_is_and_else_its_first_character() {
    for (name, text) in [
        ("p.yaml", "{\"a\": '@', }"),
        ("p.yml", "{'a': '@'}"),
        ("p.json", r#"{"a": "@"}"#),
        ("p", r#" {"a": "@"}"#),
        ("p.conf", "a: '@'"),
    ] {
        let policy = Policy::parse(text, Some(Path::new(name)));
        assert_eq!(
            policy.unwrap().rules().next(),
            Some(("a", "@".to_owned())),
            "{name}"
        );
    }
    for (name, text) in [("p.json", "a: '@'"), ("p", "{\"a\": '@'}")] {
        let error = Policy::parse(text, Some(Path::new(name))).unwrap_err();
        assert!(
            error.message.starts_with("the policy is no JSON object"),
            "{error}"
        );
    }
}

#[test]
fn yaml_that_holds_nothing_has_no_rules() {
    for text in ["", "\n", "# \"volume:create\": \"\"\n", "---\n", "~", "{}"] {
        same(text, "{}");
    }
}

#[test]
fn what_is_wrong_in_yaml_has_its_line() {
    for (text, message, line) in [
        ("a: ''\nb: ''\n\na: '!'", "rule `a` stands twice", 4),
        (
            "a: ''\nb: role",
            "rule `b` holds `role`, which is no check",
            2,
        ),
        (
            "a: ''\nb:\n  - - role:x\n    - role",
            "rule `b` holds `role`",
            2,
        ),
        (
            "a: ''\nb: rule:c\nc: rule:b",
            "rules refer to each other in a circle",
            2,
        ),
        ("a:\nb: ''", "rule `a` is null", 1),
        ("a: ''\nb: ~", "rule `b` is null", 2),
        ("a: 12", "rule `a` is a number", 1),
        ("a: 5:5", "rule `a` is a number", 1),
        ("a: {b: c}", "rule `a` is a map", 1),
        ("a: ''\nb: !\nc: ''", "the policy has the tag `!`", 2),
        (
            "a: !!str role:x",
            "the policy has the tag `tag:yaml.org,2002:str`",
            1,
        ),
        ("a: !!python/name:os.system ''", "the policy has the tag", 1),
        ("!!map {a: ''}", "the policy has the tag", 1),
        ("!x a: ''", "the policy has the tag `!x`", 1),
        ("a: ''\n<<: {b: ''}", "`<<` merges nothing", 2),
        ("- a", "the policy is no YAML map", 1),
        ("\nrole:x", "the policy is no YAML map", 2),
        ("? [a]\n: ''", "a rule's name is no string", 1),
        (
            "a: ''\n---\nb: ''",
            "the policy has more than one document",
            2,
        ),
        (
            "a: ''\nb: @",
            "the policy is no YAML: unexpected character",
            2,
        ),
        (
            "a: ''\nb: role: x",
            "the policy is no YAML: mapping values",
            2,
        ),
        ("a: ''\nb: 'role:x", "the policy is no YAML", 2),
        ("a: ''\nb: *x", "the policy is no YAML", 2),
        (
            "a: [[[role:x]]]",
            "rule `a` has lists in the lists of its list",
            1,
        ),
        ("a: [[]]\nb: [[{c: d}]]", "rule `b` is a map", 2),
    ] {
        refused(text, message, line);
    }
}

#[test]
fn an_alias_repeats_a_rule_and_no_more() {
    same(
        "a: &x role:x\nb: &l [*x, role:y]\nc: [*l, *x]\nd: *l",
        r#"{"a": "role:x", "b": ["role:x", "role:y"], "c": [["role:x", "role:y"], "role:x"], "d": ["role:x", "role:y"]}"#,
    );
    refused("a: &x ''\nb: {*x : ''}", "rule `b` is a map", 2);
    refused("a: &x b\n*x : ''", "a rule's name is no string", 2);
}

#[test]
fn aliases_that_multiply_are_refused() {
    // Each line holds ten of the line before: the lists may not be that deep.
    let mut nested = "a0: &a0 [role:x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        writeln!(
            nested,
            "a{level}: &a{level} [{}]",
            vec![format!("*a{before}"); 10].join(", ")
        )
        .unwrap();
    }
    refused(&nested, "rule `a2` has lists in the lists of its list", 3);
    // A long rule, named often.
    let checks = vec!["role:x"; 1000].join(", ");
    let wide = format!("a: &a [{checks}]\nb: [{}]\n", vec!["*a"; 10_000].join(", "));
    refused(&wide, "rule `b` has an alias too many", 2);
    refused("a: &a [*a]", "rule `a` holds itself", 1);
}

#[test]
fn yaml_is_not_nested_without_end() {
    let started = Instant::now();
    for piece in [
        "[", "{", "- ", "? ", "a: [", "[? ", "{a: ", " - - ", "&a [", ": ", "!a [", "\"", "'",
        "a:\n ", "| \n", "*a ",
    ] {
        for start in ["", "a: ", "a:\n  "] {
            let text = format!("{start}{}", piece.repeat((1 << 19) / piece.len()));
            assert!(yaml(&text).is_err() || piece == "'", "{start}{piece}…");
        }
    }
    let mut stairs = String::new();
    for step in 0..1000 {
        writeln!(stairs, "{:step$}a:", "").unwrap();
    }
    refused(&stairs, "rule `a` is a map", 2);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert!(
        yaml(&"# \n".repeat(1 << 19))
            .unwrap_err()
            .starts_with("the policy is larger than")
    );
}
