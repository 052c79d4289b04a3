use serde_json::json;

use super::program;

#[test]
fn a_built_in_plugin_shows_its_imports_and_the_grants_they_need() {
    let program = program();
    let shown = program.json(&["plugin", "inspect", "builtin:quota-reserve", "--json"]);
    let imports = shown["imports"].as_array().unwrap();
    let import = |name: &str| imports.iter().find(|import| import["name"] == name);
    assert_eq!(
        import("cairn:plugin/quota@0.1.0").unwrap()["grant"],
        "quota"
    );
    assert_eq!(
        import("cairn:plugin/context@0.1.0").unwrap()["grant"],
        json!(null)
    );
    assert_eq!(
        shown["exports"],
        json!(["cairn:plugin/plugin@0.1.0", "cairn:plugin/task@0.1.0"])
    );
    assert_eq!(shown["descriptor"]["name"], "quota-reserve");
    assert_eq!(
        shown["descriptor"]["requires"],
        json!(["size", "volume_type_id"])
    );
    assert_eq!(shown["sha256"].as_str().map(str::len), Some(64));
    assert!(!program.has_database());
}

#[test]
fn a_plugin_that_needs_settings_is_described_when_it_has_them() {
    let program = program();
    let shown = program.json(&["plugin", "inspect", "builtin:inject", "--json"]);
    assert_eq!(shown["descriptor"], json!(null));
    assert!(
        shown["not_described"]
            .as_str()
            .unwrap()
            .contains("provides"),
        "{shown}"
    );
    let settings = r#"{"provides": ["size"]}"#;
    let shown = program.json(&[
        "plugin",
        "inspect",
        "builtin:inject",
        "--settings",
        settings,
        "--json",
    ]);
    assert_eq!(shown["descriptor"]["provides"], json!(["size"]));
}

#[test]
fn what_is_no_plugin_is_bad_usage() {
    let program = program();
    program.write("text", "hello");
    program.run(&["plugin", "inspect", "text"]).exits(2).says(&[
        "no WebAssembly component",
        "--> text",
        "help:",
    ]);
    program
        .run(&["plugin", "inspect", "gone.wasm"])
        .exits(2)
        .says(&["the plugin cannot be read", "--> gone.wasm"]);
    program
        .run(&["plugin", "inspect", "builtin:quota"])
        .exits(2)
        .says(&["there is no built-in plugin `quota`", "quota-commit"]);
}
