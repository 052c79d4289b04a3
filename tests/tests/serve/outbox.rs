//! Messages: as `cairn outbox` handles them.

use acceptance::serving::Serving;
use serde_json::{Value, json};

use super::{deployed, last_change, settings, sql};

/// A transport that reaches nobody.
const DELIVER: &str = "[deliver]\ntransport = 'http'\nkey_file = 'k'\n[deliver.topics]\n'*' = 'http://127.0.0.1:9/'\n";

const MESSAGES: &str =
    "INSERT INTO outbox (id, state, topic, method, arguments, created_at, project_id) VALUES
    ('a', 'failed', 't', 'm', '{}', 0, 'demo'), ('b', 'ready', 't', 'm', '{}', 0, 'demo')";

#[test]
fn a_message_is_not_sent_again_without_a_transport() {
    let program = deployed("");
    sql(&program, MESSAGES);
    let serving = Serving::start(&program, &[]);
    let handle = |id: &str, action: &str, reason: Value| {
        let asked = json!({"action": action, "reason": reason});
        serving.post(&format!("/v1/outbox/{id}"), &asked)
    };
    let refused = handle("a", "retry", json!(null)).is_problem(409, "NoTransport");
    assert!(refused.body.contains("no transport is configured"));
    handle("a", "discard", json!("it was sent by hand")).is(204);
    let before = json!({"state": "failed", "topic": "t", "method": "m"});
    assert_eq!(
        last_change(&program),
        json!([
            "outbox.discard",
            "a",
            "demo",
            before,
            null,
            "it was sent by hand"
        ])
    );
    handle("a", "discard", json!(null)).is_problem(404, "NotFound");
    handle("b", "ack", json!("x".repeat(256))).is_problem(400, "InvalidInput");
    handle("b", "ack", json!(null)).is(204);
}

#[test]
fn a_message_that_failed_is_sent_again() {
    let program = deployed("");
    sql(&program, MESSAGES);
    program
        .write("cairn.toml", settings("") + DELIVER)
        .write_secret("k", "0123456789abcdef0123456789abcdef");
    let serving = Serving::start(&program, &[]);
    let asked = json!({"action": "retry"});
    serving.post("/v1/outbox/a", &asked).is(204);
    let change = last_change(&program);
    assert_eq!(
        (&change[0], &change[4]),
        (&json!("outbox.retry"), &json!({"state": "sending"}))
    );
}
