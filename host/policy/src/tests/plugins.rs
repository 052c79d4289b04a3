//! Rules that ask plugins.

use super::*;

/// Plugins that answer by their names.
struct ByName;

impl Asks for ByName {
    fn ask(&self, plugin: &str, action: &str, target: &Object) -> PluginAnswer {
        assert_eq!((action, &target["size"]), ("act", &json!(1)));
        match plugin {
            "yes" => PluginAnswer::Allows,
            "no" => PluginAnswer::Denies("closed".to_owned()),
            "traps" => PluginAnswer::Fails("Trap: unreachable".to_owned()),
            other => panic!("`{other}` was asked"),
        }
    }
}

#[track_caller]
fn ruled(rule: &str, allowed: bool, refusals: &[(&str, &str)]) {
    let policy = json!({"act": rule, "below": "not wasm:traps", "default": "!"});
    let policy = Policy::parse(&policy.to_string(), None).unwrap();
    let target = json!({"size": 1});
    let target = target.as_object().unwrap();
    let roles = ["member".to_owned()];
    let caller = Credentials {
        roles: &roles,
        ..Credentials::default()
    };
    let ruling = policy.decide("act", &caller, target, &ByName);
    let found: Vec<_> = ruling
        .refusals
        .iter()
        .map(|(plugin, reason)| (plugin.as_str(), reason.as_str()))
        .collect();
    assert_eq!((ruling.allowed, &found[..]), (allowed, refusals), "{rule}");
    let explained = policy.explain("act", &caller, target, &ByName);
    assert_eq!(explained.allowed, allowed, "{explained}");
}

#[test]
fn a_rule_asks_plugins() {
    ruled("wasm:yes", true, &[]);
    ruled("wasm:no", false, &[("no", "closed")]);
    ruled("not wasm:no", true, &[("no", "closed")]);
    ruled("wasm:no or role:member", true, &[("no", "closed")]);
    ruled("wasm:yes and role:other", false, &[]);
}

#[test]
fn a_plugin_that_fails_denies_the_whole_also_under_not() {
    let refusals = [("traps", "Trap: unreachable")];
    for rule in [
        "wasm:traps",
        "not wasm:traps",
        "not (not wasm:traps)",
        "wasm:traps or role:member",
        "not (role:member and wasm:traps)",
        "not (wasm:traps or role:other) or @",
        "rule:below or @",
        "not rule:below",
    ] {
        ruled(rule, false, &refusals);
    }
}

#[test]
fn what_stands_before_a_plugin_and_decides_keeps_it_from_being_asked() {
    ruled("role:member or wasm:unasked", true, &[]);
    ruled("role:other and wasm:unasked", false, &[]);
}

#[test]
fn a_plugin_is_asked_once_a_question() {
    struct Once(std::cell::Cell<u32>);
    impl Asks for Once {
        fn ask(&self, _: &str, _: &str, _: &Object) -> PluginAnswer {
            self.0.set(self.0.get() + 1);
            PluginAnswer::Allows
        }
    }
    let policy = Policy::parse(
        r#"{"act": "wasm:a and (wasm:a or !) and not (not wasm:a)"}"#,
        None,
    );
    let once = Once(std::cell::Cell::new(0));
    let ruling = policy
        .unwrap()
        .decide("act", &Credentials::default(), &Object::new(), &once);
    assert!(ruling.allowed);
    assert_eq!(once.0.get(), 1);
}

#[test]
fn the_plugins_of_an_action_are_those_of_all_rules_that_decide_it() {
    let rules = json!({
        "act": "rule:a or role:x", "a": "not wasm:one and rule:gone", "default": "wasm:two",
        "other": "wasm:three",
    });
    let policy = Policy::parse(&rules.to_string(), None).unwrap();
    assert_eq!(Vec::from_iter(policy.plugins_of("act")), ["one", "two"]);
    assert_eq!(Vec::from_iter(policy.plugins()), ["one", "three", "two"]);
}

#[test]
fn who_is_an_admin_is_not_asked_of_a_plugin() {
    let own = Policy::parse(r#"{"context_is_admin": "rule:a", "a": "wasm:x"}"#, None).unwrap();
    assert!(!own.is_admin(&["admin".to_owned()]));
    let error = Policy::default().with(own).unwrap_err();
    assert!(error.message.contains("asks the plugin `x`"), "{error}");
}
