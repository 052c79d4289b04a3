//! What lists of flows say of each flow.

use acceptance::corpus::Guest;
use acceptance::serving::Serving;
use serde_json::json;

use super::browser::FLOOD;
use super::{HOSTILE, deployed, submit};

/// Returns the row of a flow in a page.
#[track_caller]
fn row<'p>(page: &'p str, id: &str) -> &'p str {
    let row = page
        .split("<tr ")
        .find(|row| row.contains(&format!("id=\"f-{id}\"")));
    row.unwrap_or_else(|| panic!("no row of {id}: {page}"))
}

#[test]
fn a_row_has_its_tasks_its_subject_and_what_is_left() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let done = submit(&serving, "greet", &json!({"name": "Ada"}));
    let failed = submit(&serving, "greet", &json!({"name": "fail"}));
    let waits = submit(&serving, "waits", &json!({"name": "Bea"}));
    let path = format!("/ui/flows/{waits}");
    while !serving.get(&path).body.contains("Send the signal") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let page = serving.get("/ui/flows").is(200).body;
    for (id, parts) in [
        (&done, ["3 / 3", "record", "Hello Ada", "succeeded"]),
        // Two tasks were done before the third failed.
        (&failed, ["2 / 3", "clean", "Hello fail", "failed"]),
        (&waits, ["2 / 4", "record", "Waits Bea", "waiting"]),
    ] {
        for part in parts {
            assert!(row(&page, id).contains(part), "{part}: {}", row(&page, id));
        }
    }
    assert!(!row(&page, &done).contains("clean"));
    // The overview shows them, too; and what is remembered is what was read.
    let overview = serving.get("/ui").is(200).body;
    assert!(row(&overview, &failed).contains("2 / 3"));
    let again = serving.get("/ui/flows").is(200).body;
    assert_eq!(
        row(&again, &done).contains("Hello Ada"),
        row(&page, &done).contains("Hello Ada")
    );
    // What goes on is read again.
    let signal = json!({"name": "approved", "payload": {}});
    serving
        .post(&format!("/v1/flows/{waits}/signal"), &signal)
        .is(200);
    let begun = std::time::Instant::now();
    while !row(&serving.get("/ui/flows").body, &waits).contains("4 / 4") {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_hostile_subject_is_text() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": HOSTILE}));
    let page = serving.get("/ui/flows").is(200).body;
    let row = row(&page, &id);
    assert!(row.contains("&lt;script&gt;"), "{row}");
    assert!(!row.contains("<script") && !row.contains("<img") && !row.contains('\u{202e}'));
}

#[test]
fn a_flow_with_a_damaged_journal_does_not_hide_the_others() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let whole = submit(&serving, "greet", &json!({"name": "Ada"}));
    let damaged = submit(&serving, "greet", &json!({"name": "Bea"}));
    serving.kill();
    let database = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
    let changed = database.execute(
        "UPDATE journal SET entries = x'ffffffff00' WHERE flow = unhex(replace(?, '-', ''))",
        [&damaged],
    );
    assert!(changed.unwrap() > 0);
    drop(database);
    let serving = Serving::start(&program, &[]);
    let page = serving.get("/ui/flows").is(200).body;
    assert!(row(&page, &whole).contains("Hello Ada"));
    assert!(
        row(&page, &damaged).contains("…"),
        "{}",
        row(&page, &damaged)
    );
}

#[test]
fn a_long_journal_is_not_read_for_a_list() {
    let program = deployed("");
    program
        .write("flood.wasm", Guest::LogFlood.bytes())
        .write("flood.toml", FLOOD);
    program.run(&["flow", "deploy", "flood.toml"]).exits(0);
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "flood", &json!({}));
    let page = serving.get("/ui/flows").is(200).body;
    assert!(row(&page, &id).contains("The journal is long"), "{page}");
}
