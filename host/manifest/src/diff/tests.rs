use serde_json::json;

use super::*;

fn version() -> PluginVersion {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    PluginVersion {
        digest: Digest::of(b"one"),
        size: 10,
        imports: ["cairn:plugin/context@0.1.0", "wasi:io/poll@0.2.0"]
            .map(str::to_owned)
            .into(),
        exports: ["cairn:plugin/plugin@0.1.0", "cairn:plugin/task@0.1.0"]
            .map(str::to_owned)
            .into(),
        settings_schema: json!({"properties": {"pattern": {"type": "string"}}, "additionalProperties": false}),
        descriptor: Ok(Descriptor {
            name: "naming".to_owned(),
            version: (1, 0),
            requires: names(&["name"]),
            optional: names(&["size"]),
            provides: names(&["name"]),
        }),
    }
}

/// Formats a change as `part old -> new`, with `!` before it if it widens.
fn text(change: &PluginChange) -> String {
    let path = change.path.as_deref().unwrap_or_default();
    format!(
        "{}{}{path} {} -> {}",
        if change.widens.is_some() { "!" } else { "" },
        change.part.as_str(),
        change.old,
        change.new,
    )
}

/// Returns the changes that `change` causes, without digest and size.
fn after(change: impl FnOnce(&mut PluginVersion)) -> Vec<String> {
    after_with(&json!({}), change)
}

fn after_with(settings: &Value, change: impl FnOnce(&mut PluginVersion)) -> Vec<String> {
    let mut new = version();
    change(&mut new);
    let settings = settings.as_object().unwrap();
    changes(&version(), &new, settings, &crate::testing::kinds())
        .iter()
        .map(text)
        .collect()
}

fn described(version: &mut PluginVersion) -> &mut Descriptor {
    version.descriptor.as_mut().unwrap()
}

#[test]
fn the_same_version_has_no_changes() {
    assert_eq!(after(|_| ()), Vec::<String>::new());
}

#[test]
fn bytes_and_names_change_without_widening() {
    let new = Digest::of(b"two");
    assert_eq!(
        after(|version| {
            version.digest = new;
            version.size = 11;
            described(version).name = "rule".to_owned();
            described(version).version = (2, 0);
        }),
        [
            format!("sha256 \"{}\" -> \"{new}\"", Digest::of(b"one")),
            "size 10 -> 11".to_owned(),
            "name \"naming\" -> \"rule\"".to_owned(),
            "version \"1.0\" -> \"2.0\"".to_owned(),
        ]
    );
}

#[test]
fn what_is_imported_anew_widens() {
    let mut new = version();
    new.imports.insert("cairn:plugin/quota@0.1.0".to_owned());
    let found = changes(&version(), &new, &Object::new(), &crate::testing::kinds());
    assert_eq!(
        found[0].widens.as_deref(),
        Some("it needs the grant `quota`")
    );
    assert_eq!(
        after(|version| {
            version.imports = ["wasi:io/streams@0.2.0".to_owned()].into();
        }),
        [
            "imports \"cairn:plugin/context@0.1.0\" -> null",
            "imports \"wasi:io/poll@0.2.0\" -> null",
            "!imports null -> \"wasi:io/streams@0.2.0\"",
        ]
    );
}

#[test]
fn a_patch_of_wasi_and_types_are_nothing_new() {
    assert_eq!(
        after(|version| {
            version.imports.remove("wasi:io/poll@0.2.0");
            version.imports.insert("wasi:io/poll@0.2.6".to_owned());
            version
                .imports
                .insert("cairn:plugin/types@0.1.0".to_owned());
        }),
        Vec::<String>::new()
    );
}

#[test]
fn a_world_that_is_exported_no_more_widens() {
    assert_eq!(
        after(|version| {
            version.exports.remove("cairn:plugin/task@0.1.0");
            version
                .exports
                .insert("cairn:plugin/validator@0.1.0".to_owned());
        }),
        [
            "!exports \"cairn:plugin/task@0.1.0\" -> null",
            "exports null -> \"cairn:plugin/validator@0.1.0\"",
        ]
    );
}

#[test]
fn inputs_that_are_new_or_needed_widen_and_so_does_less_that_is_provided() {
    assert_eq!(
        after(|version| {
            described(version).requires = vec!["size".to_owned(), "zone".to_owned()];
            described(version).optional = vec!["name".to_owned(), "host".to_owned()];
            described(version).provides = vec!["other".to_owned()];
        }),
        [
            "requires \"name\" -> null",
            "!requires null -> \"size\"",
            "!requires null -> \"zone\"",
            "optional \"size\" -> null",
            "!optional null -> \"host\"",
            "optional null -> \"name\"",
            "!provides \"name\" -> null",
            "provides null -> \"other\"",
        ]
    );
}

#[test]
fn a_schema_is_compared_rule_by_rule() {
    for (old, new, expected) in [
        (
            json!({}),
            json!({"title": "T", "properties": {"a": {"type": "string"}}}),
            vec![
                "settings/properties/a null -> {\"type\":\"string\"}",
                "settings/title null -> \"T\"",
            ],
        ),
        (
            json!({}),
            json!({"properties": {"a": {}}, "required": ["a"]}),
            vec![
                "settings/properties/a null -> {}",
                "!settings/required null -> \"a\"",
            ],
        ),
        (
            json!({"required": ["a", "b"]}),
            json!({"required": ["b"]}),
            vec!["settings/required \"a\" -> null"],
        ),
        (
            json!({"required": ["a"]}),
            json!({}),
            vec!["settings/required \"a\" -> null"],
        ),
        (
            json!({"properties": {"a/b": {}}}),
            json!({}),
            vec!["!settings/properties/a~1b {} -> null"],
        ),
        (
            json!({"properties": {"a": {"type": "integer"}}}),
            json!({"properties": {"a": {"type": "string"}}}),
            vec!["!settings/properties/a/type \"integer\" -> \"string\""],
        ),
        (
            json!({"type": "integer"}),
            json!({"type": ["number", "null"]}),
            vec!["settings/type \"integer\" -> [\"number\",\"null\"]"],
        ),
        (
            json!({"type": ["string", "null"]}),
            json!({"type": "string"}),
            vec!["!settings/type [\"string\",\"null\"] -> \"string\""],
        ),
        (
            json!({"enum": ["a", "b"]}),
            json!({"enum": ["b", "c"]}),
            vec![
                "!settings/enum \"a\" -> null",
                "settings/enum null -> \"c\"",
            ],
        ),
        (
            json!({}),
            json!({"enum": ["a"]}),
            vec!["!settings/enum null -> [\"a\"]"],
        ),
        (
            json!({"maximum": 5, "minimum": 1}),
            json!({"maximum": 6, "minimum": 2}),
            vec!["settings/maximum 5 -> 6", "!settings/minimum 1 -> 2"],
        ),
        (
            json!({"pattern": "a"}),
            json!({}),
            vec!["settings/pattern \"a\" -> null"],
        ),
        (
            json!({"pattern": "a"}),
            json!({"pattern": "b"}),
            vec!["!settings/pattern \"a\" -> \"b\""],
        ),
        (
            json!({}),
            json!({"additionalProperties": false}),
            vec!["!settings/additionalProperties null -> false"],
        ),
        (
            json!({"additionalProperties": false}),
            json!({}),
            vec!["settings/additionalProperties false -> null"],
        ),
        (
            json!({"items": {"maxLength": 3}}),
            json!({"items": {"maxLength": 2}}),
            vec!["!settings/items/maxLength 3 -> 2"],
        ),
        (
            json!({"not": {"maxLength": 3}}),
            json!({"not": {"maxLength": 4}}),
            vec!["!settings/not {\"maxLength\":3} -> {\"maxLength\":4}"],
        ),
        (
            json!({"$defs": {"required": {"minItems": 1}}}),
            json!({"$defs": {"required": {"minItems": 2}, "x": {}}}),
            vec![
                "!settings/$defs/required/minItems 1 -> 2",
                "settings/$defs/x null -> {}",
            ],
        ),
        (
            json!({"properties": {"title": {"const": 1}}}),
            json!({"properties": {"title": {"const": 2}}}),
            vec!["!settings/properties/title/const 1 -> 2"],
        ),
        (
            json!({"type": "object"}),
            json!(true),
            vec!["settings {\"type\":\"object\"} -> true"],
        ),
        (
            json!(true),
            json!({"type": "object"}),
            vec!["!settings true -> {\"type\":\"object\"}"],
        ),
    ] {
        let (mut one, mut other) = (version(), version());
        one.settings_schema = old.clone();
        other.settings_schema = new.clone();
        let found: Vec<_> = changes(&one, &other, &Object::new(), &crate::testing::kinds())
            .iter()
            .filter(|change| change.path.is_some())
            .map(text)
            .collect();
        assert_eq!(found, expected, "{old} -> {new}");
    }
}

#[test]
fn settings_that_only_the_old_one_takes_widen() {
    let stricter = |version: &mut PluginVersion| {
        version.settings_schema["properties"]["pattern"]["maxLength"] = json!(1);
    };
    let rule = "!settings/properties/pattern/maxLength null -> 1";
    let refused = "!settings \"taken\" -> \"refused\"";
    assert_eq!(
        after_with(&json!({"pattern": "long"}), stricter),
        [rule, refused]
    );
    assert_eq!(after_with(&json!({"pattern": "s"}), stricter), [rule]);
    // Settings that neither version accepts prove nothing about the new one.
    assert_eq!(after_with(&json!({"other": 1}), stricter), [rule]);
    assert_eq!(
        after(|version| version.descriptor = Err("it failed".to_owned())),
        [refused]
    );
}
