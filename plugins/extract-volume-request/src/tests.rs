//! Tests the order of the checks, and the calls of the host. The tests of each check are in its own module.

use cairn_plugin::testing::FakeHost;
use serde_json::{Value, json};

use super::*;

pub(crate) fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        other => panic!("{other} is no row"),
    }
}

fn request(changes: Value) -> Value {
    let mut request = json!({
        "availability_zone": null, "image_id": null, "metadata": null, "size": 2, "snapshot": null,
        "source_volume": null, "volume_type": null, "backup_source_volume": null,
    });
    for (key, value) in row(changes) {
        request[key] = value;
    }
    request
}

fn snapshot() -> Value {
    json!({
        "id": "s0", "status": "available", "volume_size": 2, "volume_type_id": "t1", "encryption_key_id": "k0",
        "volume": {"availability_zone": "az1"},
    })
}

fn volume() -> Value {
    json!({"id": "v0", "status": "in-use", "size": 2, "volume_type_id": "t1", "availability_zone": "az1"})
}

fn call(host: &FakeHost, changes: Value) -> Result<Value, Error> {
    host.call::<ExtractVolumeRequest>(request(changes))
}

#[track_caller]
fn fails(host: &FakeHost, changes: Value, kind: &str) {
    let error = call(host, changes).expect_err("the request is refused");
    assert_eq!(
        (error.kind(), error.details().is_empty()),
        (kind, true),
        "{error}"
    );
}

#[test]
fn a_plain_request_gets_the_default_zone_and_an_empty_type() {
    let output = call(&FakeHost::new(), json!({}));
    assert_eq!(
        output.unwrap(),
        json!({
            "availability_zone": "nova", "size": 2, "snapshot_id": null, "source_volid": null, "volume_type": {},
            "volume_type_id": null, "encryption_key_id": null, "qos_specs": null,
        })
    );
}

#[test]
fn a_plain_request_gets_the_default_type_and_its_specs() {
    let host = FakeHost::new()
        .answer(
            "catalog.default-volume-type",
            json!({"id": "t9", "name": "gold"}),
        )
        .answer(
            "catalog.qos-specs",
            json!({"id": "q1", "specs": {"iops": "100"}}),
        );
    let output = call(&host, json!({"volume_type": {}})).unwrap();
    assert_eq!(output["volume_type"], json!({"id": "t9", "name": "gold"}));
    assert_eq!(
        (&output["volume_type_id"], &output["qos_specs"]["id"]),
        (&json!("t9"), &json!("q1"))
    );
}

#[test]
fn a_source_keeps_its_zone_size_and_type_and_asks_for_no_default() {
    let host = FakeHost::new();
    let output = call(&host, json!({"snapshot": snapshot(), "size": null})).unwrap();
    assert_eq!(
        output,
        json!({
            "availability_zone": "az1", "size": 2, "snapshot_id": "s0", "source_volid": null, "volume_type": null,
            "volume_type_id": "t1", "encryption_key_id": null, "qos_specs": null,
        })
    );
    assert_eq!(host.calls("catalog.default-volume-type"), [] as [Value; 0]);
}

#[test]
fn an_encrypted_volume_gets_a_copy_of_its_sources_key_or_one_of_its_own() {
    let host = FakeHost::new()
        .answer("catalog.encrypted", json!(true))
        .answer("keys.copy", json!("copied"))
        .answer("keys.create", json!("created"));
    assert_eq!(
        call(&host, json!({"snapshot": snapshot()})).unwrap()["encryption_key_id"],
        "copied"
    );
    assert_eq!(host.calls("keys.copy"), [json!({"id": "k0"})]);
    assert_eq!(
        call(&host, json!({"source_volume": volume()})).unwrap()["encryption_key_id"],
        "created"
    );
    assert_eq!(
        call(&host, json!({"volume_type": {"id": null}})).unwrap()["encryption_key_id"],
        Value::Null
    );
}

#[test]
fn policy_is_asked_for_the_action_of_the_settings() {
    let host = FakeHost::new().settings(json!({"action": "volume:clone"}));
    call(&host, json!({})).unwrap();
    assert_eq!(
        host.calls("policy.enforce"),
        [json!({"action": "volume:clone", "target": {}})]
    );
}

#[test]
fn another_zone_than_the_sources_is_refused_unless_the_settings_allow_it() {
    let elsewhere = json!({"source_volume": volume(), "availability_zone": "az2"});
    fails(&FakeHost::new(), elsewhere.clone(), "InvalidInput");
    let host = FakeHost::new().settings(json!({"cloned_volume_same_az": false}));
    assert_eq!(call(&host, elsewhere).unwrap()["availability_zone"], "az2");
}

#[test]
fn an_empty_zone_is_asked_about_and_not_replaced() {
    let host = FakeHost::new().on("zones.valid", |arguments| {
        Ok(json!(arguments["zone"] == ""))
    });
    assert_eq!(
        call(&host, json!({"availability_zone": ""})).unwrap()["availability_zone"],
        ""
    );
}

#[test]
fn an_empty_image_id_counts_as_given_but_names_no_image() {
    assert!(call(&FakeHost::new(), json!({"image_id": ""})).is_ok());
    fails(
        &FakeHost::new(),
        json!({"image_id": "", "snapshot": snapshot()}),
        "InvalidInput",
    );
}

/// Breaks one more check at each step, from the last to the first: the error must change each time.
#[test]
fn the_first_check_that_fails_is_the_one_that_is_told() {
    let error = |kind: &str| Error::new(kind, "scripted");
    let mut broken = json!({"metadata": {"": "v"}, "volume_type": {"id": "t1"}});
    let mut host = FakeHost::new()
        .answer("catalog.encrypted", json!(true))
        .answer("keys.create", json!("k1"));
    fails(&host, broken.clone(), "InvalidVolumeMetadata");
    host = host.fail("catalog.qos-specs", error("Qos"));
    fails(&host, broken.clone(), "Qos");
    host = host.fail("keys.create", error("Key"));
    fails(&host, broken.clone(), "Key");
    host = host.fail("zones.valid", error("Zone"));
    fails(&host, broken.clone(), "Zone");
    host = host.fail("images.show", error("Image"));
    broken["image_id"] = json!("i0");
    fails(&host, broken.clone(), "Image");
    broken["size"] = json!("x");
    fails(&host, broken.clone(), "InvalidInput");
    broken["source_volume"] = json!({"id": "v0", "status": "error"});
    broken["image_id"] = Value::Null;
    fails(&host, broken.clone(), "InvalidVolume");
    host = host.fail("policy.enforce", error("Policy"));
    fails(&host, broken.clone(), "Policy");
    broken["snapshot"] = json!({});
    fails(&host, broken, "InvalidInput");
}
