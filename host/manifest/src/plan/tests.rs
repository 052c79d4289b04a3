use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use cairn_model::error::Diagnostic;

use super::*;
use crate::allow::Allow;
use crate::manifest::Manifest;
use crate::testing::kinds;

const TEXT: &str = r#"[flow]
name = "f"
action = "volume:create"

[plugins.first]
path = "first.wasm"

[plugins.second]
builtin = "second"
settings = { size = 1 }
[plugins.second.grants]
quota = { resources = ["volumes"] }
rpc = true

[[task]]
plugin = "first"

[[task]]
plugin = "second"
retry = { attempts = 2 }

[[task]]
plugin = "second"
name = "third"
"#;

fn manifest() -> Manifest {
    Manifest::parse(TEXT, Path::new("flows/flow.toml"), &kinds()).unwrap()
}

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn plugin(name: &str, imports: &str, requires: &str, optional: &str, provides: &str) -> Inspected {
    Inspected {
        digest: Digest::of(name.as_bytes()),
        size: 10,
        imports: names(imports).into_iter().collect(),
        settings_schema: json!({}),
        descriptor: Descriptor {
            name: name.to_owned(),
            version: (1, 2),
            requires: names(requires),
            optional: names(optional),
            provides: names(provides),
        },
        builtin: None,
        roles: BTreeSet::from([Role::Task]),
    }
}

fn plugins() -> BTreeMap<String, Inspected> {
    BTreeMap::from([
        (
            "first".to_owned(),
            plugin("one", "context log", "", "", "a b"),
        ),
        (
            "second".to_owned(),
            plugin(
                "two",
                "log cairn:plugin/quota@0.1.0 rpc types",
                "a",
                "b c",
                "c",
            ),
        ),
    ])
}

/// Plans after `change` was made to the plugins.
fn plan(change: impl FnOnce(&mut BTreeMap<String, Inspected>)) -> Result<Plan, Diagnostic> {
    let mut plugins = plugins();
    change(&mut plugins);
    manifest().plan(&plugins, &Allow::default(), &kinds())
}

#[track_caller]
fn refused(change: impl FnOnce(&mut BTreeMap<String, Inspected>), expected: &str) {
    assert_eq!(plan(change).unwrap_err().to_string(), expected);
}

fn second(plugins: &mut BTreeMap<String, Inspected>) -> &mut Inspected {
    plugins.get_mut("second").unwrap()
}

#[test]
fn a_plan_says_who_provides_each_input() {
    let plan = plan(|_| ()).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    let tasks: Vec<_> = plan.plugin_tasks().collect();
    let [first, second, third] = tasks[..] else {
        panic!("three tasks")
    };
    assert_eq!(first.requires, []);
    assert_eq!(second.requires, [("a".into(), "first".into())]);
    assert_eq!(
        second.optional,
        [("b".into(), vec!["first".into()]), ("c".into(), vec![])]
    );
    assert_eq!(third.optional[1], ("c".into(), vec!["second".into()]));
    assert_eq!(third.name, "third");
    assert_eq!(third.plugin, "second");
    assert_eq!(third.versioned(), "third;volume:create==1.2");
    assert_eq!((second.retry.attempts, third.retry.attempts), (2, 1));
    assert!(second.grants.has("rpc"));
    assert_eq!(second.settings["size"], 1);
    assert_eq!(plan.task("third"), Some(third));
}

#[test]
fn without_an_action_a_task_is_called_as_its_plugin() {
    let mut manifest = manifest();
    manifest.action = None;
    assert_eq!(
        manifest
            .plan(&plugins(), &Allow::default(), &kinds())
            .unwrap()
            .tasks[1]
            .as_task()
            .unwrap()
            .versioned(),
        "second==1.2"
    );
}

#[test]
fn a_plan_survives_json_with_its_digest() {
    let plan = plan(|_| ()).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan);
    assert_eq!(read.digest(), plan.digest());
}

#[test]
fn the_digest_is_of_what_runs() {
    let original = plan(|_| ()).unwrap();
    let moved = Manifest::parse(TEXT, Path::new("elsewhere/other.toml"), &kinds()).unwrap();
    let moved = moved.plan(&plugins(), &Allow::default(), &kinds()).unwrap();
    assert_eq!(moved.digest(), original.digest());

    let warned = Plan {
        warnings: vec!["w".into()],
        ..original.clone()
    };
    assert_eq!(warned.digest(), original.digest());

    let other = plan(|plugins| second(plugins).digest = Digest::of(b"other")).unwrap();
    assert_ne!(other.digest(), original.digest());
}

#[test]
fn an_import_that_is_not_granted_is_refused_with_the_line_to_add() {
    refused(
        |plugins| {
            second(plugins).imports.insert("keys".into());
        },
        "plugin `second` imports `cairn:plugin/keys`, which flow.toml does not grant it\n  \
         --> flows/flow.toml:8\n  help: add this line below line 11, [plugins.second.grants]:\n    keys = true",
    );
    refused(
        |plugins| {
            let first = plugins.get_mut("first").unwrap();
            first.imports.extend(names("quota cairn:plugin/results"));
        },
        "plugin `first` imports `cairn:plugin/results` and `cairn:plugin/quota`, which flow.toml does not grant it\n  \
         --> flows/flow.toml:5\n  help: add this line below line 5, [plugins.first]:\n    grants = { results = true, quota = true }",
    );
}

/// Plans a flow of one plugin that imports quota and keys, with this table of the plugin.
fn plan_one(plugin_table: &str, allow: &str) -> Result<Plan, Diagnostic> {
    let text = format!(
        "[flow]\nname = \"f\"\n{plugin_table}\n[plugins.b]\npath = \"b\"\n[[task]]\nplugin = \"a.1\"\n"
    );
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds())?;
    let allow = crate::config::Config::parse(allow, Path::new("cairn.toml"), &kinds(), &[])?.allow;
    let found = plugin("one", "context quota keys", "", "", "");
    manifest.plan(
        &BTreeMap::from([("a.1".to_owned(), found)]),
        &allow,
        &kinds(),
    )
}

/// Applies the help of a diagnostic to a text: adds lines below a line, or replaces the line.
fn do_as_told(text: &str, help: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut at = 0;
    let mut in_place = false;
    for step in help.lines() {
        if let Some(line) = step.strip_prefix("    ") {
            if std::mem::take(&mut in_place) {
                lines[at - 1] = line.to_owned();
            } else {
                lines.insert(at, line.to_owned());
                at += 1;
            }
            continue;
        }
        let number = step.rsplit_once("line ").expect("a step names its line").1;
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        at = number.parse().expect("a number");
        in_place = !step.contains("below");
    }
    lines.join("\n")
}

#[test]
fn what_is_to_be_added_makes_the_plan_pass_however_grants_are_written() {
    for table in [
        "[plugins.'a.1']\npath = 'a'",
        "[plugins.'a.1']\npath = 'a'\n[plugins.'a.1'.grants]\n# none",
        "[plugins.'a.1']\npath = 'a'\n[plugins.'a.1'.grants]\nquota = { resources = ['volumes'] }",
        "[plugins.'a.1'.grants]\nquota = true\n[plugins.'a.1']\npath = 'a'",
        "[plugins.'a.1']\npath = 'a'\n[plugins.'a.1'.grants]\nquota = false",
        "[plugins.'a.1']\npath = 'a'\n[plugins.'a.1'.grants]\nkeys = false\nquota = false",
        "[plugins.'a.1']\ngrants = {}\npath = 'a'",
        "[plugins.'a.1']\ngrants = { quota = { resources = ['volumes', 'giga*'] } }\npath = 'a'",
        "[plugins.'a.1']\ngrants.keys = true\npath = 'a'",
    ] {
        let error = plan_one(table, "").expect_err(table);
        assert!(error.message.contains("does not grant it"), "{error}");
        // The table begins on the third line of the manifest.
        let mended = do_as_told(&format!("\n\n{table}"), &error.help.unwrap());
        let plan = plan_one(&mended[2..], "");
        let plan = plan.unwrap_or_else(|error| panic!("{mended}\n{error}"));
        let grants = &plan.tasks[0].as_task().unwrap().grants;
        assert!(grants.has("keys") && grants.has("quota"));
        let narrowed = grants.get("quota").unwrap().is_narrowed("resources");
        assert_eq!(
            narrowed,
            table.contains("volumes"),
            "a grant stays as narrow"
        );
    }
}

#[test]
fn a_grant_that_the_operator_does_not_allow_is_refused_with_the_key() {
    let table = "[plugins.'a.1']\npath = 'a'\ngrants = { keys = true, quota = { resources = ['volumes'] } }";
    let refused = |allow: &str| plan_one(table, allow).unwrap_err().to_string();
    assert_eq!(
        refused("[allow]\n'*' = { quota = true }"),
        "plugin `a.1` is granted `keys`, which the operator does not allow it\n  --> flow.toml:3\n  \
         help: set `allow.\"*\".keys` in cairn.toml, or take the grant of `keys` away here"
    );
    assert_eq!(
        refused("[allow]\n'*' = { keys = true, quota = { resources = ['snapshots'] } }"),
        "plugin `a.1` is granted `quota`, but for nothing that the operator allows it\n  --> flow.toml:3\n  \
         help: set `allow.\"*\".quota` in cairn.toml, or take the grant of `quota` away here"
    );
    assert!(plan_one(table, "[allow]\n'*' = true").is_ok());
}

#[test]
fn a_grant_of_what_is_not_registered_is_refused_by_its_name() {
    let mut manifest = manifest();
    let entry = manifest.plugins.get_mut("second").unwrap();
    entry.grants = serde_json::from_str(r#"{"records": {}}"#).unwrap();
    let refused = manifest.plan(&plugins(), &Allow::default(), &kinds());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "plugin `second` is granted `records`, a capability that this host does not have\n  --> flows/flow.toml:8\n  \
         help: the capabilities are results, policy, zones, catalog, images, keys, quota, volumes, rpc"
    );
}

#[test]
fn a_plan_grants_what_manifest_and_operator_grant_and_the_plugin_imports() {
    let table = "[plugins.'a.1']\npath = 'a'\ngrants = { keys = true, quota = true, rpc = true }";
    let allow = "[allow]\n'*' = { keys = true, rpc = true, quota = { resources = ['volumes'] } }";
    let plan = plan_one(table, allow).unwrap();
    let granted: Vec<_> = plan.tasks[0]
        .as_task()
        .unwrap()
        .grants
        .iter()
        .map(|(one, _)| one)
        .collect();
    assert_eq!(granted, ["keys", "quota"]);
    let quota = plan.tasks[0]
        .as_task()
        .unwrap()
        .grants
        .get("quota")
        .unwrap();
    assert!(quota.reaches("resources", "volumes") && !quota.reaches("resources", "gigabytes"));
    assert!(
        plan.warnings
            .iter()
            .any(|warning| warning.contains("granted `rpc` and does not import it")),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn an_import_that_the_host_lacks_is_refused() {
    refused(
        |plugins| {
            second(plugins)
                .imports
                .insert("cairn:plugin/teleport".into());
        },
        "plugin `second` imports `cairn:plugin/teleport`, which this host does not offer\n  --> flows/flow.toml:8\n  \
         help: build the plugin for `cairn:plugin@0.1.0`, or use a newer cairn",
    );
}

#[test]
fn a_grant_without_an_import_is_a_warning() {
    let plan = plan(|plugins| {
        second(plugins).imports.remove("rpc");
    });
    assert_eq!(
        plan.unwrap().warnings,
        ["plugin `second` is granted `rpc` and does not import it (line 8)"]
    );
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused() {
    let mut manifest = manifest();
    let entry = manifest.plugins.get_mut("first").unwrap();
    entry.sha256 = Some(Digest::of(b"one"));
    manifest
        .plan(&plugins(), &Allow::default(), &kinds())
        .unwrap();

    let entry = manifest.plugins.get_mut("first").unwrap();
    entry.sha256 = Some(Digest::of(b"another"));
    let error = manifest
        .plan(&plugins(), &Allow::default(), &kinds())
        .unwrap_err();
    let found = Digest::of(b"one").to_string();
    assert!(
        error
            .message
            .starts_with("plugin `first` is not the component that is pinned")
    );
    assert!(error.help.unwrap().contains(&found));
    assert_eq!(error.line, Some(5));
}

#[test]
fn settings_that_do_not_fit_are_refused_with_the_path_and_the_line() {
    refused(
        |plugins| {
            second(plugins).settings_schema = json!({"properties": {"size": {"type": "string"}}})
        },
        "settings of plugin `second`: `/size`: 1 is not of type \"string\"\n  --> flows/flow.toml:10\n  \
         help: in the settings of [plugins.second], change `/size`",
    );
    let error = manifest()
        .check_settings("first", &json!({"required": ["x"]}))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "settings of plugin `first`: \"x\" is a required property\n  --> flows/flow.toml:5\n  \
         help: in the settings of [plugins.first], add `x`",
    );
    let error = manifest()
        .check_settings("first", &json!({"$ref": "#"}))
        .unwrap_err();
    assert_eq!(
        error.message,
        "the settings schema of plugin `first` cannot be used: it refers to itself"
    );
    assert!(manifest().check_settings("nobody", &json!({})).is_err());
}

#[test]
fn a_descriptor_that_makes_no_sense_is_refused() {
    refused(
        |plugins| second(plugins).descriptor.optional.push("a".into()),
        "plugin `second` describes itself wrongly: `a` is both required and optional\n  --> flows/flow.toml:8\n  \
         help: this is a defect of the plugin; tell its author, or use another version",
    );
}

#[test]
fn every_missing_input_is_named_with_what_to_do() {
    refused(
        |plugins| {
            let first = plugins.get_mut("first").unwrap();
            first.descriptor.requires = names("quux c");
        },
        "MissingDependencies: task `first` requires `c` and `quux`, which no earlier task provides\n  \
         --> flows/flow.toml:15\n  \
         help: `c`: move task `second`, which provides it, before this one; \
         `quux`: add a task before this one that provides it, such as `inject`",
    );
    let mistyped = plan(|plugins| {
        plugins.get_mut("first").unwrap().descriptor.provides = names("availability_zone");
        second(plugins).descriptor.requires = names("availabilty_zone");
    });
    let help = mistyped.unwrap_err().help.unwrap();
    assert_eq!(
        help,
        "`availabilty_zone`: an earlier task provides `availability_zone`, perhaps that is meant"
    );
}

#[test]
fn a_plugin_that_a_task_uses_must_have_been_loaded() {
    refused(
        |plugins| {
            plugins.remove("second");
        },
        "plugin `second` was not loaded\n  --> flows/flow.toml:18",
    );
}

#[test]
fn a_plugin_that_no_task_uses_need_not_be_loaded() {
    let text = format!("{TEXT}\n[plugins.spare]\npath = 'spare.wasm'");
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds()).unwrap();
    let plan = manifest
        .plan(&plugins(), &Allow::default(), &kinds())
        .unwrap();
    assert_eq!(plan.warnings, ["no task uses [plugins.spare] (line 26)"]);
}

#[test]
fn a_diagram_shows_tasks_and_data() {
    let plan = plan(|_| ()).unwrap();
    assert_eq!(
        plan.to_mermaid(),
        r#"flowchart TD
    t1["first"]
    t2["second"]
    t3["third"]
    t1 -->|"a"| t2
    t1 -.->|"b"| t2
    t1 -->|"a"| t3
    t1 -.->|"b"| t3
    t2 -.->|"c"| t3
"#
    );
}

#[test]
fn a_wait_is_wired_and_survives_json() {
    let waits = r#"
[[task]]
wait = { signal = "approved", timeout = "7d", provides = ["c"] }

[[task]]
name = "night"
wait = { until = "c" }
"#;
    let text = format!("{TEXT}{waits}[[task]]\nplugin = \"second\"\nname = \"last\"\n");
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds()).unwrap();
    let plan = manifest
        .plan(&plugins(), &Allow::default(), &kinds())
        .unwrap();
    let [_, _, _, approved, night, last] = &plan.tasks[..] else {
        panic!("six tasks")
    };
    assert_eq!(approved.name(), "approved");
    assert_eq!(night.requires(), [("c".to_owned(), "approved".to_owned())]);
    let providers = vec!["approved".to_owned(), "third".into(), "second".into()];
    assert_eq!(last.optional()[1], ("c".to_owned(), providers));
    assert_eq!(plan.components().count(), 4, "a wait has no component");

    let text = serde_json::to_string(&plan).unwrap();
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!((read.digest(), &read), (plan.digest(), &plan));
    assert!(plan.to_mermaid().contains("t4([\"approved\"])"));

    // What it waits for is provided by nobody.
    let text = format!("{TEXT}[[task]]\nwait = {{ until = \"when\" }}\n");
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds()).unwrap();
    let error = manifest.plan(&plugins(), &Allow::default(), &kinds());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`wait` requires `when`"), "{error}");
}

#[test]
fn a_flow_has_one_pivot_and_no_wait_behind_it_that_can_fail() {
    let check = |pivots: &str, behind: &str| {
        let text = TEXT.replace("name = \"third\"\n", pivots);
        let text = format!("{text}{behind}");
        let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds())?;
        manifest.plan(&plugins(), &Allow::default(), &kinds())
    };
    let third = "name = \"third\"\npivot = true\n";
    let plan = check(
        third,
        "[[task]]\nwait = { until = \"1h\", signal = \"s\" }\n",
    )
    .unwrap();
    let pivots = plan.plugin_tasks().map(|task| task.pivot);
    assert_eq!(pivots.collect::<Vec<_>>(), [false, false, true]);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);

    for (behind, says) in [
        (
            "[[task]]\nplugin = \"second\"\nname = \"fourth\"\npivot = true\n",
            "a second pivot, `fourth`; the first is `third`",
        ),
        (
            "[[task]]\nwait = { signal = \"s\", timeout = \"1h\" }\n",
            "the wait `s` has `timeout`, and is behind the pivot `third`",
        ),
        (
            "[[task]]\nwait = { until = \"c\" }\n",
            "has `until`, and is behind the pivot",
        ),
    ] {
        let error = check(third, behind).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        // Without a pivot before it, it is no problem.
        check(
            "name = \"third\"\n",
            &behind.replace("until = \"c\"", "until = \"1h\""),
        )
        .unwrap();
    }
}

#[test]
fn a_name_cannot_break_out_of_a_diagram() {
    let evil = "x\"]; click t1 \"javascript:alert(1)";
    let plan = plan(|plugins| {
        plugins.get_mut("first").unwrap().descriptor.provides = vec![evil.into(), "a".into()];
        second(plugins).descriptor.requires = vec![evil.into()];
    });
    let text = plan.unwrap().to_mermaid();
    assert!(text.contains("x#34;#93;#59;#32;click#32;t1"), "{text}");
}

#[test]
fn a_policy_or_validator_that_imports_a_capability_is_refused() {
    for (role, table) in [(Role::Policy, "policy"), (Role::Validator, "validator")] {
        let text =
            format!("{TEXT}\n[plugins.asked]\npath = 'asked.wasm'\n[[{table}]]\nplugin = 'asked'");
        let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds()).unwrap();
        let mut plugins = plugins();
        let mut asked = plugin("asked", "context log types", "", "", "");
        asked.roles = BTreeSet::from([role]);
        plugins.insert("asked".to_owned(), asked.clone());
        manifest
            .plan(&plugins, &Allow::default(), &kinds())
            .unwrap();
        asked
            .imports
            .insert("cairn:plugin/catalog@0.1.0".to_owned());
        plugins.insert("asked".to_owned(), asked);
        let error = manifest
            .plan(&plugins, &Allow::default(), &kinds())
            .unwrap_err();
        let expected = format!("is used as a {table} and imports `cairn:plugin/catalog`");
        assert!(error.message.contains(&expected), "{error}");
    }
}
