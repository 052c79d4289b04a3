//! Records: as `cairn record` shows and changes them.

use acceptance::serving::Serving;
use serde_json::{Value, json};

use super::{deployed, last_change};

#[test]
fn a_record_is_put_shown_and_removed_at_the_version_that_is_expected() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let path = "/v1/records/greetings/a%2Fb";
    let put = |asked: Value| serving.post(path, &asked);
    let asked = json!({"value": {"text": "hi"}, "absent": true, "reason": "a test"});
    let put_first = put(asked.clone()).is(200).json();
    assert_eq!(
        put_first,
        json!({"collection": "greetings", "key": "a/b", "version": 1})
    );
    assert_eq!(
        last_change(&program),
        json!([
            "record.put", "greetings/a/b", "demo", null,
            {"version": 1, "value": {"text": "hi"}}, "a test"
        ])
    );
    put(asked).is_problem(409, "VersionConflict");
    put(json!({"value": 2, "version": 7})).is_problem(409, "VersionConflict");
    put(json!({"value": 2, "version": 1, "absent": true})).is_problem(400, "InvalidInput");
    put(json!({})).is_problem(400, "InvalidInput");
    let second = put(json!({"value": {"text": "ho"}, "version": 1}));
    assert_eq!(second.is(200).json()["version"], 2);
    let shown = serving.get(path).is(200).json();
    assert_eq!(
        (&shown["value"]["text"], &shown["version"]),
        (&json!("ho"), &json!(2))
    );

    let remove = |asked: Value| serving.post(&format!("{path}/remove"), &asked);
    remove(json!({"version": 1})).is_problem(409, "VersionConflict");
    remove(json!({"version": 2})).is(204);
    assert_eq!(
        last_change(&program),
        json!([
            "record.remove", "greetings/a/b", "demo",
            {"version": 2, "value": {"text": "ho"}}, null, null
        ])
    );
    remove(json!({})).is_problem(404, "RecordNotFound");
    serving.get(path).is_problem(404, "RecordNotFound");
    serving
        .post("/v1/records/nothing/a", &json!({"value": 1}))
        .is_problem(404, "CollectionNotFound");
    let long = format!("/v1/records/greetings/{}", "x".repeat(256));
    serving
        .post(&long, &json!({"value": 1}))
        .is_problem(400, "InvalidInput");
}

#[test]
fn a_key_that_a_flow_holds_is_not_changed_and_is_freed_only_when_the_flow_cannot_continue() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let waits = json!({"flow": "waits", "request": {"name": "Ada"}});
    let flow = serving.post("/v1/flows", &waits).is(202).id();
    let path = "/v1/records/greetings/Waits%20Ada";
    let begun = std::time::Instant::now();
    while serving.get(path).json()["held"]["flow"] != flow.as_str() {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    serving
        .post(path, &json!({"value": 1}))
        .is_problem(409, "Busy");
    serving
        .post(&format!("{path}/remove"), &json!({}))
        .is_problem(409, "Busy");
    let release = |asked: Value| serving.post(&format!("{path}/release"), &asked);
    release(json!({"flow": flow, "reason": " "})).is_problem(400, "InvalidInput");
    release(json!({"flow": "x", "reason": "a test"})).is_problem(404, "NotFound");
    release(json!({"flow": flow, "reason": "a test"})).is_problem(409, "FlowUnfinished");
    let other = "01a22bb3-a277-77d1-9698-1ee5791ae389";
    release(json!({"flow": other, "reason": "a test"})).is_problem(409, "NotHeld");
}
