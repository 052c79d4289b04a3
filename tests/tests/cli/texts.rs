//! Limits of texts and sizes, checked on input.

use acceptance::program::{Program, Run, end, volume_create};
use serde_json::json;

use super::{create, program};

/// Returns the longest accepted text, in characters of two bytes, and one that is too long.
fn longest() -> (String, String) {
    ("ü".repeat(255), "ü".repeat(256))
}

#[test]
fn a_request_says_which_text_is_too_long_or_empty() {
    let program = program();
    let (most, long) = longest();
    for (request, words) in [
        (
            json!({"name": long}),
            "the request's `name` has 256 characters",
        ),
        (
            json!({"description": long}),
            "`description` has 256 characters",
        ),
        (
            json!({"availability_zone": long}),
            "`availability_zone` has 256 characters",
        ),
        (
            json!({"availability_zone": ""}),
            "`availability_zone` is empty",
        ),
        (
            json!({"availability_zone": "  "}),
            "`availability_zone` is empty",
        ),
        (
            json!({"metadata": {"": "x"}}),
            "`metadata` has a key that is empty",
        ),
        (
            json!({"metadata": {&long: "x"}}),
            "`metadata` has a key that has 256 characters",
        ),
        (
            json!({"metadata": {"k": long}}),
            "`metadata` has a value that has 256 characters",
        ),
    ] {
        program.write("request.json", request.to_string());
        let flow = volume_create();
        program
            .run(&["run", &flow, "-i", "request.json"])
            .exits(2)
            .says(&[words, "--> request.json"]);
        program.write("lines", format!("{request}\n"));
        let lines = std::fs::File::open(program.path("lines")).expect("it was written");
        let mut command = program.command(&["run", &flow, "--jsonl"]);
        let run = end(command.stdin(lines).spawn().expect("it starts")).exits(2);
        let failure = run.json()["failure"].to_string();
        assert!(failure.contains(words), "{failure}");
    }
    let request = json!({
        "size": 1, "name": most, "description": most, "availability_zone": most, "metadata": {&most: most, "empty": ""},
    });
    create(&program, &request.to_string(), &[], 0);
    create(
        &program,
        r#"{"size": 1, "name": "", "description": null}"#,
        &[],
        0,
    );
}

#[test]
fn every_command_that_makes_rows_has_the_same_limits() {
    let program = program();
    let (most, long) = longest();
    program.write("disk.img", "x");
    let (key, value) = (format!("{long}=x"), format!("k={long}"));
    let cases: &[(&[&str], &str)] = &[
        (
            &["volume", "import", "--size", "1", "--name", &long],
            "256 characters",
        ),
        (
            &["volume", "import", "--size", "1", "--description", &long],
            "256 characters",
        ),
        (
            &["volume", "import", "--size", "1", "--status", ""],
            "is empty",
        ),
        (
            &["volume", "import", "--size", "1", "--host", ""],
            "is empty",
        ),
        (
            &[
                "volumes",
                "create",
                "--size",
                "1",
                "--availability-zone",
                "",
            ],
            "is empty",
        ),
        (
            &["volume", "import", "--size", "1", "--metadata", &key],
            "a key that has 256 characters",
        ),
        (
            &["volume", "import", "--size", "1", "--metadata", &value],
            "a value that has 256 characters",
        ),
        (
            &["volume", "import", "--size", "1", "--metadata", "=x"],
            "write KEY=VALUE",
        ),
        (&["volumes", "set", "v", "--status", " "], "is empty"),
        (&["volumes", "set", "v", "--host", ""], "is empty"),
        (
            &["snapshots", "create", "--volume", "v", "--name", &long],
            "256 characters",
        ),
        (
            &["snapshots", "create", "--volume", "v", "--status", ""],
            "is empty",
        ),
        (&["types", "create", ""], "is empty"),
        (&["types", "create", " gold"], "begins or ends with a blank"),
        (
            &["types", "create", "gold\u{a0}"],
            "begins or ends with a blank",
        ),
        (
            &["types", "create", "go\tld"],
            "the control character \\u{9}",
        ),
        (&["types", "create", &long], "256 characters"),
        (
            &["types", "create", "gold", "--extra", &key],
            "a key that has 256 characters",
        ),
        (
            &["types", "create", "gold", "--qos", &value],
            "a value that has 256 characters",
        ),
        (&["types", "create", "gold", "--encrypt", ""], "is empty"),
        (&["zones", "create", ""], "is empty"),
        (&["zones", "create", &long], "256 characters"),
        (
            &["images", "create", "disk.img", "--name", &long],
            "256 characters",
        ),
        (&["images", "create", "disk.img", "--name", ""], "is empty"),
        (&["quota", "set", "volumes=1", "--class", ""], "is empty"),
        (
            &["volume", "import", "--size", "1", "--quota-class", ""],
            "is empty",
        ),
        (
            &["volume", "import", "--size", "1", "--role", ""],
            "is empty",
        ),
    ];
    for &(command, words) in cases {
        program.run(command).exits(2).says(&[words]);
        assert!(!program.has_database(), "{command:?}");
    }
    let entry = format!("{most}={most}");
    let volume = [
        "volumes",
        "create",
        "--size",
        "1",
        "--name",
        &most,
        "--description",
        &most,
        "--metadata",
        &entry,
        "--metadata",
        "empty=",
    ];
    program.run(&volume).exits(0);
    program
        .run(&["types", "create", &most, "--extra", &entry])
        .exits(0);
    program.run(&["zones", "create", &most]).exits(0);
    program
        .run(&["images", "create", "disk.img", "--name", &most])
        .exits(0);
    program
        .run(&["snapshots", "create", "--volume", &most, "--name", &most])
        .exits(0);
}

/// Runs a command with one environment variable set.
fn with_variable(program: &Program, name: &str, value: &str, command: &[&str]) -> Run {
    let mut command = program.command(command);
    end(command.env(name, value).spawn().expect("it starts"))
}

#[test]
fn an_empty_zone_project_or_user_is_told_with_where_it_comes_from() {
    let program = program();
    let (_, long) = longest();
    let create = ["volume", "import", "--size", "1"];
    let cases: &[(&str, &[&str])] = &[
        ("zone", &["", " ", &long]),
        ("default-volume-type", &["", &long]),
        ("user", &["", &long, "a\nb", " ann"]),
        ("project", &["", &long, "\u{1b}[m", "blue "]),
    ];
    for &(name, values) in cases {
        let flag = format!("--{name}");
        let key = name.replace('-', "_");
        let variable = format!("CAIRN_{}", key.to_uppercase());
        for &value in values {
            let by_flag = [&create[..], &[flag.as_str(), value]].concat();
            program
                .run(&by_flag)
                .exits(2)
                .says(&[format!("`{flag}` ").as_str()]);
            with_variable(&program, &variable, value, &create)
                .exits(2)
                .says(&[format!("the variable `{variable}` ").as_str()]);
            let value = json!(value);
            program.write("cairn.toml", format!("\n{key} = {value}\n"));
            program
                .run(&create)
                .exits(2)
                .says(&[format!("`{key}` ").as_str(), "--> cairn.toml:2"]);
            std::fs::remove_file(program.path("cairn.toml")).expect("it was written");
        }
    }
    assert!(!program.has_database());
    // A flag overrides the variable, even an invalid one.
    let by_flag = [&create[..], &["--project", "blue"]].concat();
    with_variable(&program, "CAIRN_PROJECT", "", &by_flag).exits(0);
    // Also before the subcommand.
    let first = [&["--db", "x.db"][..], &create[..], &["--zone", ""]].concat();
    program.run(&first).exits(2).says(&["`--zone` is empty"]);
}

#[test]
fn an_empty_caller_of_a_policy_question_is_told() {
    let program = program();
    program.write("target.json", "{}");
    let check = [
        "policy",
        "check",
        "--rule",
        "volume:create",
        "--as",
        "user.json",
        "--target",
        "target.json",
    ];
    for (user, words) in [
        (
            json!({"user_id": "", "project_id": "blue"}),
            "`user_id` is empty",
        ),
        (
            json!({"user_id": "ann", "project_id": " "}),
            "`project_id` is empty",
        ),
    ] {
        program.write("user.json", user.to_string());
        program.run(&check).exits(2).says(&[words, "--> user.json"]);
    }
}

#[test]
fn a_size_that_no_counter_holds_is_over_quota_everywhere() {
    let program = program();
    let most = i64::MAX.to_string();
    let volume = ["volume", "import", "--size", &most, "--json"];
    program
        .run(&volume)
        .exits(6)
        .says(&["quota exceeded for gigabytes"]);
    program
        .run(&["quota", "set", "gigabytes=-1", "volumes=-1", "snapshots=-1"])
        .exits(0);
    // Usages are refreshed before each reservation.
    program.write("cairn.toml", "quota.until_refresh = 1\n");
    let made = program.json(&volume);
    let id = made["id"].as_str().expect("an id");
    for command in [
        &volume[..],
        &["volume", "import", "--size", "1"],
        &["snapshots", "create", "--volume", id],
    ] {
        program
            .run(command)
            .exits(6)
            .says(&["quota exceeded for gigabytes"]);
    }
    for size in [1, i64::MAX] {
        let request = json!({"size": size}).to_string();
        let report = create(&program, &request, &[], 3);
        assert_eq!(report["error"]["kind"], "VolumeSizeExceedsAvailableQuota");
        assert_eq!(report["rollback"]["verdict"], "clean");
    }
    let usage = || program.json(&["quota", "show", "--json"])["quotas"]["gigabytes"].clone();
    assert_eq!(
        usage(),
        json!({"limit": -1, "in_use": i64::MAX, "reserved": 0})
    );
    program.run(&["quota", "check"]).exits(0);
    let mended = program.json(&["quota", "sync", "--json"]);
    assert_eq!(mended, json!({"mended": []}));
    program.run(&["volumes", "delete", id]).exits(0);
    assert_eq!(usage()["in_use"], 0);
    create(&program, r#"{"size": 1}"#, &[], 0);
    program.run(&["quota", "check"]).exits(0);
}
