//! Requests with an idempotency key: the identity of a request, and the lifetime of a key.

use acceptance::program::{Program, end, repository, volume_create};
use serde_json::{Value, json};

use super::{create, program, sql};

fn count(program: &Program, what: &str) -> usize {
    let list = program.json(&[what, "list", "--json"]);
    list.as_array().expect("a list").len()
}

/// Runs one line of a stream; it must end with this code. Returns its report.
#[track_caller]
fn line(program: &Program, key: &str, request: &Value, exit: i32) -> Value {
    let line = json!({"key": key, "request": request}).to_string();
    program.write("line.jsonl", line);
    let file = std::fs::File::open(program.path("line.jsonl")).expect("it was written");
    let mut command = program.command(&["run", &volume_create(), "--jsonl"]);
    let child = command.stdin(file).spawn().expect("the program starts");
    end(child).exits(exit).json()
}

fn prune(program: &Program) {
    program
        .run(&["flows", "prune", "--older-than", "0s"])
        .exits(0);
}

#[test]
fn a_repeat_is_told_by_what_was_asked_and_not_by_what_that_stands_for() {
    let program = program();
    program.run(&["types", "create", "gold"]).exits(0);
    let source = program.json(&["volume", "import", "--size", "1", "--json"]);
    let source = source["id"].as_str().expect("an id");
    let of_source = json!({"source_volid": source});
    let of_type = json!({"size": 1, "volume_type": "gold"});
    let first = create(&program, &of_source.to_string(), &["--key", "source"], 0);
    let typed = create(&program, &of_type.to_string(), &["--key", "type"], 0);
    let volumes = count(&program, "volumes");

    // The source has changed by now, and the type no longer exists.
    program
        .run(&["volumes", "set", source, "--status", "in-use"])
        .exits(0);
    sql(&program, "UPDATE volume_types SET deleted = 1");
    for (key, request, report) in [("source", &of_source, &first), ("type", &of_type, &typed)] {
        let again = create(&program, &request.to_string(), &["--key", key], 0);
        assert_eq!(again, *report, "{key}");
        assert_eq!(line(&program, key, request, 0)["flow"], report["flow"]);
    }
    assert_eq!(count(&program, "volumes"), volumes);

    // A different request is refused, whether it can be resolved or not.
    let flow = first["flow"]["id"].as_str().expect("an id");
    program.write("other.json", r#"{"size": 1}"#);
    let create_flow = volume_create();
    let other = ["run", &create_flow, "-i", "other.json", "--key", "source"];
    program
        .run(&other)
        .exits(2)
        .says(&["key `source` was used for another request", flow]);
    let refused = line(&program, "source", &of_type, 2)["failure"].to_string();
    assert!(
        refused.contains("there is no volume type `gold`"),
        "{refused}"
    );
    // Without the key the request is resolved and refused.
    program.write("type.json", of_type.to_string());
    program
        .run(&["run", &volume_create(), "-i", "type.json"])
        .exits(2)
        .says(&["there is no volume type `gold`"]);
}

#[test]
fn a_key_is_of_the_flows_name_and_not_of_its_version() {
    let program = program();
    let first = create(&program, r#"{"size": 1}"#, &["--key", "k"], 0);
    let flow = std::fs::read_to_string(volume_create()).expect("the example is there");
    let run = |name: &str, text: String| {
        program.write(name, text);
        program.run(&["run", name, "-i", "request.json", "--key", "k", "--json"])
    };
    let newer = flow.replace("[flow]\n", "[flow]\non_lost = \"resume\"\n");
    assert_ne!(newer, flow);
    assert_eq!(run("newer.toml", newer).exits(0).json(), first);
    let named = flow.replace("volume_create_api", "another_flow");
    assert_ne!(named, flow);
    run("named.toml", named)
        .exits(2)
        .says(&["key `k` was used for another request"]);
    assert_eq!(count(&program, "volumes"), 1);
}

#[test]
fn a_pruned_flows_key_still_answers_with_the_same_exit_code() {
    let program = program();
    let fails = repository("examples/volume-create/flow-cast-fails.toml");
    program.write("request.json", r#"{"size": 1}"#);
    let left = || {
        let arguments = [
            "run",
            &fails,
            "-i",
            "request.json",
            "--key",
            "left",
            "--json",
        ];
        let run = program.run(&arguments);
        (run.exit, run.json())
    };
    let good = create(&program, r#"{"size": 1}"#, &["--key", "good"], 0);
    let bad = create(&program, r#"{"size": 0}"#, &["--key", "bad"], 3);
    program.write("request.json", r#"{"size": 1}"#);
    let (exit, first) = left();
    let volumes = count(&program, "volumes");
    prune(&program);
    assert_eq!(count(&program, "flows"), 0);

    for (key, request, report, exit) in [
        ("good", json!({"size": 1}), &good, 0),
        ("bad", json!({"size": 0}), &bad, 3),
    ] {
        let again = create(&program, &request.to_string(), &["--key", key], exit);
        assert_eq!(again["flow"], report["flow"]);
        assert_eq!(again["error"], report["error"]);
        assert_eq!(again["pruned"], true);
        assert_eq!(line(&program, key, &request, exit)["flow"], report["flow"]);
    }
    program.write("request.json", r#"{"size": 1}"#);
    let (again_exit, again) = left();
    assert_eq!(again_exit, exit);
    assert_eq!(again["flow"], first["flow"]);
    assert_eq!(again["rollback"], first["rollback"]);
    assert_eq!(
        (count(&program, "volumes"), count(&program, "flows")),
        (volumes, 0)
    );

    // The text output names the volume that was created; a different request is refused as before.
    let flow = volume_create();
    let arguments = ["run", &flow, "-i", "request.json", "--key", "good"];
    let text = program.run(&arguments).exits(0).stdout;
    let id = good["flow"]["id"].as_str().expect("an id");
    for words in [id, "SUCCESS", "its key keeps", "volume"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    program.write("request.json", r#"{"size": 2}"#);
    program
        .run(&arguments)
        .exits(2)
        .says(&["was used for another request", id]);
}

#[test]
fn a_key_is_kept_as_long_as_the_settings_say() {
    let program = program();
    program.write("cairn.toml", "[idempotency]\nkeep = \"1h\"\n");
    let run = || create(&program, r#"{"size": 1}"#, &["--key", "k"], 0)["flow"]["id"].clone();
    let first = run();
    assert_eq!(run(), first);
    let an_hour_ago = "UPDATE flows SET updated_at = updated_at - 3600000000";
    sql(&program, an_hour_ago);
    // The result does not depend on whether its row has been removed.
    let second = run();
    assert_ne!(second, first);
    assert_eq!(run(), second);
    prune(&program);
    assert_eq!(run(), second);
    sql(
        &program,
        "UPDATE idempotency_keys SET ended_at = ended_at - 3600000000",
    );
    let prune = ["flows", "prune", "--older-than", "30d"];
    let would = program.run(&[&prune[..], &["--dry-run"]].concat()).exits(0);
    assert!(
        would.stdout.contains("1 lapsed key would be removed\n"),
        "{}",
        would.stdout
    );
    let removed = program.run(&prune).exits(0).stdout;
    assert!(removed.contains("1 lapsed key removed\n"), "{removed}");
    assert_ne!(run(), second);
    assert_eq!(count(&program, "volumes"), 3);
    program.write("cairn.toml", "[idempotency]\nkeep = \"a while\"\n");
    program
        .run(&["flows", "list"])
        .exits(2)
        .says(&["`idempotency.keep` is no time", "--> cairn.toml:2"]);
}

#[test]
fn a_key_is_text_of_1_to_255_characters() {
    let program = program();
    program.write("request.json", r#"{"size": 1}"#);
    let long = "ü".repeat(256);
    let flow = volume_create();
    for (key, words) in [("", "is empty"), (long.as_str(), "256 characters")] {
        let arguments = ["run", &flow, "-i", "request.json", "--key", key];
        program.run(&arguments).exits(2).says(&["--key", words]);
    }
    assert!(!program.has_database());
    let failure = line(&program, &long, &json!({"size": 1}), 2)["failure"].to_string();
    assert!(failure.contains("256 characters"), "{failure}");
    create(&program, r#"{"size": 1}"#, &["--key", &long[2..]], 0);
    assert_eq!(count(&program, "volumes"), 1);
}
