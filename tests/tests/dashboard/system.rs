//! The page of the system.

use acceptance::serving::Serving;
use serde_json::json;

use super::{deployed, submit};

#[test]
fn the_system_has_a_size_slow_plugins_and_a_configuration() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let before = serving.get("/ui/system").is(200).body;
    assert!(before.contains("has called no plugin"), "{before}");
    for name in ["Ada", "Bea", "Cyd"] {
        submit(&serving, "greet", &json!({"name": name}));
    }
    let page = serving.get("/ui/system").is(200).body;
    for part in [
        "SQLite 3",
        "Write-ahead log",
        "<dt>Schema</dt><dd>version ",
        "p99",
        "cairn:plugin@0.1.0",
        "at most 1.0 MiB",
        "A flow may run",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let row = page
        .split("<tr")
        .find(|row| row.contains("<bdi>goodbye</bdi>"));
    let row = row.unwrap_or_else(|| panic!("{page}"));
    assert!(row.contains("<td class=\"num\">3</td>"), "{row}");
    // Each call has an instance of its own, with a few pages of 64 KiB.
    let memory = row.split("<td class=\"num\">").last().unwrap_or_default();
    assert!(memory.contains(" KiB of 64.0 MiB"), "{row}");
}

#[test]
fn secrets_are_not_part_of_the_configuration() {
    let program = deployed("auth = \"basic\"\nusers = \"users.toml\"");
    let hash = bcrypt::hash("hunter2", 4).unwrap();
    let user =
        format!("[users.ann]\npassword = \"{hash}\"\nprojects = [\"acme\"]\nroles = [\"admin\"]\n");
    program.write_secret("users.toml", user);
    let serving = Serving::start(&program, &[]);
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "ann:hunter2");
    let header = format!("Basic {basic}");
    let with = [("authorization", header.as_str())];
    let page = serving.send("GET", "/ui/system", &with, None).is(200).body;
    assert!(page.contains("users.toml"), "{page}");
    for secret in ["hunter2", hash.as_str(), basic.as_str()] {
        assert!(!page.contains(secret), "{secret}");
    }
}
