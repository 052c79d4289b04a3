//! Checks the handling of untrusted text and bytes of any kind. Both the property tests and the fuzz targets call these functions.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::any::{self, Effect};
use cairn::clock::SystemClock;
use cairn::config::Config;
use cairn::effect::Caller;
use cairn::manifest::Limits;
use cairn::outbox::Cast;
use cairn::plan::check_settings;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::policy::{NoPlugins, Policy};
use cairn::volumes::{Settings, VolumeCreate, VolumeUpdate};
use cairn::{Diagnostic, Identity, Manifest, Object, Sqlite, StoreError, Value};

/// An upper bound of every duration, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parses text as a manifest, and as the operator's settings: it is accepted, or the error is readable and names an existing line.
///
/// # Panics
/// If that does not hold.
pub fn manifest(text: &str) {
    let file = Path::new("flow.toml");
    let kinds = cairn::grant_kinds();
    if let Err(error) = Manifest::parse(text, file, &kinds) {
        explained(&error, text);
    }
    let config = Config::parse(text, file, &kinds, cairn::volumes::CONFIG_KEYS)
        .map(drop)
        .and_then(|()| Settings::parse(text, file).map(drop));
    if let Err(error) = config {
        explained(&error, text);
    }
}

/// Parses text as a policy file: it is accepted or the error is readable; and each decision equals that of its explanation.
///
/// # Panics
/// If that does not hold.
pub fn policy(text: &str) {
    let policy = match Policy::parse(text, Some(Path::new("policy.yaml"))) {
        Ok(policy) => policy,
        Err(error) => return explained(&error, text),
    };
    let _ = policy.warnings();
    let caller = Identity {
        roles: vec!["member".to_owned(), "ops".to_owned()],
        ..Identity::new("ann", "acme")
    };
    let target: Object = [("project_id", "acme"), ("user_id", "bob")]
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into_iter()
        .collect();
    let names: Vec<String> = policy.rules().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().map(String::as_str).chain(["nobody:knows"]) {
        let allowed = policy.check(name, &(&caller).into(), &target);
        let explanation = policy.explain(name, &(&caller).into(), &target, &NoPlugins);
        assert_eq!(allowed, explanation.allowed, "{name} in {text}");
    }
}

/// Passes text as JSON from a guest: a result, a settings schema, the properties of a volume, the arguments of a message. It is accepted or
/// refused, and the store keeps working.
///
/// # Panics
/// If that does not hold.
pub fn guest_text(text: &str) {
    let Ok(value) = cairn::value::parse(text) else {
        return;
    };
    let plain = serde_json::from_str::<Value>(cairn::value::without_bom(text));
    let plain = plain.expect("what we read is JSON");
    assert_eq!(value, plain);
    let again = cairn::value::parse(&value.to_string());
    assert!(again.is_ok(), "what we write we can read: {value}");

    let settings: Object = [("a".to_owned(), Value::from("b"))].into_iter().collect();
    // Only checks that it returns.
    let _ = check_settings(&settings, &value);
    let Value::Object(object) = value else { return };
    let _ = check_settings(&object, &serde_json::json!({"type": "object"}));

    let store = store();
    let create = Effect::VolumeCreate(VolumeCreate {
        properties: object.clone(),
    });
    taken_or_refused(&store, &create);
    let id = object.get("id").and_then(Value::as_str).unwrap_or("none");
    let update = Effect::VolumeUpdate(VolumeUpdate {
        id: id.to_owned(),
        changes: object.clone(),
    });
    taken_or_refused(&store, &update);
    let cast = Effect::Cast(Cast {
        topic: id.to_owned(),
        method: text.to_owned(),
        arguments: Value::Object(object),
    });
    taken_or_refused(&store, &cast);
}

/// Loads bytes as a component: they are loaded or refused; a loaded component returns its description or an error; all within a time limit.
///
/// # Panics
/// If that does not hold.
pub fn component(bytes: &[u8]) {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    let plugins = PLUGINS.get_or_init(|| {
        let config = PluginConfig {
            compiler: Some(Arc::new(InProcess)),
            ..cairn::plugin_config()
        };
        Plugins::new(&config).expect("this machine runs the sandbox")
    });
    let start = Instant::now();
    let limits = Limits {
        deadline: Duration::from_millis(50),
        memory: 16 << 20,
        ..Limits::default()
    };
    match plugins.load(bytes) {
        Ok(plugin) => {
            if let Ok(schema) = plugin.settings_schema(&limits) {
                let _ = check_settings(&Object::new(), &schema);
            }
            let _ = plugin.describe(&Object::new(), &limits);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
}

#[track_caller]
fn explained(error: &Diagnostic, text: &str) {
    assert!(!error.message.is_empty());
    // An error at the end may be on the line after the last; in YAML, a carriage return alone also ends a line.
    let lines = text.matches(['\n', '\r']).count() + 2;
    if let Some(line) = error.line {
        assert!(
            (1..=lines).contains(&line),
            "line {line} of {lines}: {error}"
        );
    }
    let words = std::iter::once(&error.message).chain(&error.help);
    for words in words {
        assert!(
            !words.contains(|c: char| c.is_control() && c != '\n'),
            "{words:?} would reach a terminal as a command"
        );
    }
}

/// Returns a database in memory, replaced regularly before its rows fill the memory.
fn store() -> Arc<Sqlite> {
    static STORE: Mutex<Option<(u32, Arc<Sqlite>)>> = Mutex::new(None);
    let mut kept = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((uses, store)) = &mut *kept
        && *uses < 10_000
    {
        *uses += 1;
        return Arc::clone(store);
    }
    let store = Sqlite::in_memory(any::config(Settings::default()), Arc::new(SystemClock));
    let store = Arc::new(store.expect("a database in memory"));
    *kept = Some((0, Arc::clone(&store)));
    store
}

fn taken_or_refused(store: &Sqlite, effect: &Effect) {
    let operator = Identity::new("ann", "acme");
    let caller = Caller {
        call: None,
        requester: &operator,
    };
    match effect.apply_in(store, caller) {
        Ok(_) | Err(StoreError::Refused(_)) => {}
        Err(error) => panic!("{error}: {effect:?}"),
    }
}
