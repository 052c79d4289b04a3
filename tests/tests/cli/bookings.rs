//! Checks that usages equal the booked volumes, whatever operators delete and set between the steps of flows.

use acceptance::program::Program;
use serde_json::{Value, json};

use super::{create, killed_after, program, result};

#[track_caller]
fn is_clean(program: &Program) {
    let check = program.run(&["quota", "check", "--admin"]).exits(0);
    assert_eq!(check.stdout, "no difference was found\n");
}

#[track_caller]
fn in_use(program: &Program, project: &str, resource: &str) -> Value {
    let shown = program.json(&["quota", "show", "--project", project, "--json"]);
    shown["quotas"][resource]["in_use"].clone()
}

fn volume(report: &Value) -> String {
    let made = &result(report, "entry-create")["volume_id"];
    made.as_str().expect("a volume was made").to_owned()
}

fn flow(report: &Value) -> String {
    report["flow"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_flow_is_rolled_back_after_its_volume_was_deleted() {
    let program = program();
    program.run(&["types", "create", "gold"]).exits(0);
    let report = create(&program, r#"{"size": 2, "volume_type": "gold"}"#, &[], 0);
    program
        .run(&["volumes", "delete", &volume(&report)])
        .exits(0);
    let rolled_back = program
        .run(&["flows", "rollback", &flow(&report), "--json"])
        .exits(0)
        .json();
    assert_eq!(rolled_back["rollback"]["verdict"], "clean", "{rolled_back}");
    assert_eq!(rolled_back["rollback"]["residue"], json!([]));
    for resource in ["volumes", "gigabytes", "volumes_gold", "gigabytes_gold"] {
        assert_eq!(in_use(&program, "demo", resource), 0, "{resource}");
    }
    is_clean(&program);
}

#[test]
fn a_volume_is_not_deleted_while_its_flow_has_not_ended() {
    let program = program();
    killed_after(&program, "entry-create");
    let volumes = program.json(&["volumes", "list", "--json"]);
    let volume = volumes[0]["id"].as_str().expect("a volume");
    let flows = program.json(&["flows", "list", "--json"]);
    let flow = flows[0]["id"].as_str().expect("a flow");
    program.run(&["volumes", "delete", volume]).exits(6).says(&[
        flow,
        "has not ended",
        "flow rollback",
    ]);
    assert_eq!(program.json(&["volumes", "list", "--json"]), volumes);
    program.run(&["recover"]);
    assert_eq!(program.json(&["volumes", "list", "--json"]), json!([]));
    is_clean(&program);
}

#[test]
fn an_admins_snapshot_counts_for_the_volumes_project() {
    let program = program();
    create(
        &program,
        r#"{"size": 2, "name": "v"}"#,
        &["--project", "blue"],
        0,
    );
    let of_blue = program.json(&["volumes", "list", "--project", "blue", "--json"]);
    let id = of_blue[0]["id"].as_str().expect("a volume");
    let make = ["snapshots", "create", "--volume", id, "--admin", "--json"];
    let snapshot = program.json(&make);
    assert_eq!(snapshot["project_id"], "blue");
    assert_eq!(in_use(&program, "blue", "gigabytes"), 4);
    assert_eq!(in_use(&program, "blue", "snapshots"), 1);
    is_clean(&program);
    let id = snapshot["id"].as_str().expect("an id");
    program
        .run(&["snapshots", "delete", id, "--admin"])
        .exits(0);
    assert_eq!(in_use(&program, "blue", "gigabytes"), 2);
    is_clean(&program);
}

#[test]
fn what_a_snapshot_counts_for_outlives_the_setting() {
    let program = program();
    create(&program, r#"{"size": 2, "name": "v"}"#, &[], 0);
    for (setting, name) in [("false", "first"), ("true", "second")] {
        program.write(
            "cairn.toml",
            format!("[quota]\nno_snapshot_gigabytes = {setting}\n"),
        );
        is_clean(&program);
        let make = ["snapshots", "create", "--volume", "v", "--name", name];
        program.run(&make).exits(0);
        assert_eq!(in_use(&program, "demo", "gigabytes"), 4);
        is_clean(&program);
    }
    for (name, left) in [("first", 2), ("second", 2)] {
        program.run(&["snapshots", "delete", name]).exits(0);
        assert_eq!(in_use(&program, "demo", "gigabytes"), left);
        is_clean(&program);
    }
}

#[test]
fn a_type_that_is_made_again_has_the_limit_and_the_volumes_of_the_first() {
    let program = program();
    program.write("cairn.toml", "[quota]\nuntil_refresh = 1\n");
    program.run(&["types", "create", "gold"]).exits(0);
    program.run(&["quota", "set", "volumes_gold=1"]).exits(0);
    create(&program, r#"{"size": 1, "volume_type": "gold"}"#, &[], 0);
    program
        .run(&["types", "delete", "gold"])
        .exits(6)
        .says(&["1 volume has type `gold`", "--force"]);
    program
        .run(&["types", "delete", "gold", "--force"])
        .exits(0);
    program.run(&["types", "create", "gold"]).exits(0);
    let over = create(&program, r#"{"size": 1, "volume_type": "gold"}"#, &[], 3);
    assert_eq!(over["error"]["kind"], "VolumeLimitExceeded", "{over}");
    assert_eq!(in_use(&program, "demo", "volumes_gold"), 1);
    is_clean(&program);
}
