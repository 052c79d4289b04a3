//! Whatever input the host receives, it reports errors and keeps working. `tests/fuzz/` searches further for
//! violations.

use std::path::Path;
use std::sync::Arc;

use acceptance::corpus::FILES;
use acceptance::program::repository;
use acceptance::untrusted;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use proptest::prelude::*;
use proptest::sample::Index;

/// Returns this number of cases, unless `PROPTEST_CASES` overrides it.
fn cases(cases: u32) -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: set.and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A change to valid bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Double(Index, Index),
    Drop(Index, Index),
    Put(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 1..=255_u8).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), at()).prop_map(|(from, to)| Damage::Double(from, to)),
        2 => (at(), at()).prop_map(|(from, to)| Damage::Drop(from, to)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::Put(at, bytes)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            // A short piece, not half of everything.
            let (from, to) = (from.min(to), from.max(to));
            from..to.min(from + 64)
        };
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Double(from, to) => {
                let range = range(from, to);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, piece);
            }
            Self::Drop(from, to) => drop(bytes.drain(range(from, to))),
            Self::Put(at, new) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
}

/// Generates damaged versions of these files of the repository.
fn damaged(files: &'static [&'static str]) -> impl Strategy<Value = String> {
    let damages = prop::collection::vec(damage(), 1..6);
    (prop::sample::select(files), damages).prop_map(|(file, damages)| {
        let file = repository(file);
        let mut bytes = std::fs::read(Path::new(&file)).expect("a file of the repository");
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Generates lines of manifests and settings in any order, with occasional arbitrary text.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        9 => prop::sample::select(vec![
            "[flow]",
            "name = \"f\"",
            "action = \"volume:create\"",
            "[plugins.a]",
            "[plugins.\"a b\"]",
            "builtin = \"inject\"",
            "path = \"a.wasm\"",
            "settings = { provides = [\"size\"] }",
            "grants = { quota = true, rpc = { topics = [\"t\"] } }",
            "limits = { deadline = \"1s\", memory = \"8MiB\" }",
            "limits = { deadline = -1 }",
            "[[task]]",
            "[[policy]]",
            "plugin = \"a\"",
            "retry = { attempts = 3 }",
            "db = 'a.db'",
            "[limits]",
            "memory = \"8MiB\"",
            "[allow]",
            "",
            "# words",
            "\"\"\"",
            "=",
        ])
        .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(line, 0..16).prop_map(|lines| lines.join("\n"))
}

/// Generates JSON of any shape, with the column names of volumes.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "size",
            "status",
            "metadata",
            "snapshot_id",
            "source_volid",
            "encryption_key_id",
            "display_name",
            "host",
            "scheduled_at",
            "id",
            "type",
            "properties",
            "pattern",
            "$ref",
            "required",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        prop::sample::select(vec!["now", "#", "object", "string", "(a+)+$"]).prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn any_text_is_a_manifest_or_it_is_said_why_not(text in lines()) {
        untrusted::manifest(&text);
    }

    #[test]
    fn a_damaged_manifest_is_read_or_it_is_said_where_it_is_wrong(
        text in damaged(&["examples/volume-create/flow.toml", "examples/hello-task/flow.toml"]),
    ) {
        untrusted::manifest(&text);
    }

    #[test]
    fn any_text_is_a_policy_or_it_is_said_why_not(text in any::<String>()) {
        untrusted::policy(&text);
    }

    #[test]
    fn a_damaged_policy_is_read_or_it_is_said_where_it_is_wrong(
        text in damaged(&["examples/policy/policy.yaml", "host/policy/src/default.json"]),
    ) {
        untrusted::policy(&text);
    }

    #[test]
    fn any_rule_is_read_or_refused_and_its_verdict_is_explained(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "and", "or", "not", "@", "!", "role:member", "rule:act", "rule:other", "user_id:%(user_id)s",
                "is_admin:True", "'a':%(b)s", "%", "None:%(x.y)s",
            ]),
            0..24,
        ),
    ) {
        let rule = words.join(" ");
        untrusted::policy(&serde_json::json!({"act": rule, "other": "role:ops"}).to_string());
    }

    #[test]
    fn any_text_of_a_guest_is_taken_or_refused(
        (value, damages) in (json(), prop::collection::vec(damage(), 0..3)),
    ) {
        let mut bytes = value.to_string().into_bytes();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        untrusted::guest_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_json_of_a_guest_is_taken_or_refused(value in json()) {
        untrusted::guest_text(&value.to_string());
    }
}

proptest! {
    // Those that are still components are compiled.
    #![proptest_config(cases(300))]

    #[test]
    fn a_damaged_component_is_loaded_or_refused(
        (file, damages) in (any::<Index>(), prop::collection::vec(damage(), 1..4)),
    ) {
        let (_, bytes) = file.get(FILES);
        let mut bytes = bytes.to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        untrusted::component(&bytes);
    }
}

#[test]
fn a_built_in_component_that_ends_early_is_refused() {
    for (name, bytes) in cairn_bundle::PLUGINS {
        for eighths in 0..8 {
            let early = &bytes[..bytes.len() * eighths / 8];
            let config = PluginConfig {
                compiler: Some(Arc::new(InProcess)),
                ..cairn::plugin_config()
            };
            let plugins = Plugins::new(&config).expect("a sandbox");
            assert!(plugins.load(early).is_err(), "{name}");
        }
    }
}
