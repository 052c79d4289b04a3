use acceptance::program::{Program, repository, volume_create};
use serde_json::json;

use super::program;

/// Creates files of a caller, a target and a policy.
fn with(policy: &str, text: &str) -> Program {
    let program = program();
    program
        .write(
            "user.json",
            r#"{"user_id": "ann", "project_id": "blue", "roles": ["member"], "is_admin": false}"#,
        )
        .write("own.json", r#"{"project_id": "blue"}"#)
        .write("other.json", r#"{"project_id": "red"}"#)
        .write(policy, text);
    program
}

fn check<'a>(rule: &'a str, target: &'a str) -> Vec<&'a str> {
    vec![
        "policy",
        "check",
        "--rule",
        rule,
        "--as",
        "user.json",
        "--target",
        target,
    ]
}

fn under<'a>(policy: &'a str, rule: &'a str, target: &'a str) -> Vec<&'a str> {
    [check(rule, target), vec!["--policy", policy]].concat()
}

const YAML: &str = "\
# Who may extend a volume
\"volume:extend\": >
  rule:owner or
  role:operator
owner: project_id:%(project_id)s
";

const JSON: &str = r#"{
    "volume:extend": [["rule:owner"], ["role:operator"]],
    "owner": "project_id:%(project_id)s"
}"#;

#[test]
fn who_is_allowed_sees_why() {
    for (name, text) in [("policy.yaml", YAML), ("policy.json", JSON)] {
        let program = with(name, text);
        let run = program
            .run(&under(name, "volume:extend", "own.json"))
            .exits(0);
        assert_eq!(
            run.stdout,
            "\
allowed: `volume:extend`
  passes: rule:owner or role:operator
    passes: rule:owner
      passes: project_id:%(project_id)s (the caller's `project_id` is `blue`; `%(project_id)s` is `blue`)
    not needed: role:operator
"
        );
        assert_eq!(run.stderr, "");
        assert!(!program.has_database());
    }
}

#[test]
fn who_is_denied_sees_why() {
    for (name, text) in [("policy.yaml", YAML), ("policy.json", JSON)] {
        let program = with(name, text);
        let run = program
            .run(&under(name, "volume:extend", "other.json"))
            .exits(3);
        assert_eq!(
            run.stdout,
            "\
denied: `volume:extend`
  fails: rule:owner or role:operator
    fails: rule:owner
      fails: project_id:%(project_id)s (the caller's `project_id` is `blue`; `%(project_id)s` is `red`)
    fails: role:operator (the caller's roles are `member`; asked for is `operator`)
"
        );
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn the_explanation_is_one_json_document() {
    let program = with("policy.yaml", YAML);
    let mut arguments = under("policy.yaml", "volume:extend", "other.json");
    arguments.push("--json");
    let told = program.run(&arguments).exits(3).json();
    assert_eq!(
        (&told["allowed"], &told["rule"]),
        (&json!(false), &json!("volume:extend"))
    );
    let owner = &told["clause"]["parts"][0];
    assert_eq!(
        (&owner["text"], &owner["verdict"]),
        (&json!("rule:owner"), &json!("fails"))
    );
    assert_eq!(
        owner["parts"][0]["compared"],
        json!({"left": ["blue"], "right": "red"})
    );
}

#[test]
fn the_policy_is_the_one_a_flow_is_decided_by() {
    let program = with("policy.yml", "\"volume:create\": role:operator\n");
    // The built-in rules, of which the last one applies to actions without a rule.
    program.run(&check("volume:create", "other.json")).exits(0);
    let run = program.run(&check("volume:delete", "other.json")).exits(3);
    assert!(
        run.stdout.starts_with(
            "denied: `volume:delete` has no rule: `default` decides\n  fails: rule:admin_or_owner\n"
        ),
        "{}",
        run.stdout
    );
    program.run(&check("volume:delete", "own.json")).exits(0);
    // The operator's file, named in the settings.
    program.write("cairn.toml", "policy = \"policy.yml\"\n");
    program.run(&check("volume:create", "own.json")).exits(3);
    super::create(&program, r#"{"size": 1}"#, &[], 3);
    super::create(&program, r#"{"size": 1}"#, &["--role", "operator"], 0);
}

#[test]
fn the_roles_make_an_admin_unless_the_file_says() {
    let program = with("policy.yaml", "context_is_admin: role:root\n");
    let user = |rest: &str| {
        program.write(
            "user.json",
            format!(r#"{{"user_id": "u", "project_id": "p"{rest}}}"#),
        );
        program
            .run(&under("policy.yaml", "admin_api", "other.json"))
            .exit
    };
    assert_eq!(user(""), 3);
    assert_eq!(user(r#", "roles": ["root"]"#), 0);
    assert_eq!(user(r#", "roles": ["root"], "is_admin": false"#), 3);
    assert_eq!(user(r#", "is_admin": true"#), 0);
}

#[test]
fn a_reference_to_no_rule_is_warned_about() {
    let program = with("policy.yaml", "a: rule:ownr\n");
    program
        .run(&under("policy.yaml", "a", "own.json"))
        .exits(0)
        .says(&[
            "warning: rule `a` refers to `ownr`, which does not exist: the rule `default` decides",
        ]);
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line() {
    let program = with("policy.yaml", "a: ''\n\nb: role:x and\n");
    program.write("twice.yaml", "a: ''\nb: ''\na: '!'\n");
    program.write("open.yaml", "a: ''\nb: !\n");
    program.write("broken.yaml", "a: ''\nb: role: x\n");
    program.write("wrong.json", "{\n\"a\": \"\",\n\"b\": \"role\"\n}");
    program.write("broken.json", "{\n\"a\": \"\",\n}");
    for (file, parts) in [
        (
            "policy.yaml",
            ["rule `b` ends where a check should be", "policy.yaml:3"],
        ),
        ("twice.yaml", ["rule `a` stands twice", "twice.yaml:3"]),
        ("open.yaml", ["the policy has the tag `!`", "open.yaml:2"]),
        ("broken.yaml", ["the policy is no YAML", "broken.yaml:2"]),
        (
            "wrong.json",
            ["rule `b` holds `role`, which is no check", "wrong.json:3"],
        ),
        (
            "broken.json",
            ["the policy is no JSON object", "broken.json:3"],
        ),
        ("gone.yaml", ["the policy cannot be read", "gone.yaml"]),
    ] {
        let run = program.run(&under(file, "a", "own.json")).exits(2);
        run.says(&parts).says(&["help: "]);
    }
    for (name, text, parts) in [
        (
            "user.json",
            "{\"user_id\": \"u\",\n\"project\": \"p\"}",
            ["unknown field `project`", "user.json:2"],
        ),
        (
            "user.json",
            "{\"user_id\": \"u\"}",
            ["missing field `project_id`", "user.json:1"],
        ),
        (
            "user.json",
            "{\"user_id\": \"u\",\n\n\"project_id\": 1}",
            ["invalid type", "user.json:3"],
        ),
        (
            "own.json",
            "{\n\"a\": 1,\n\"a\": 2}",
            ["the key \"a\" stands twice", "own.json:3"],
        ),
        (
            "own.json",
            "[]",
            ["the target is not a JSON object", "own.json"],
        ),
    ] {
        let program = with("policy.yaml", "a: ''\n");
        program.write(name, text);
        let run = program.run(&under("policy.yaml", "a", "own.json")).exits(2);
        run.says(&parts).says(&["help: "]);
    }
    // A flow is not run if its rules cannot be parsed.
    let flow = ["run", &volume_create(), "--policy", "twice.yaml"];
    program.run(&flow).exits(2).says(&["twice.yaml:3"]);
    assert!(!program.has_database());
}

#[test]
fn the_example_of_the_readme_runs() {
    let program = program();
    let example = |name: &str| repository(&format!("examples/policy/{name}"));
    let run = program
        .run(&[
            "policy",
            "check",
            "--policy",
            &example("policy.yaml"),
            "--rule",
            "volume:extend",
            "--as",
            &example("user.json"),
            "--target",
            &example("volume.json"),
        ])
        .exits(3);
    let readme = std::fs::read_to_string(repository("host/docs/policies.md")).unwrap();
    assert!(readme.contains(&run.stdout), "{}", run.stdout);
}
