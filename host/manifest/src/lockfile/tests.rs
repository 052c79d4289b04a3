use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::Grant;
use crate::plan::Descriptor;
use crate::testing::kinds;

const FLOW: &str = r#"[flow]
name = "f"

[plugins.inject]
builtin = "inject"

[plugins.naming]
path = "naming.wasm"
grants = { keys = true, quota = { resources = ["volumes"] } }

[[task]]
plugin = "inject"

[[task]]
plugin = "naming"
"#;

fn manifest() -> Manifest {
    Manifest::parse(FLOW, Path::new("flows/flow.toml"), &kinds()).unwrap()
}

fn found(name: &str, imports: &[&str]) -> Inspected {
    Inspected {
        digest: Digest::of(name.as_bytes()),
        size: 1,
        imports: imports
            .iter()
            .map(|import| format!("cairn:plugin/{import}@0.1.0"))
            .collect(),
        settings_schema: json!({}),
        descriptor: Descriptor {
            name: name.to_owned(),
            version: (1, 0),
            requires: vec!["size".to_owned(), "name".to_owned()],
            optional: vec![],
            provides: vec!["name".to_owned()],
        },
        builtin: None,
        roles: [crate::plan::Role::Task].into(),
    }
}

fn plugins() -> BTreeMap<String, Inspected> {
    let builtin = Inspected {
        builtin: Some("inject".to_owned()),
        ..found("inject", &["context", "types"])
    };
    BTreeMap::from([
        ("inject".to_owned(), builtin),
        (
            "naming".to_owned(),
            found("naming-rule", &["types", "context", "quota"]),
        ),
    ])
}

fn lock() -> LockFile {
    LockFile::of(&manifest(), &plugins(), &kinds())
}

fn parse(text: &str) -> Result<LockFile, String> {
    LockFile::parse(text, Path::new("flow.lock"), &kinds()).map_err(|error| error.to_string())
}

/// Returns the differences after `change` was made to the second plugin.
fn after(change: impl FnOnce(&mut Inspected)) -> Vec<String> {
    let mut plugins = plugins();
    change(plugins.get_mut("naming").unwrap());
    let now = LockFile::of(&manifest(), &plugins, &kinds());
    texts(&lock().differences(&now, &kinds()))
}

fn texts(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn a_lock_file_says_what_each_plugin_is() {
    let digest = Digest::of(b"naming-rule");
    let expected = format!(
        r#"# The plugins of flow.toml, written by `cairn plan --lock`. `cairn run --locked` refuses others.
lock = 1

[plugins.inject]
builtin = "inject"
contract = "cairn:plugin@0.1.0"
name = "inject"
version = "1.0"
imports = ["context"]
requires = ["name", "size"]
optional = []
provides = ["name"]
grants = {{}}

[plugins.naming]
sha256 = "{digest}"
name = "naming-rule"
version = "1.0"
imports = ["context", "quota"]
requires = ["name", "size"]
optional = []
provides = ["name"]
grants = {{ quota = {{ resources = ["volumes"] }} }}
"#
    );
    let text = lock().to_text(Path::new("flows/flow.toml"));
    assert_eq!(text, expected);
    assert_eq!(parse(&text), Ok(lock()));
    assert_eq!(
        LockFile::path(Path::new("flows/flow.toml")),
        Path::new("flows/flow.lock")
    );
}

#[test]
fn the_order_of_names_does_not_count() {
    assert_eq!(
        after(|found| found.descriptor.requires.reverse()),
        Vec::<String>::new()
    );
}

#[test]
fn a_built_in_plugin_may_be_rebuilt() {
    let mut plugins = plugins();
    plugins.get_mut("inject").unwrap().digest = Digest::of(b"a newer build");
    assert_eq!(
        lock().differences(&LockFile::of(&manifest(), &plugins, &kinds()), &kinds()),
        []
    );
}

#[test]
fn each_thing_that_differs_is_a_line_from_old_to_new() {
    let (old, new) = (Digest::of(b"naming-rule"), Digest::of(b"other"));
    assert_eq!(
        after(|found| {
            found.digest = new;
            found.descriptor.version = (1, 2);
            found.descriptor.name = "rule".to_owned();
            found.descriptor.requires = vec!["size".to_owned(), "zone".to_owned()];
            found.descriptor.optional = vec!["name".to_owned()];
            found.descriptor.provides = vec![];
            found.imports.insert("cairn:plugin/keys@0.1.0".to_owned());
            found.imports.remove("cairn:plugin/quota@0.1.0");
        }),
        [
            format!("naming: sha256 {old} -> {new}"),
            "naming: name naming-rule -> rule".to_owned(),
            "naming: version 1.0 -> 1.2".to_owned(),
            "naming: imports - quota".to_owned(),
            "naming: imports + keys".to_owned(),
            "naming: requires - name".to_owned(),
            "naming: requires + zone".to_owned(),
            "naming: optional + name".to_owned(),
            "naming: provides - name".to_owned(),
            "naming: grants + { keys = true }".to_owned(),
            "naming: grants - { quota = { resources = [\"volumes\"] } }".to_owned(),
        ]
    );
    assert_eq!(
        after(|found| found.builtin = Some("naming".to_owned())),
        [
            "naming: builtin + naming".to_owned(),
            "naming: contract + cairn:plugin@0.1.0".to_owned(),
            format!("naming: sha256 - {old}"),
        ]
    );
}

#[test]
fn a_grant_that_the_manifest_widens_differs() {
    let wide = FLOW.replace("{ resources = [\"volumes\"] }", "true");
    let manifest = Manifest::parse(&wide, Path::new("flow.toml"), &kinds()).unwrap();
    assert_eq!(
        texts(&lock().differences(&LockFile::of(&manifest, &plugins(), &kinds()), &kinds())),
        ["naming: grants { quota = { resources = [\"volumes\"] } } -> { quota = true }"]
    );
}

#[test]
fn plugins_that_come_and_go_differ() {
    let mut more = plugins();
    more.insert("spare".to_owned(), found("spare", &[]));
    let text = format!("{FLOW}[plugins.spare]\npath = 's'\n");
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &kinds()).unwrap();
    let more = LockFile::of(&manifest, &more, &kinds());
    let digest = Digest::of(b"spare");
    assert_eq!(
        texts(&lock().differences(&more, &kinds())),
        [format!("spare: plugin + spare==1.0 ({digest})")]
    );
    let gone = more
        .check(&lock(), Path::new("flow.lock"), &kinds())
        .unwrap_err();
    assert_eq!(
        gone.to_string(),
        format!(
            "the plugins are not those of the lock file\n    spare: plugin - spare==1.0 ({digest})\n  --> flow.lock\n  \
             help: restore the plugins that it names, or accept the change and write the lock file again with `cairn plan FLOW --lock`"
        )
    );
}

#[test]
fn what_is_no_lock_file_is_refused_with_its_line() {
    let whole = lock().to_text(Path::new("flow.toml"));
    for (text, expected) in [
        (
            whole.replace("lock = 1", "lock = 2"),
            "`lock` must be 1, which is what this program reads\n  --> flow.lock:2",
        ),
        (
            whole.replace("lock = 1", ""),
            "`lock` is missing: this is no lock file",
        ),
        (
            whole.replace("sha256 = ", "sha265 = "),
            "unknown key `sha265` in [plugins.naming]\n  --> flow.lock:16",
        ),
        (
            whole.replace("sha256 = \"", "sha256 = \"x"),
            "`plugins.naming.sha256` is no SHA-256 digest",
        ),
        (
            whole.replace("version = \"1.0\"\n", ""),
            "`version` is missing",
        ),
        (
            whole.replace("optional = []", "optional = [1]"),
            "`plugins.inject.optional` must be a string",
        ),
        (
            whole.replace("{ quota", "{ quotas"),
            "unknown key `quotas` in [plugins.naming.grants]",
        ),
        ("lock = ".to_owned(), "this is no TOML"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn whatever_was_written_is_read_back(
        key in "[a-z.:-]{1,8}",
        names in prop::collection::vec("\\PC{1,6}", 0..4),
        topics in prop::collection::btree_set("[a-z\"\\\\\u{e9}]{1,6}\\*?", 1..3),
    ) {
        let mut plugin = Locked::of(&found("x", &["rpc"]), &Grants::default(), &kinds());
        plugin.requires = names.iter().cloned().collect();
        plugin.name = names.concat();
        plugin.grants.insert("rpc", Grant::only("topics", topics), &kinds());
        let lock = LockFile(BTreeMap::from([(key, plugin)]));
        let text = lock.to_text(Path::new("a\nb.toml"));
        prop_assert_eq!(parse(&text), Ok(lock), "{}", text);
    }
}
