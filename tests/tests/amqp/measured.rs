//! What a message costs, measured by the program.

use acceptance::program::Program;
use acceptance::rabbit::Space;

use super::{EXCHANGE, TOPIC, program};

#[test]
fn messages_are_measured_that_the_broker_has_confirmed() {
    let Some(space) = Space::shared("messages_are_measured_that_the_broker_has_confirmed") else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let sender = program(&space, "");
    let bench = ["bench", "--messages", "100", "--json"];
    let figures = sender.json(&[&bench[..], &["--topic", TOPIC]].concat());
    assert_eq!(figures["messages"], 100);
    for field in [
        "messages_per_s",
        "cpu_us_per_message",
        "nobody_messages_per_s",
        "nobody_cpu_us_per_message",
    ] {
        let value = figures[field].as_f64().expect("a number");
        assert!(value > 0.0, "`{field}`: {figures:#}");
    }
    // The first one is not measured.
    assert_eq!(space.drain(TOPIC).len(), 1 + 100);
    // Nobody takes the topic that is not named.
    let lost = sender.run(&bench).exits(1);
    lost.says(&["the first message was not delivered", "cairn-bench"]);
    let without = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let refused = without.run(&bench).exits(2);
    refused.says(&["no [deliver]", "host/docs/messages.md"]);
}
