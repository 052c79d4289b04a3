use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::testing::kinds;

/// The manifest of the design page, section 3, with a valid digest.
const WHOLE: &str = r#"[flow]
name    = "volume_create_api"
action  = "volume:create"
on_lost = "resume"

[plugins.naming]
path     = "naming.wasm"
sha256   = "9f2cAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
settings = { pattern = "^[a-z]" }
limits   = { memory = "16MiB", deadline = "250ms" }
[plugins.naming.grants]
catalog  = true
keys     = false
quota    = { resources = ["volumes"] }

[[task]]
plugin = "naming"
retry  = { attempts = 3, backoff = "50ms", on = ["Busy"] }
revert = { attempts = 5, backoff = "100ms" }

[[task]]
plugin = "naming"
name = "again"
"#;

/// Returns the smallest manifest, with `plugin` added to its plugin's table.
fn small(plugin: &str) -> String {
    format!("[flow]\nname = \"f\"\n[plugins.a]\n{plugin}\n[[task]]\nplugin = \"a\"\n")
}

fn parse(text: &str) -> Result<Manifest, Diagnostic> {
    Manifest::parse(text, Path::new("flows/flow.toml"), &kinds())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(text).expect_err(text).to_string();
    assert_eq!(error, expected, "of:\n{text}");
}

#[test]
fn a_whole_manifest_is_read() {
    let manifest = parse(WHOLE).unwrap();
    assert_eq!(manifest.name, "volume_create_api");
    assert_eq!(manifest.action.as_deref(), Some("volume:create"));
    assert_eq!(manifest.on_lost, OnLost::Resume);
    assert_eq!(manifest.warnings, Vec::<String>::new());

    let plugin = &manifest.plugins["naming"];
    assert_eq!(plugin.source, Source::Path("flows/naming.wasm".into()));
    assert!(plugin.sha256.unwrap().to_string().starts_with("9f2caaaa"));
    assert_eq!(plugin.settings["pattern"], "^[a-z]");
    assert_eq!(plugin.limits.memory, 16 << 20);
    assert_eq!(plugin.limits.deadline, Duration::from_millis(250));
    assert_eq!(plugin.limits.result_bytes, 4 << 20);
    assert!(plugin.grants.has("catalog"));
    assert!(!plugin.grants.has("keys"));
    let quota = plugin.grants.get("quota").unwrap();
    assert!(quota.reaches("resources", "volumes") && !quota.reaches("resources", "snapshots"));
    assert_eq!(plugin.line, 6);

    let [first, second] = &manifest.tasks[..] else {
        panic!("two tasks")
    };
    assert_eq!((first.name(), first.line), ("naming", 16));
    assert_eq!((second.name(), second.line), ("again", 21));
    assert_eq!(first.retry.on.as_deref(), Some(&["Busy".to_owned()][..]));
    assert_eq!(first.revert.attempts, 5);
    assert_eq!(second.retry, Retry::default());
}

#[test]
fn a_manifest_survives_json() {
    let manifest = parse(WHOLE).unwrap();
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
}

#[test]
fn what_is_left_out_has_a_default() {
    let manifest = parse(&small("builtin = \"inject\"")).unwrap();
    assert_eq!(manifest.on_lost, OnLost::Rollback);
    assert_eq!(manifest.action, None);
    let plugin = &manifest.plugins["a"];
    assert_eq!(plugin.source, Source::Builtin("inject".into()));
    assert_eq!(plugin.limits, Limits::default());
    assert_eq!(plugin.grants, Grants::default());
}

#[test]
fn a_path_starts_at_the_folder_of_the_manifest() {
    for (file, path, expected) in [
        ("flow.toml", "a.wasm", "a.wasm"),
        ("x/flow.toml", "../a.wasm", "x/../a.wasm"),
        ("x/flow.toml", "/lib/a.wasm", "/lib/a.wasm"),
    ] {
        let text = small(&format!("path = '{path}'"));
        let manifest = Manifest::parse(&text, Path::new(file), &kinds()).unwrap();
        assert_eq!(manifest.plugins["a"].source, Source::Path(expected.into()));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    refused(
        "[flow]\nname = 'f'\nactoin = 'x'",
        "unknown key `actoin` in [flow]\n  --> flows/flow.toml:3\n  help: did you mean `action`?",
    );
    refused(
        "[flow]\nname = 'f'\n[plugin.a]",
        "unknown key `plugin` in the file\n  --> flows/flow.toml:3\n  help: did you mean `plugins`?",
    );
    refused(
        &small("builtin = 'b'\nlimits = { memroy = '1MiB' }"),
        "unknown key `memroy` in [plugins.a.limits]\n  --> flows/flow.toml:5\n  help: did you mean `memory`?",
    );
    refused(
        &small("builtin = 'b'\n[plugins.a.grants]\nnetwork = true"),
        "unknown key `network` in [plugins.a.grants]\n  --> flows/flow.toml:6\n  \
         help: known keys here: results, policy, zones, catalog, images, keys, quota, volumes, rpc",
    );
    refused(
        &(small("builtin = 'b'") + "retry = { attempt = 2 }"),
        "unknown key `attempt` in [task.retry]\n  --> flows/flow.toml:7\n  help: did you mean `attempts`?",
    );
    refused(
        &(small("builtin = 'b'") + "\nafter = 'x'"),
        "unknown key `after` in [[task]]\n  --> flows/flow.toml:8\n  help: known keys here: plugin, wait, name, retry, revert, pivot",
    );
}

#[test]
fn a_plugin_has_one_source() {
    refused(
        &small(""),
        "plugin `a` has no component\n  --> flows/flow.toml:3\n  \
         help: add `path = \"a.wasm\"` or `builtin = \"…\"` to [plugins.a]",
    );
    refused(
        &small("path = 'x'\nbuiltin = 'y'"),
        "`plugins.a.builtin` cannot stand beside `plugins.a.path`\n  --> flows/flow.toml:5\n  help: keep one of them",
    );
}

#[test]
fn a_task_names_a_plugin_that_is_there() {
    refused(
        "[flow]\nname = 'f'\n[plugins.naming]\nbuiltin = 'b'\n[[task]]\nplugin = 'namign'",
        "`task.plugin` names `namign`, and there is no such plugin\n  --> flows/flow.toml:6\n  \
         help: did you mean `naming`?",
    );
    refused(
        "[flow]\nname = 'f'\n[[task]]\nname = 'x'",
        "the task names no plugin\n  --> flows/flow.toml:3\n  \
         help: add `plugin = \"…\"`, the key of a [plugins.…] table",
    );
}

#[test]
fn two_tasks_of_one_name_are_refused() {
    refused(
        &(small("builtin = 'b'") + "[[task]]\nplugin = 'a'"),
        "a second task named `a`; the first is on line 5\n  --> flows/flow.toml:7\n  \
         help: give this one a name of its own: `name = \"…\"`",
    );
}

#[test]
fn a_flow_has_a_name_and_a_task() {
    refused(
        "",
        "the manifest has no [flow] table\n  --> flows/flow.toml:1\n  help: add `[flow]` and `name = \"…\"` at its top",
    );
    refused(
        "\n[flow]",
        "the flow has no name\n  --> flows/flow.toml:2\n  help: add `name = \"…\"` to [flow]",
    );
    refused(
        "[flow]\nname = 'f'",
        "the flow has no task\n  --> flows/flow.toml:1\n  help: add a [[task]] table with `plugin = \"…\"`",
    );
    refused(
        "[flow]\nname = 'f'\n[task]\nplugin = 'a'",
        "`task` must be an array, not a table\n  --> flows/flow.toml:3\n  help: write `[[task]]`, with two brackets",
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    let error = parse("[flow]\nname = \n").unwrap_err();
    assert!(error.message.starts_with("this is no TOML: "), "{error}");
    assert_eq!(error.line, Some(2));
    let error = parse("[flow]\nname = 'f'\nname = 'g'").unwrap_err();
    assert_eq!(error.line, Some(3));
}

#[test]
fn limits_and_retries_stay_in_their_ranges() {
    for (key, values) in [
        ("memory", &["'64KiB'", "'4GiB'", "'1.5 MiB'"][..]),
        ("deadline", &["'1ms'", "'1h'", "'2s 500ms'"]),
        ("log_bytes", &["'0'", "'16MiB'"]),
    ] {
        for value in values {
            parse(&small(&format!(
                "builtin = 'b'\nlimits = {{ {key} = {value} }}"
            )))
            .unwrap();
        }
    }
    for (value, message) in [
        (
            "memory = '63KiB'",
            "`plugins.a.limits.memory` must be from 64.0 KiB to 4.0 GiB, not 63KiB",
        ),
        (
            "memory = '99999999999TiB'",
            "`plugins.a.limits.memory` must be from 64.0 KiB to 4.0 GiB, not 99999999999TiB",
        ),
        (
            "memory = '-1MiB'",
            "`plugins.a.limits.memory` is no size: `-1MiB`",
        ),
        (
            "memory = 1",
            "`plugins.a.limits.memory` must be a string, not an integer",
        ),
        (
            "deadline = '0s'",
            "`plugins.a.limits.deadline` must be from 1ms to 1h, not 0s",
        ),
        (
            "deadline = '2h'",
            "`plugins.a.limits.deadline` must be from 1ms to 1h, not 2h",
        ),
        (
            "deadline = 'soon'",
            "`plugins.a.limits.deadline` is no time: `soon`",
        ),
        (
            "result_bytes = '1B'",
            "`plugins.a.limits.result_bytes` must be from 1.0 KiB to 64.0 MiB, not 1B",
        ),
    ] {
        let text = small(&format!("builtin = 'b'\nlimits = {{ {value} }}"));
        let error = parse(&text).expect_err(value);
        assert_eq!((error.message.as_str(), error.line), (message, Some(5)));
    }
    for attempts in ["0", "-1", "101", "9999999999", "1.0", "'2'"] {
        let text = small("builtin = 'b'") + &format!("retry = {{ attempts = {attempts} }}");
        assert_eq!(parse(&text).expect_err(attempts).line, Some(7));
    }
}

#[test]
fn a_grant_is_narrowed_only_by_its_own_key() {
    for (grant, message) in [
        (
            "catalog = { resources = ['x'] }",
            "`plugins.a.grants.catalog` cannot be narrowed",
        ),
        (
            "quota = { topics = ['x'] }",
            "unknown key `topics` in [plugins.a.grants.quota]",
        ),
        ("quota = {}", "`plugins.a.grants.quota` narrows nothing"),
        (
            "quota = { resources = [] }",
            "`plugins.a.grants.quota.resources` is empty, so the grant reaches nothing",
        ),
        (
            "rpc = { topics = ['a*b'] }",
            "`plugins.a.grants.rpc.topics` holds `a*b`, which is no name",
        ),
        (
            "rpc = 'yes'",
            "`plugins.a.grants.rpc` must be true, false, or a table that narrows the grant",
        ),
    ] {
        let error =
            parse(&small(&format!("builtin = 'b'\ngrants = {{ {grant} }}"))).expect_err(grant);
        assert_eq!((error.message.as_str(), error.line), (message, Some(5)));
        assert!(error.help.is_some(), "{error}");
    }
    let text = small("builtin = 'b'\ngrants = { rpc = { topics = ['cinder-volume.*'] } }");
    let manifest = parse(&text).unwrap();
    let rpc = manifest.plugins["a"].grants.get("rpc").unwrap();
    assert!(
        rpc.reaches("topics", "cinder-volume.host1") && !rpc.reaches("topics", "cinder-scheduler")
    );
}

#[test]
fn names_hold_nothing_that_a_terminal_obeys() {
    for text in [
        "[flow]\nname = \"a\\u001bb\"",
        "[flow]\nname = ''",
        "[flow]\nname = 'a b'",
        "[flow]\nname = 'f'\n[plugins.\"a\\nb\"]\nbuiltin = 'x'",
    ] {
        let error = parse(text).expect_err(text);
        assert!(
            error.help.as_deref().unwrap().starts_with("a name has"),
            "{error}"
        );
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let text = small("builtin = 'b'") + "retry = { backoff = '1s' }\n[plugins.b]\nbuiltin = 'b'";
    assert_eq!(
        parse(&text).unwrap().warnings,
        ["`attempts` is 1 on line 7, so nothing is tried again and the keys beside it say nothing",]
    );
}

#[test]
fn only_the_kinds_named_are_tried_again() {
    let retry = Retry {
        attempts: 3,
        on: Some(vec!["Busy".into()]),
        ..Retry::default()
    };
    assert!(retry.again(1, "Busy") && retry.again(2, "Busy"));
    assert!(!retry.again(3, "Busy") && !retry.again(1, "InvalidInput"));
    assert!(!Retry::default().again(1, "Busy"));
}

proptest! {
    #[test]
    fn reading_never_panics(
        at in 0..WHOLE.len(),
        taken in 0..60_usize,
        put in "[\\[\\]{}=\"'.\\-\\n #a-z0-9é\\x00]{0,12}",
    ) {
        // A manifest with some of its text replaced: most keys are intact, so parsing goes far.
        let text: String = WHOLE
            .chars()
            .take(at)
            .chain(put.chars())
            .chain(WHOLE.chars().skip(at + taken))
            .collect();
        if let Err(error) = parse(&text) {
            prop_assert!(error.line.is_none_or(|line| line <= 1 + text.matches('\n').count()));
        }
    }
}
