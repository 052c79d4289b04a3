//! Objects outside the database: as `cairn external` compares, adopts and removes them.

use std::sync::OnceLock;

use acceptance::program::Program;
use acceptance::rust_plugin;
use acceptance::serving::{Answer, Serving};
use serde_json::{Value, json};

use super::{csrf, deployed, form, last_change};

const ORPHAN: &str = "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11";

/// Returns a guest of `tests/guests/rust` as a component.
fn component(name: &str) -> String {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = BUILT.get_or_init(|| rust_plugin::build("tests/guests/rust", program));
    let built = built.join(name).with_extension("wasm");
    built.display().to_string()
}

/// Returns a server after a flow that made objects with these labels, whose provider has these settings.
fn served(settings: &str, labels: &str) -> (Program, Serving) {
    let program = deployed("");
    program.write(
        "shelf.toml",
        format!(
            "[flow]\nname = 'f'\n\n[externals.shelf]\npath = '{}'\nsettings = {{ {settings} }}\n\n\
             [plugins.places]\npath = '{}'\nsettings = {{ labels = [{labels}] }}\n\
             grants = {{ externals = true }}\n\n[[task]]\nplugin = 'places'\n",
            component("shelf"),
            component("places")
        ),
    );
    program.run(&["run", "shelf.toml"]).exits(0);
    let serving = Serving::start(&program, &[]);
    (program, serving)
}

fn path(id: &str) -> String {
    format!("/v1/externals/shelf/book/{id}")
}

fn act(serving: &Serving, id: &str, action: &str, body: &Value) -> Answer {
    serving.post(&format!("{}/{action}", path(id)), body)
}

#[test]
fn an_object_without_a_row_is_found_and_adopted_with_a_reason() {
    let (program, serving) = served(&format!("there = ['{ORPHAN}']"), "");
    let scan = || serving.get("/v1/externals/shelf/book").is(200).json();
    let found = scan();
    assert_eq!(
        found["differences"],
        json!([{"difference": "orphan", "id": ORPHAN, "project_id": null, "flow": null, "found": "whole", "error": null}])
    );
    let looked = serving.get(&path(ORPHAN)).is(200).json();
    assert_eq!(
        (&looked["found"], &looked["result"], &looked["row"]),
        (&json!("whole"), &json!({"shelf": "book"}), &Value::Null)
    );
    let adopt = |id: &str, reason: &str| act(&serving, id, "adopt", &json!({"reason": reason}));
    act(&serving, ORPHAN, "adopt", &json!({})).is_problem(400, "InvalidInput");
    adopt(ORPHAN, " ").is_problem(400, "InvalidInput");
    adopt(ORPHAN, &"x".repeat(256)).is_problem(400, "InvalidInput");
    adopt("BOOK", "it is ours").is_problem(400, "InvalidInput");
    let other = "00000000-0000-4000-8000-000000000001";
    adopt(other, "it is ours").is_problem(404, "NotFound");
    let adopted = adopt(ORPHAN, "it is ours").is(200).json();
    assert_eq!(adopted, json!({"project": "demo", "found": "whole"}));
    let after = json!({"provider": "shelf", "kind": "book", "result": {"shelf": "book"}});
    assert_eq!(
        last_change(&program),
        json!(["external.adopt", ORPHAN, "demo", null, after, "it is ours"])
    );
    adopt(ORPHAN, "again").is_problem(409, "ExternalExists");
    assert_eq!(scan()["differences"], json!([]));
    let rows = serving.get("/v1/externals").is(200).json();
    assert_eq!(rows["rows"][0]["id"], ORPHAN);
}

#[test]
fn an_object_is_removed_once_its_provider_says_that_it_is_absent() {
    let (program, serving) = served("there = []", "");
    let remove = |id: &str| act(&serving, id, "remove", &json!({"reason": "a test"}));
    remove(ORPHAN).is(204);
    let change = last_change(&program);
    assert_eq!(
        (&change[0], &change[1], &change[5]),
        (&json!("external.remove"), &json!(ORPHAN), &json!("a test"))
    );
    assert_eq!(serving.get("/v1/externals").json()["rows"], json!([]));
    drop(serving);

    // This one says that it has removed the object, and shows it.
    let (program, serving) = served("everything = true", "'one'");
    let rows = serving.get("/v1/externals").is(200).json();
    let id = rows["rows"][0]["id"].as_str().unwrap().to_owned();
    let refused = act(&serving, &id, "remove", &json!({})).is_problem(409, "StillThere");
    assert!(
        refused.body.contains("repeat the removal"),
        "{}",
        refused.body
    );
    let rows = program.json(&["external", "list", "--json"]);
    assert_eq!(rows[0]["state"], "removing");
    // The next page begins after it.
    let after = format!("/v1/externals?after=shelf%2Fbook%2F{id}");
    assert_eq!(serving.get(&after).is(200).json()["rows"], json!([]));
    serving
        .get("/v1/externals?after=x")
        .is_problem(400, "InvalidInput");
}

#[test]
fn what_a_provider_does_not_know_is_not_changed() {
    let (program, serving) = served("silent = 'closed today'", "");
    let changes = || program.json(&["audit", "list", "--json"]);
    let before = changes();
    for answer in [
        serving.get(&path(ORPHAN)),
        serving.get("/v1/externals/shelf/book"),
        act(&serving, ORPHAN, "adopt", &json!({"reason": "a test"})),
    ] {
        let unknown = answer.is_problem(502, "ExternalUnknown");
        assert!(unknown.body.contains("closed today"), "{}", unknown.body);
    }
    let nobody = format!("/v1/externals/nobody/book/{ORPHAN}");
    let refused = serving.get(&nobody).is_problem(409, "NoProvider");
    assert!(
        refused
            .body
            .contains("no stored plan has a provider `nobody`")
    );
    assert_eq!(changes(), before);
}

#[test]
fn the_dashboard_adopts_and_removes_by_the_same_rules() {
    let (program, serving) = served(&format!("there = ['{ORPHAN}']"), "");
    let page = || serving.get("/ui/externals").is(200).body;
    let before = page();
    assert!(!before.contains("/ui/externals/remove"), "{before}");
    let csrf = csrf(&before);
    let object = format!("provider=shelf&kind=book&id={ORPHAN}");
    let send = |action: &str, reason: &str| {
        let fields = format!("{object}&reason={reason}");
        form(
            &serving,
            &format!("/ui/externals/{action}"),
            "",
            csrf,
            &fields,
        )
    };
    send("adopt", "").is(400);
    let adopted = send("adopt", "ours").is(303);
    assert_eq!(adopted.header("location"), Some("/ui/externals"));
    let change = last_change(&program);
    assert_eq!(
        (&change[0], &change[1], &change[5]),
        (&json!("external.adopt"), &json!(ORPHAN), &json!("ours"))
    );
    send("adopt", "again").is(409);
    let made = page();
    assert!(made.contains("Remove this object"), "{made}");
    // This provider says that it has removed the object, and shows it.
    let refused = send("remove", "not+ours").is(409).body;
    assert!(refused.contains("which is still there"), "{refused}");
    let change = last_change(&program);
    assert_eq!(
        (&change[0], &change[5]),
        (&json!("external.remove"), &json!("not ours"))
    );
    assert!(page().contains("Repeat the removal"));
}
