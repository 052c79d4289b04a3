//! The operator's catalogue, and the volumes created from it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{create, program, result};

#[test]
fn a_volume_from_an_image() {
    let program = program();
    program.write("disk.img", vec![7; 3000]);
    let image = program.json(&[
        "images",
        "create",
        "disk.img",
        "--name",
        "small",
        "--min-disk",
        "2",
        "--json",
    ]);
    assert_eq!(
        (&image["size"], &image["min_disk"], &image["name"]),
        (&json!(3000), &json!(2), &json!("small"))
    );
    // sha256sum of 3000 bytes of 7.
    assert_eq!(
        image["checksum"],
        "48c187767dddb44e5b7af78dabdec2b14f0f983e86e1fe695c65bc6a2a3cb42f"
    );
    let report = create(&program, r#"{"size": 2, "image_id": "small"}"#, &[], 0);
    assert_eq!(result(&report, "inject")["image_id"], image["id"]);
    let sent = program.json(&["outbox", "list", "--json"]);
    assert_eq!(sent[0]["arguments"]["image_id"], image["id"]);
    let report = create(&program, r#"{"size": 1, "image_id": "small"}"#, &[], 3);
    assert_eq!(report["error"]["kind"], "InvalidInput");

    program.run(&["images", "delete", "small"]).exits(0);
    program
        .run(&["images", "show", "small"])
        .exits(2)
        .says(&["there is no image `small`"]);
}

#[test]
fn a_private_image_is_its_projects_alone() {
    let program = program();
    program.write("disk.img", "x");
    program
        .run(&[
            "images",
            "create",
            "disk.img",
            "--private",
            "--project",
            "blue",
        ])
        .exits(0);
    assert_eq!(program.json(&["images", "list", "--json"]), json!([]));
    assert_eq!(
        program.json(&["images", "list", "--project", "blue", "--json"])[0]["name"],
        "disk.img"
    );
    program
        .run(&["images", "create", "gone.img"])
        .exits(2)
        .says(&["the image cannot be read", "--> gone.img"]);
}

#[test]
fn a_volume_from_a_snapshot_goes_to_the_host_of_its_volume() {
    let program = program();
    let volume = [
        "volume", "import", "--size", "2", "--name", "source", "--host", "a@lvm", "--json",
    ];
    let volume = program.json(&volume);
    let snapshot = program.json(&[
        "snapshots",
        "create",
        "--volume",
        "source",
        "--name",
        "before",
        "--json",
    ]);
    assert_eq!(
        (&snapshot["volume_id"], &snapshot["volume_size"]),
        (&volume["id"], &json!(2))
    );
    let report = create(&program, r#"{"size": 3, "snapshot_id": "before"}"#, &[], 0);
    assert_eq!(
        result(&report, "extract-volume-request")["snapshot_id"],
        snapshot["id"]
    );
    assert_eq!(
        program.json(&["outbox", "list", "--json"])[0]["topic"],
        "cinder-volume.a@lvm"
    );
    // Smaller than the snapshot.
    let report = create(&program, r#"{"size": 1, "snapshot_id": "before"}"#, &[], 3);
    assert_eq!(report["error"]["kind"], "InvalidInput");

    program
        .run(&["volumes", "delete", "source"])
        .exits(6)
        .says(&["has snapshots: delete them first"]);
    program.run(&["snapshots", "delete", "before"]).exits(0);
    program.run(&["volumes", "delete", "source"]).exits(0);
    let quotas = &program.json(&["quota", "show", "--json"])["quotas"];
    assert_eq!(
        (
            &quotas["gigabytes"]["in_use"],
            &quotas["snapshots"]["in_use"]
        ),
        (&json!(3), &json!(0))
    );
}

#[test]
fn a_volume_from_another() {
    let program = program();
    let source = program.json(&[
        "volume", "import", "--size", "2", "--name", "source", "--json",
    ]);
    let id = source["id"].as_str().unwrap();
    let set = program.json(&[
        "volumes", "set", id, "--host", "b@lvm", "--status", "in-use", "--json",
    ]);
    assert_eq!(
        (&set["host"], &set["status"]),
        (&json!("b@lvm"), &json!("in-use"))
    );
    let report = create(&program, r#"{"source_volid": "source"}"#, &[], 0);
    assert_eq!(
        result(&report, "entry-create")["volume"]["source_volid"],
        source["id"]
    );
    assert_eq!(
        result(&report, "entry-create")["volume"]["size"],
        2,
        "the source's size is taken"
    );
    assert_eq!(
        program.json(&["outbox", "list", "--json"])[0]["topic"],
        "cinder-volume.b@lvm"
    );
}

#[test]
fn a_type_with_qos_and_encryption_makes_a_key() {
    let program = program();
    let gold = program.json(&[
        "types",
        "create",
        "gold",
        "--qos",
        "iops=900",
        "--consumer",
        "front-end",
        "--encrypt",
        "luks",
        "--cipher",
        "aes-xts-plain64",
        "--key-size",
        "256",
        "--extra",
        "tier=1",
        "--json",
    ]);
    assert_eq!(gold["extra_specs"], json!({"tier": "1"}));
    assert_eq!(
        (&gold["qos_specs"]["consumer"], &gold["qos_specs"]["specs"]),
        (&json!("front-end"), &json!({"iops": "900"}))
    );
    let encryption = json!({
        "provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end",
    });
    assert_eq!(gold["encryption"], encryption);
    assert!(
        !program.path("cairn.db.key").exists(),
        "the master key is made with the first key"
    );

    let report = create(&program, r#"{"size": 1, "volume_type": "gold"}"#, &[], 0);
    let extracted = result(&report, "extract-volume-request");
    assert_eq!(extracted["volume_type_id"], gold["id"]);
    assert!(extracted["encryption_key_id"].is_string(), "{extracted}");
    assert_eq!(extracted["qos_specs"]["specs"]["iops"], "900");
    let key = std::fs::metadata(program.path("cairn.db.key")).unwrap();
    assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 32));
    assert_eq!(
        program.json(&["quota", "show", "--json"])["quotas"]["gigabytes_gold"]["in_use"],
        1
    );

    program
        .run(&["types", "create", "gold"])
        .exits(6)
        .says(&["there is a volume type called `gold` already"]);
    program
        .run(&["types", "delete", "gold"])
        .exits(6)
        .says(&["1 volume has type `gold`", "--force"]);
    program.run(&["types", "show", "gold"]).exits(0);
    program
        .run(&["types", "delete", "gold", "--force"])
        .exits(0);
    program.run(&["types", "show", "gold"]).exits(2);
}

#[test]
fn a_default_type_is_taken_when_none_is_asked() {
    let program = program();
    let silver = program.json(&["types", "create", "silver", "--json"]);
    let report = create(
        &program,
        r#"{"size": 1}"#,
        &["--default-volume-type", "silver"],
        0,
    );
    assert_eq!(
        result(&report, "extract-volume-request")["volume_type_id"],
        silver["id"]
    );
}

#[test]
fn a_zone_is_valid_when_it_is_set_up() {
    let program = program();
    program.run(&["zones", "create", "west"]).exits(0);
    let report = create(&program, r#"{"size": 1}"#, &[], 3);
    assert_eq!(
        report["error"]["kind"], "InvalidInput",
        "nova is no longer valid"
    );
    create(
        &program,
        r#"{"size": 1, "availability_zone": "west"}"#,
        &[],
        0,
    );
    create(&program, r#"{"size": 1}"#, &["--zone", "west"], 0);
    assert_eq!(
        program.json(&["zones", "list", "--json"]),
        json!([{"name": "west", "default": false}])
    );
    assert_eq!(
        program.json(&["zones", "show", "west", "--zone", "west", "--json"])["default"],
        true
    );
    program
        .run(&["zones", "show", "east"])
        .exits(2)
        .says(&["there is no zone `east`"]);
    program.run(&["zones", "delete", "west"]).exits(0);
    create(&program, r#"{"size": 1}"#, &[], 0);
}

#[test]
fn a_volume_that_is_added_counts_and_may_be_refused() {
    let program = program();
    program
        .run(&[
            "volumes",
            "create",
            "--size",
            "900",
            "--metadata",
            "a=b",
            "--name",
            "big",
        ])
        .exits(0);
    assert_eq!(
        program.json(&["volumes", "show", "big", "--json"])["metadata"],
        json!({"a": "b"})
    );
    program
        .run(&["volume", "import", "--size", "101"])
        .exits(6)
        .says(&["gigabytes", "help: `cairn quota show`"]);
    program.run(&["volumes", "delete", "big"]).exits(0);
    assert_eq!(program.json(&["volumes", "list", "--json"]), json!([]));
    assert_eq!(
        program.json(&["volumes", "list", "--deleted", "--json"])[0]["status"],
        "deleted"
    );
    program
        .run(&["volumes", "set", "big"])
        .exits(2)
        .says(&["--status", "--host"]);
    program
        .run(&["volume", "import", "--size=-1"])
        .exits(2)
        .says(&["invalid value '-1' for '--size <GIB>'"]);
}
