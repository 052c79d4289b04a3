mod plugins;

use proptest::prelude::*;
use serde_json::json;

use cairn_model::value::Value;

use super::rule::Check;
use super::*;

/// Evaluates `rule` for a caller: user `u`, project `p`, roles `Member` and `ops`, no admin.
#[track_caller]
fn passes(rule: impl Into<Value>, target: Value) -> bool {
    let policy = policy(json!({ "act": rule.into(), "yes": "@", "no": "!" })).unwrap();
    ask(&policy, "act", target)
}

fn policy(rules: Value) -> Result<Policy, Diagnostic> {
    Policy::parse(&rules.to_string(), None)
}

fn ask(policy: &Policy, action: &str, target: Value) -> bool {
    let mut caller = Identity::new("u", "p");
    caller.roles = vec!["Member".into(), "ops".into()];
    let target = target.as_object().expect("an object");
    policy.check(action, &(&caller).into(), target)
}

#[track_caller]
fn refused(rule: impl Into<Value>, message: &str) {
    let error = policy(json!({ "act": rule.into() })).unwrap_err();
    assert_eq!(error.message, format!("rule `act` {message}"));
    assert_eq!(error.line, Some(1));
    assert!(error.help.is_some());
}

#[test]
fn the_empty_rule_lets_everybody_pass() {
    for rule in [json!(""), json!("@"), json!([]), json!("(@)")] {
        assert!(passes(rule.clone(), json!({})), "{rule}");
    }
    for rule in [json!("!"), json!([[]]), json!([[], []]), json!("not @")] {
        assert!(!passes(rule.clone(), json!({})), "{rule}");
    }
}

#[test]
fn a_role_is_compared_without_case() {
    assert!(passes("role:member", json!({})));
    assert!(passes("role:OPS", json!({})));
    assert!(!passes("role:admin", json!({})));
    assert!(passes("role:%(needed)s", json!({"needed": "ops"})));
    assert!(!passes("role:%(needed)s", json!({})));
    // As an attribute, a role is compared as it is.
    assert!(passes("roles:Member", json!({})) && !passes("roles:member", json!({})));
}

#[test]
fn attributes_of_the_caller_are_compared_with_the_target() {
    assert!(passes(
        "project_id:%(project_id)s",
        json!({"project_id": "p"})
    ));
    assert!(!passes(
        "project_id:%(project_id)s",
        json!({"project_id": "q"})
    ));
    assert!(
        !passes("project_id:%(project_id)s", json!({})),
        "a missing key fails"
    );
    assert!(
        passes("user_id:%(owner.id)s", json!({"owner": {"id": "u"}})),
        "a path through objects"
    );
    assert!(
        passes(
            "user_id:%(a.b.c)s",
            json!({"a": {"b": 1, "b.c": "u"}, "a.b": {"c": "v"}})
        ),
        "a path through a key with a dot"
    );
    assert!(
        !passes("not 'x':%(a.b)s and '{}':%(a.b)s", json!({"a": {"b": {}}})),
        "no path ends at an object"
    );
    assert!(
        passes("user_id:%(owner.id)s", json!({"owner.id": "u"})),
        "a key with a dot"
    );
    assert!(!passes(
        "user_id:%(owner.id.x)s",
        json!({"owner": {"id": "u"}})
    ));
    assert!(passes("user_id:u", json!({})));
    assert!(passes("is_admin:False", json!({})) && !passes("is_admin:True", json!({})));
    assert!(passes("quota_class:None", json!({})));
    assert!(
        !passes("write_permission_access:True", json!({})),
        "nobody has this attribute"
    );
    assert!(passes("tenant:p and user:u", json!({})), "older names");
    assert!(passes("project_id:%(a)s%(b)s", json!({"a": "", "b": "p"})));
}

#[test]
fn literals_are_compared_with_the_target() {
    assert!(passes("'x':%(name)s", json!({"name": "x"})));
    assert!(passes("\"x\":%(name)s", json!({"name": "x"})));
    assert!(!passes("'x':%(name)s", json!({"name": "y"})));
    assert!(passes("True:%(flag)s", json!({"flag": true})));
    assert!(!passes("True:%(flag)s", json!({"flag": false})));
    assert!(passes("False:%(flag)s", json!({"flag": false})));
    assert!(passes("None:%(x)s", json!({"x": null})));
    assert!(passes("5:%(size)s", json!({"size": 5})));
    assert!(passes("-1:%(size)s", json!({"size": -1})));
    assert!(passes("'':%(x)s", json!({"x": ""})));
    assert!(passes("'100%':100%%", json!({})));
    assert!(passes("0.5:%(x)s", json!({"x": 0.5})));
    assert!(passes("+1_0:10", json!({})), "a number, however written");
    assert!(
        passes("'[1]':%(x)s", json!({"x": [1]})),
        "as Python writes it"
    );
}

#[test]
fn not_binds_before_and_and_before_or() {
    for (rule, expected) in [
        ("rule:yes or rule:no and rule:no", true),
        ("(rule:yes or rule:no) and rule:no", false),
        ("rule:no and rule:no or rule:yes", true),
        ("rule:no and (rule:no or rule:yes)", false),
        ("not rule:no and rule:no", false),
        ("not (rule:no and rule:no)", true),
        ("not rule:yes or rule:yes", true),
        ("not not rule:yes", true),
        ("rule:yes and not rule:no", true),
        ("rule:no or not rule:no and rule:yes", true),
        ("NOT rule:no AND rule:no Or rule:yes", true),
        ("rule:no\u{1c}or\u{2003}rule:yes", true),
    ] {
        assert_eq!(passes(rule, json!({})), expected, "{rule}");
    }
}

#[test]
fn lists_of_lists_are_alternatives_of_conjunctions() {
    assert!(passes(
        json!([["role:admin", "is_admin:False"], ["role:ops"]]),
        json!({})
    ));
    assert!(!passes(
        json!([["role:admin", "is_admin:False"]]),
        json!({})
    ));
    assert!(
        passes(json!(["role:admin", "role:ops"]), json!({})),
        "a bare check is a list of one"
    );
    for rule in [json!([[], ["role:ops"]]), json!(["", "role:ops"])] {
        assert!(
            passes(rule.clone(), json!({})),
            "what is empty is passed over: {rule}"
        );
        assert!(!passes(json!([rule[0], "role:x"]), json!({})), "{rule}");
    }
    assert!(!passes(json!([""]), json!({})));
    assert!(passes(json!(["'ops':'ops'"]), json!({})) == passes("('ops':'ops')", json!({})));
    refused(
        json!([["role:a and role:b", 1]]),
        "holds something that is no check",
    );
    refused(
        json!([1]),
        "holds something that is neither a list nor a check",
    );
}

#[test]
fn a_reference_to_no_rule_asks_the_default_and_is_warned_about() {
    assert!(!passes("rule:nowhere", json!({})), "there is no default");
    let without = policy(json!({"a": "rule:yes or not rule:nowhere", "yes": "!"})).unwrap();
    assert!(ask(&without, "a", json!({})));
    assert_eq!(
        without.warnings(),
        ["rule `a` refers to `nowhere`, which does not exist and so never passes"]
    );
    for (default, passes) in [("role:ops", true), ("role:admin", false)] {
        let with = policy(json!({"a": "rule:nowhere", "default": default})).unwrap();
        assert_eq!(ask(&with, "a", json!({})), passes, "{default}");
        assert_eq!(
            with.warnings(),
            ["rule `a` refers to `nowhere`, which does not exist: the rule `default` decides"]
        );
    }
    assert_eq!(Policy::default().warnings(), Vec::<String>::new());
}

#[test]
fn an_action_without_a_rule_is_decided_by_the_default() {
    let with = policy(json!({"default": "role:ops"})).unwrap();
    assert!(ask(&with, "volume:anything", json!({})));
    let without = policy(json!({"volume:create": ""})).unwrap();
    assert!(!ask(&without, "volume:anything", json!({})));
    assert!(!ask(
        &policy(json!({})).unwrap(),
        "volume:create",
        json!({})
    ));
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_a_rule_that_fails() {
    for (rule, message) in [
        ("admin", "holds `admin`, which is no check"),
        ("   ", "holds nothing but spaces"),
        ("role:a role:b", "needs `and` or `or` before `role:b`"),
        // Without a space, as in oslo.policy, these are one word.
        (
            "(role:a)and role:b",
            "needs `and`, `or` or `)` before `role:b`",
        ),
        ("role:a and", "ends where a check should be"),
        ("and role:a", "has `and` where a check should be"),
        ("not", "ends where a check should be"),
        ("(role:a", "opens a parenthesis that is not closed"),
        ("role:a)", "closes a parenthesis that was not opened"),
        (
            "(role:a role:b)",
            "needs `and`, `or` or `)` before `role:b`",
        ),
        ("()", "has `)` where a check should be"),
        (":x", "has a check with nothing before its colon"),
        ("'x y':%(z)s", "holds `'x`, which is no check"),
        ("'a:b':%(z)s", "has a string that is not closed: `'a`"),
        (
            "role:a or 'x':'y'",
            "holds the text `'x':'y'`, which is no check",
        ),
        ("(\"x\")", "holds `\"x\"`, which is no check"),
        (
            "os-admin:x",
            "has `os-admin` before a colon, which cannot be the name of an attribute",
        ),
        (
            "class:x",
            "has `class` before a colon, which cannot be the name of an attribute",
        ),
        (
            "roles.name:x",
            "looks for `roles.name`, but `roles` is text",
        ),
        (
            "0x10:%(x)s",
            "has `0x10` before a colon, which is neither a number nor a name",
        ),
        (
            "project_id:%(x)d",
            "has a `%` that begins no `%(name)s`: `%(x)d`",
        ),
        (
            "project_id:%(x",
            "has a `%` that begins no `%(name)s`: `%(x`",
        ),
        (
            "project_id:50%",
            "has a `%` that begins no `%(name)s`: `50%`",
        ),
        (
            "http://example.com/%(x)s",
            "has a check of kind `http`, which this version does not offer",
        ),
        ("wasm:", "asks ``, which is no name of a plugin"),
        (
            "wasm:%(name)s",
            "asks `%(name)s`, which is no name of a plugin",
        ),
    ] {
        refused(rule, message);
    }
    for (rule, kind) in [
        (json!(null), "null"),
        (json!(true), "a boolean"),
        (json!(1), "a number"),
        (json!({}), "an object"),
    ] {
        refused(rule, &format!("is {kind}"));
    }
}

#[test]
fn a_rule_is_not_nested_without_end() {
    let nested = |levels: usize| format!("{}role:ops{}", "(".repeat(levels), ")".repeat(levels));
    assert!(passes(nested(64), json!({})));
    refused(nested(65), "is nested more than 64 deep");
    refused("not ".repeat(100_000 / 4), "is longer than 65536 bytes");
    refused("not ".repeat(16_000) + "@", "is nested more than 64 deep");
}

#[test]
fn a_cycle_is_named_with_its_line() {
    let text = "{\n\"a\": \"rule:b\",\n\"b\": \"role:x or not rule:c\",\n\"c\": [[\"rule:b\"]]\n}";
    let error = Policy::parse(text, Some(Path::new("policy.json"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rules refer to each other in a circle: `b` -> `c` -> `b`\n  --> policy.json:3\n  help: take one of the references out; one to a rule that does not exist asks `default`"
    );
    for rule in ["rule:default", "not rule:nowhere"] {
        let error = policy(json!({ "default": rule })).unwrap_err();
        assert!(error.message.ends_with("`default` -> `default`"), "{error}");
    }
}

#[test]
fn a_chain_of_rules_is_not_followed_without_end() {
    // Rules are visited by name, so one chain is followed from its top and the other from its bottom.
    let down = |link: usize| format!("r{link:05}");
    let up = |link: usize| format!("r{:05}", 99_999 - link);
    let chain = |length: usize, name: &dyn Fn(usize) -> String| {
        let mut rules: Object = (0..length)
            .map(|link| (name(link), json!(format!("rule:{}", name(link + 1)))))
            .collect();
        rules.insert(name(length), json!("@"));
        policy(Value::Object(rules))
    };
    assert!(ask(&chain(500, &down).unwrap(), &down(0), json!({})));
    let longest = chain(500, &up).unwrap();
    assert!(ask(&longest, &up(0), json!({})));
    let explained = longest.explain(&up(0), &Credentials::default(), &Object::new(), &NoPlugins);
    assert_eq!(explained.to_string().lines().count(), 502);
    for length in [600, 10_000] {
        for name in [&down as &dyn Fn(usize) -> String, &up] {
            let error = chain(length, name).unwrap_err();
            assert!(
                error.message.contains("nested more than 512 deep"),
                "{error}"
            );
        }
    }
}

#[test]
fn rules_that_name_others_twice_take_no_exponential_time() {
    let mut rules = Object::new();
    for link in 0..60 {
        rules.insert(
            format!("r{link}"),
            json!(format!("rule:r{0} and rule:r{0}", link + 1)),
        );
    }
    rules.insert("r60".into(), json!("@"));
    assert!(ask(&policy(Value::Object(rules)).unwrap(), "r0", json!({})));
}

#[test]
fn errors_of_the_file_have_their_line() {
    for (text, message, line) in [
        ("[]", "the policy is no JSON object", 1),
        ("{\n\"a\": }", "the policy is no JSON object", 2),
        (
            "{\n\"a\": \"\",\n\"b\": \"a\",\n\"a\" : \"!\"}",
            "rule `b` holds `a`, which is no check",
            3,
        ),
        (
            "{\n\"a\": \"\",\n\"b\": \"\",\n\"a\" : \"!\"}",
            "rule `a` stands twice",
            4,
        ),
    ] {
        let error = Policy::parse(text, Some(Path::new("p.json"))).unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
        assert_eq!(error.line, Some(line), "{error}");
    }
    assert_eq!(
        Policy::parse("{\n\"a\\u0062\": 1}", None).unwrap_err().line,
        Some(2),
        "escaped"
    );
    let large = format!("{{\"a\": \"{}\"}}", " ".repeat(1 << 20));
    assert!(Policy::parse(&large, None).is_err());
}

#[test]
fn the_built_in_policy_is_cinders() {
    let policy = Policy::default();
    let own = json!({"project_id": "p", "user_id": "u"});
    let other = json!({"project_id": "q", "user_id": "v"});
    assert!(ask(&policy, "volume:create", other.clone()));
    assert!(
        ask(&policy, "volume:delete", own.clone()),
        "the owner, by default"
    );
    assert!(!ask(&policy, "volume:delete", other.clone()));
    assert!(!ask(&policy, "volume_extension:quotas:update", own));

    let admin = Credentials {
        user_id: "root",
        project_id: "r",
        is_admin: true,
        ..Credentials::default()
    };
    assert!(policy.check("volume:delete", &admin, other.as_object().unwrap()));
    assert!(policy.is_admin(&["Admin".into()]) && !policy.is_admin(&["member".into()]));
}

#[test]
fn rules_of_another_policy_replace_these() {
    let own = policy(json!({"volume:create": "role:nobody", "admin_api": "role:ops"})).unwrap();
    let both = Policy::default().with(own).unwrap();
    assert!(!ask(&both, "volume:create", json!({})));
    assert!(ask(&both, "volume_extension:quotas:update", json!({})));
    let circle =
        policy(json!({"admin_api": "rule:x", "x": "rule:volume_extension:types_manage"})).unwrap();
    assert!(
        Policy::default()
            .with(circle)
            .unwrap_err()
            .message
            .contains("circle")
    );
}

/// Returns valid rules mixed with pieces that do not fit together.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "role:a",
        "rule:act",
        "rule:b",
        "not",
        "and",
        "or",
        "(",
        ")",
        "((",
        "@",
        "!",
        "'x':%(y)s",
        "True:%(a.b)s",
        "%",
        "%(",
        ")s",
        ":",
        "'",
        "is_admin:True",
        " ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

/// Returns rules as trees, all of which are valid.
fn tree() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "@",
        "!",
        "role:ops",
        "role:x",
        "rule:yes",
        "'x':%(y)s",
        "is_admin:False",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 60, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|part| format!("not ({part})")),
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|parts| format!("({})", parts.join(" and "))),
                prop::collection::vec(inner, 2..4)
                    .prop_map(|parts| format!("({})", parts.join(" or "))),
            ]
        })
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}") {
        let _ = Policy::parse(&text, None);
        let _ = policy(json!({"act": text, "b": [[text]]}));
    }

    #[test]
    fn reading_pieces_of_rules_never_panics(text in pieces()) {
        if let Ok(policy) = policy(json!({ "act": text })) {
            let _ = ask(&policy, "act", json!({"y": "x"}));
        }
    }

    #[test]
    fn an_explanation_ends_as_the_check_does(text in tree(), is_admin: bool) {
        let policy = policy(json!({ "act": text, "yes": "@" })).unwrap();
        let roles = ["OPS".to_owned()];
        let caller = Credentials { roles: &roles, is_admin, ..Credentials::default() };
        let target = json!({"y": "x"});
        let target = target.as_object().unwrap();
        let allowed = policy.check("act", &caller, target);
        prop_assert_eq!(policy.explain("act", &caller, target, &NoPlugins).allowed, allowed, "{}", text);
    }

    #[test]
    fn the_canonical_form_reads_back_as_the_same_rule(text in tree()) {
        let one = policy(json!({ "act": text })).unwrap();
        let canonical = one.rules().next().unwrap().1;
        let again = policy(json!({ "act": canonical })).unwrap();
        prop_assert_eq!(one, again, "{}", canonical);
    }
}

#[test]
fn a_literal_keeps_its_quotes_in_the_canonical_form() {
    let policy = policy(json!({"a": "'x':100%%%(y)s"})).unwrap();
    assert!(
        matches!(&policy.rules["a"], Rule::Check(Check::Literal { value, .. }) if value == "x")
    );
    assert_eq!(
        policy.rules().next(),
        Some(("a", "'x':100%%%(y)s".to_owned()))
    );
}
