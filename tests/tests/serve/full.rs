//! A disk that is full: the server says so, and goes on once there is room.

use std::time::{Duration, Instant};

use acceptance::serving::Serving;
use serde_json::json;

use super::deployed;

#[test]
fn a_server_whose_disk_is_full_is_not_ready_until_there_is_room() {
    let program = deployed("");
    let serving = Serving::start_bounded(&program);
    let body = json!({"flow": "greet", "request": {"name": "Ada"}});
    let wait = [("prefer", "wait=30")];
    serving.post_with("/v1/flows", &wait, &body).is(200);

    serving.limit_files(Some(1));
    let refused = serving.post_with("/v1/flows", &wait, &body);
    assert!([500, 503].contains(&refused.status), "{refused:?}");
    for _ in 0..3 {
        let ready = serving.get("/readyz").is(503);
        assert!(ready.body.starts_with("unwritable: "), "{}", ready.body);
    }
    // Reads work.
    serving.get("/healthz").is(200);
    serving.get("/v1/flows").is(200);

    serving.limit_files(None);
    let begun = Instant::now();
    while serving.get("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    serving.post_with("/v1/flows", &wait, &body).is(200);
    assert_eq!(serving.end(15).exit, 0);
    program.run(&["quota", "check"]).exits(0);
    let flows = program.json(&["flow", "list", "--json"]);
    let flows = flows.as_array().unwrap();
    // What was refused has left nothing, or was rolled back.
    let succeeded = flows.iter().filter(|flow| flow["state"] == "SUCCESS");
    assert_eq!(succeeded.count(), 2, "{flows:?}");
}
