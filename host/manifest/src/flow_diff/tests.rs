use serde_json::{Map, json};

use super::*;
use crate::testing::kinds;

/// A plan with two tasks, a wait, a policy, a validator and a provider.
fn plan() -> Value {
    let digest = |name: &str| Digest::of(name.as_bytes()).to_string();
    let limits = json!({});
    let retry = json!(crate::manifest::Retry::default());
    let task = |name: &str, plugin: &str, grants: Value| {
        json!({
            "name": name, "plugin": plugin, "display": name, "version": [1, 0], "digest": digest(plugin), "size": 1,
            "builtin": null, "settings": {"size": 1}, "grants": grants, "limits": limits, "retry": retry,
            "revert": retry, "requires": [], "optional": [], "provides": ["x"],
        })
    };
    let admission = |plugin: &str| {
        json!({
            "plugin": plugin, "version": [1, 0], "digest": digest(plugin), "size": 1, "builtin": null, "settings": {},
            "limits": limits,
        })
    };
    let mut own = task("own", "own", json!({}));
    own["builtin"] = json!("greet");
    json!({
        "name": "f", "action": "names:create", "on_lost": "rollback",
        "tasks": [
            task("first", "first", json!({"quota": {"resources": ["volumes"]}})),
            own,
            {"name": "wait", "display": "wait", "wait": {"signal": "approve"}},
        ],
        "externals": {"dns": {
            "version": [1, 0], "digest": digest("dns"), "size": 1, "builtin": null, "settings": {}, "grants": {},
            "limits": limits,
        }},
        "policies": [admission("hours")],
        "validators": [admission("names")],
    })
}

/// Formats a change as `part of old -> new`, with `!` before it if it asks for more.
fn text(change: &FlowChange) -> String {
    let of = change.of.as_deref().unwrap_or("-");
    let asks = if change.asks.is_some() { "!" } else { "" };
    format!(
        "{asks}{} {of} {} -> {}",
        change.part.as_str(),
        change.old,
        change.new
    )
}

/// Returns the changes that `change` causes, with digests cut to four digits.
fn after(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<String> {
    let read = |plan: &Value| serde_json::from_value::<Plan>(plan.clone()).unwrap();
    let mut new = plan();
    change(new.as_object_mut().unwrap());
    let found = changes(&read(&plan()), &read(&new), &kinds());
    found.iter().map(text).collect()
}

fn remove(list: &mut Value, at: usize) -> Value {
    list.as_array_mut().unwrap().remove(at)
}

#[test]
fn the_same_plan_has_no_changes() {
    assert_eq!(after(|_| ()), Vec::<String>::new());
    assert!(after(|plan| plan["name"] = json!("other")).is_empty());
}

#[test]
fn any_other_action_asks_for_more() {
    assert_eq!(
        after(|plan| plan["action"] = json!("names:read")),
        [r#"!action - "names:create" -> "names:read""#]
    );
    assert_eq!(
        after(|plan| plan["action"] = Value::Null),
        [r#"!action - "names:create" -> null"#]
    );
}

#[test]
fn a_new_or_wider_grant_asks_for_more_and_a_narrower_one_does_not() {
    let grants = |grants: Value| after(|plan| plan["tasks"][0]["grants"] = grants);
    let old = r#""{ quota = { resources = [\"volumes\"] } }""#;
    for (new, expected) in [
        (
            json!({"quota": {"resources": ["volumes"]}, "rpc": {}}),
            vec![r#"!grants first null -> "{ rpc = true }""#.to_owned()],
        ),
        (
            json!({"quota": {}}),
            vec![format!(r#"!grants first {old} -> "{{ quota = true }}""#)],
        ),
        (
            json!({"quota": {"resources": ["vol*"]}}),
            vec![format!(
                r#"!grants first {old} -> "{{ quota = {{ resources = [\"vol*\"] }} }}""#
            )],
        ),
        (json!({}), vec![format!("grants first {old} -> null")]),
    ] {
        assert_eq!(grants(new), expected);
    }
    let narrower = after(|plan| {
        let both = json!({"quota": {"resources": ["volumes"]}});
        plan["tasks"][0]["grants"] = both;
    });
    assert!(narrower.is_empty());
}

#[test]
fn a_grant_that_this_host_does_not_know_is_never_narrower() {
    let found = after(|plan| plan["tasks"][0]["grants"] = json!({"unheard-of": {}}));
    assert_eq!(found[1], r#"!grants first null -> "{ unheard-of = true }""#);
}

#[test]
fn a_higher_limit_asks_for_more_and_a_lower_one_does_not() {
    let deadline =
        |time: &str| after(|plan| plan["tasks"][0]["limits"] = json!({"deadline": time}));
    assert_eq!(
        deadline("6s"),
        [r#"!limits first "deadline 5s" -> "deadline 6s""#]
    );
    assert_eq!(
        deadline("4s"),
        [r#"limits first "deadline 5s" -> "deadline 4s""#]
    );
}

#[test]
fn a_new_version_of_a_plugin_is_bound_by_the_old_grants() {
    let found = after(|plan| {
        plan["tasks"][0]["digest"] = json!(Digest::of(b"newer"));
        plan["tasks"][0]["version"] = json!([1, 1]);
    });
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("sha256 first "), "{found:?}");
    assert_eq!(found[1], r#"version first "1.0" -> "1.1""#);
}

#[test]
fn another_plugin_asks_for_more_unless_it_is_known_or_built_in() {
    let added = |digest: &[u8], builtin: Value, grants: Value| {
        let digest = Digest::of(digest);
        let found = after(|plan| {
            let mut task = plan["tasks"][0].clone();
            task["name"] = json!("more");
            task["plugin"] = json!("more");
            task["digest"] = json!(digest);
            task["builtin"] = builtin;
            task["grants"] = grants;
            plan["tasks"].as_array_mut().unwrap().push(task);
        });
        let found = found.iter();
        let found = found.map(|text| text.replace(&digest.to_string(), "DIGEST"));
        found.collect::<Vec<_>>()
    };
    assert_eq!(
        added(b"stranger", Value::Null, json!({})),
        [
            r#"task more null -> "more""#,
            r#"!plugin more null -> "1.0 (DIGEST)""#
        ]
    );
    assert_eq!(
        added(
            b"first",
            Value::Null,
            json!({"quota": {"resources": ["volumes"]}})
        ),
        [
            r#"task more null -> "more""#,
            r#"plugin more null -> "1.0 (DIGEST)""#
        ],
        "the component and its grants are those of `first`"
    );
    assert_eq!(
        added(b"other", json!("other"), json!({"keys": {}})),
        [
            r#"task more null -> "more""#,
            r#"plugin more null -> "1.0 (builtin:other)""#,
            r#"!grants more null -> "{ keys = true }""#
        ]
    );
}

#[test]
fn a_file_in_place_of_a_built_in_plugin_asks_for_more() {
    let found = after(|plan| {
        plan["tasks"][1]["builtin"] = Value::Null;
        plan["tasks"][1]["digest"] = json!(Digest::of(b"stranger"));
    });
    assert_eq!(found[0], r#"!builtin own "greet" -> null"#);
    let newer = after(|plan| plan["tasks"][1]["digest"] = json!(Digest::of(b"newer")));
    assert!(
        newer.len() == 1 && newer[0].starts_with("sha256 own "),
        "{newer:?}"
    );
}

#[test]
fn a_check_that_is_gone_or_only_watches_asks_for_more() {
    let found = after(|plan| plan["policies"][0]["mode"] = json!("monitor"));
    assert_eq!(found, [r#"!policy hours "enforce" -> "monitor""#]);
    for (list, part, plugin) in [
        ("policies", "policy", "hours"),
        ("validators", "validator", "names"),
    ] {
        let found = after(|plan| drop(remove(&mut plan[list], 0)));
        assert_eq!(found[0], format!(r#"!{part} {plugin} "enforce" -> null"#));
        assert!(found[1].starts_with(&format!("plugin {plugin} ")));
    }
}

#[test]
fn a_signal_that_nothing_waits_for_any_more_asks_for_more() {
    let gone = after(|plan| drop(remove(&mut plan["tasks"], 2)));
    assert_eq!(gone, [r#"!task wait {"signal":"approve"} -> null"#]);
    let renamed = after(|plan| plan["tasks"][2]["name"] = json!("approval"));
    assert_eq!(
        renamed,
        [
            r#"task wait {"signal":"approve"} -> null"#,
            r#"task approval null -> {"signal":"approve"}"#
        ]
    );
    let timed = after(|plan| plan["tasks"][2]["wait"] = json!({"until": {"after": "1s"}}));
    assert!(timed[0].starts_with("!task wait "), "{timed:?}");
}

#[test]
fn the_rest_is_reported_only_but_for_a_pivot() {
    let found = after(|plan| {
        plan["on_lost"] = json!("resume");
        plan["externals"]["dns"]["fences"] = json!(true);
        plan["tasks"][0]["requires"] = json!([["size", "own"]]);
        plan["tasks"][0]["optional"] = json!([["zone", ["own"]]]);
        plan["tasks"][0]["provides"] = json!(["x", "y"]);
        plan["tasks"][0]["settings"] = json!({"size": 2, "secret": "s3cret"});
        plan["tasks"][0]["pivot"] = json!(true);
        plan["tasks"].as_array_mut().unwrap().swap(0, 1);
    });
    assert_eq!(
        found,
        [
            r#"on_lost - "rollback" -> "resume""#,
            r#"inputs first {} -> {"size":"own","zone?":["own"]}"#,
            r#"provides first ["x"] -> ["x","y"]"#,
            r#"!pivot first false -> true"#,
            r#"order - "first, own, wait" -> "own, first, wait""#,
            r#"external dns "does not fence" -> "fences""#,
            r#"settings first null -> "secret""#,
            r#"settings first "size" -> "another size""#,
        ]
    );
}
