//! `cairn plugin diff`.

use acceptance::program::Program;
use acceptance::stranger::Stranger;
use serde_json::{Value, json};

use super::program;

const OLD: Stranger = Stranger {
    name: "stranger",
    minor: 0,
    imports: &["zones"],
    requires: &["size"],
    provides: &["x", "y"],
    schema: r#"{"properties": {"a": {"type": "string"}}, "additionalProperties": false}"#,
    says: "old",
};

fn write(program: &Program, new: Stranger) {
    program
        .write("old.wat", OLD.component())
        .write("new.wat", new.component());
}

/// Returns the changes to `new`, except digest and size, as `[part, path, old, new, whether it widens]`.
fn diff(new: Stranger, settings: &str, exit: i32) -> Vec<Value> {
    let program = program();
    write(&program, new);
    let arguments = [
        "plugin",
        "diff",
        "old.wat",
        "new.wat",
        "--json",
        "--settings",
        settings,
    ];
    let document = program.run(&arguments).exits(exit).json();
    assert_eq!(document["widens"], exit == 6);
    assert_eq!(document["old"]["source"], "old.wat");
    let changes = document["changes"].as_array().expect("changes");
    let told = changes
        .iter()
        .filter(|change| change["part"] != "sha256" && change["part"] != "size");
    told.map(|change| {
        json!([
            change["part"],
            change["path"],
            change["old"],
            change["new"],
            !change["widens"].is_null()
        ])
    })
    .collect()
}

#[test]
fn the_same_component_has_no_changes() {
    let program = program();
    write(&program, OLD);
    let run = program
        .run(&["plugin", "diff", "old.wat", "new.wat"])
        .exits(0);
    assert_eq!(run.stdout, "both are the same component\n");
    assert!(!program.has_database());
}

#[test]
fn an_upgrade_that_asks_for_less_does_not_widen() {
    let new = Stranger {
        minor: 1,
        imports: &[],
        requires: &[],
        provides: &["x", "y", "z"],
        schema: r#"{"properties": {"a": {"type": "string"}, "b": {}}, "additionalProperties": false}"#,
        ..OLD
    };
    assert_eq!(
        diff(new, "{}", 0),
        [
            json!(["imports", null, "cairn:plugin/zones@0.1.0", null, false]),
            json!(["version", null, "1.0", "1.1", false]),
            json!(["requires", null, "size", null, false]),
            json!(["provides", null, null, "z", false]),
            json!(["settings", "/properties/b", null, {}, false]),
        ]
    );
}

#[test]
fn an_upgrade_that_asks_for_more_or_gives_less_widens() {
    let new = Stranger {
        imports: &["zones", "quota"],
        requires: &["size", "name"],
        provides: &["x"],
        schema: r#"{"properties": {"a": {"type": "integer"}}, "additionalProperties": false, "required": ["a"]}"#,
        ..OLD
    };
    let expected = [
        json!(["imports", null, null, "cairn:plugin/quota@0.1.0", true]),
        json!(["requires", null, null, "name", true]),
        json!(["provides", null, "y", null, true]),
        json!(["settings", "/properties/a/type", "string", "integer", true]),
        json!(["settings", "/required", null, "a", true]),
        json!(["settings", null, "taken", "refused", true]),
    ];
    // Without settings the new version cannot describe itself, so its inputs are unknown.
    let of_settings = |change: &Value| change[0] == "imports" || change[0] == "settings";
    let without: Vec<Value> = expected
        .iter()
        .filter(|one| of_settings(one))
        .cloned()
        .collect();
    assert_eq!(diff(new, "{}", 6), without);
    let kind = Stranger {
        schema: OLD.schema,
        ..new
    };
    assert_eq!(diff(kind, r#"{"a": "x"}"#, 6), expected[..3]);

    let program = program();
    write(&program, kind);
    let run = program
        .run(&["plugin", "diff", "old.wat", "new.wat"])
        .exits(6);
    for words in [
        "+ cairn:plugin/quota@0.1.0",
        "it needs the grant `quota`",
        "- y",
        "it widens: 3 changes",
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(run.stdout.lines().any(|line| line.starts_with("size ")));
}

#[test]
fn what_cannot_be_read_is_bad_usage() {
    let program = program();
    program
        .write("old.wat", OLD.component())
        .write("text", "hello");
    program
        .run(&["plugin", "diff", "old.wat", "gone.wasm"])
        .exits(2)
        .says(&["the plugin cannot be read", "--> gone.wasm"]);
    program
        .run(&["plugin", "diff", "text", "old.wat"])
        .exits(2)
        .says(&["no WebAssembly component", "--> text"]);
    program
        .run(&["plugin", "diff", "builtin:inject", "builtin:gone"])
        .exits(2)
        .says(&["there is no built-in plugin `gone`"]);
}

#[test]
fn built_in_plugins_can_be_compared_with_settings() {
    let program = program();
    program
        .run(&["plugin", "diff", "builtin:inject", "builtin:inject"])
        .exits(0)
        .says(&["warning: builtin:inject is not described"]);
    let settings = ["--settings", r#"{"provides": ["size"]}"#];
    let run = program
        .run(
            &[
                &["plugin", "diff", "builtin:inject", "builtin:inject"][..],
                &settings,
            ]
            .concat(),
        )
        .exits(0);
    assert_eq!(run.stderr, "");
}
