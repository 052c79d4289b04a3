//! Plugins as providers of objects outside the database.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use cairn_effects::event::LogLevel;
use cairn_effects::external::{ActError, ActLog, External as _, ExternalObject, Presence};
use cairn_manifest::manifest::{Grant, Grants, Limits};
use cairn_manifest::plan::Role;
use cairn_model::error::{Origin, TaskError};
use cairn_model::secret::NoSecrets;
use cairn_model::value::{Object, Value};
use cairn_outbound::{Authorities, Client, HttpGrantKind, SystemResolver};
use serde_json::json;

use super::guests::built;
use crate::capability::{Granted, Http, Services};
use crate::plugin::{Plugin, PluginConfig, PluginExternal, Plugins};

const ID: &str = "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11";

type Lines = Arc<Mutex<Vec<(LogLevel, String)>>>;

/// A provider, asked with one log.
struct Provider {
    external: PluginExternal,
    log: ActLog,
}

impl Provider {
    fn look(&self, object: &ExternalObject) -> Result<Presence, TaskError> {
        self.external.look(object, &self.log)
    }

    fn make(&self, object: &ExternalObject, spec: &Value) -> Result<Value, ActError> {
        self.external.make(object, spec, &self.log)
    }

    fn remove(&self, object: &ExternalObject) -> Result<(), ActError> {
        self.external.remove(object, &self.log)
    }

    fn list(&self, kind: &str, after: Option<&str>) -> Result<Vec<String>, TaskError> {
        self.external.list(kind, after, &self.log)
    }
}

fn sandbox() -> &'static Arc<Plugins> {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let client = Client::new(Arc::new(SystemResolver), Authorities::default());
        Plugins::new(&PluginConfig {
            capabilities: vec![Arc::new(Http::new(client))],
            ..PluginConfig::default()
        })
        .unwrap()
    })
}

fn guest() -> Arc<Plugin> {
    static GUEST: OnceLock<Arc<Plugin>> = OnceLock::new();
    let load = || sandbox().load_trusted(&built("provider")).unwrap();
    Arc::clone(GUEST.get_or_init(load))
}

/// Makes a provider, with a grant of `http`, and returns its log.
fn external(plugin: Arc<Plugin>, http: Option<Grant>) -> (Provider, Lines) {
    let granted = Granted {
        settings: r#"{"zone":"a"}"#.to_owned(),
        grants: Grants::from_iter(http.map(|grant| (HttpGrantKind::NAME.to_owned(), grant))),
        limits: Limits {
            deadline: Duration::from_millis(500),
            act: Duration::from_millis(500),
            result_bytes: 1 << 20,
            ..Limits::default()
        },
        sees_request: false,
    };
    let services = Services {
        enforcer: Arc::new(cairn_policy::Policy::default()),
        domains: Default::default(),
        surroundings: None,
        rule_plugins: Default::default(),
        secrets: Arc::new(NoSecrets),
    };
    let lines = Lines::default();
    let notes = Arc::clone(&lines);
    let provider = Provider {
        external: PluginExternal::new("pdns", plugin, granted, Arc::new(services)),
        log: ActLog::new(move |level, message| notes.lock().unwrap().push((level, message))),
    };
    (provider, lines)
}

fn provider() -> Provider {
    external(guest(), None).0
}

fn object(kind: &str) -> ExternalObject {
    ExternalObject {
        kind: kind.to_owned(),
        id: ID.to_owned(),
        token: 7,
    }
}

/// Returns the error of an act of which something may remain.
#[track_caller]
fn unsure<T: std::fmt::Debug>(result: Result<T, ActError>) -> TaskError {
    match result {
        Err(ActError::Unsure(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Checks the error of a provider that broke down: its task may handle it, and it says why.
#[track_caller]
fn broke_down(error: &TaskError, why: &str) {
    assert_eq!(error.kind, "ProviderFailed", "{error}");
    assert_eq!(error.origin, Origin::Plugin);
    assert_eq!(error.details["provider"], "pdns");
    assert_eq!(error.details["failure"]["kind"], why, "{error}");
    assert!(error.message.contains("`pdns`"), "{error}");
}

#[test]
fn a_provider_fences_as_its_manifest_says() {
    assert!(!provider().external.fences());
    assert!(provider().external.fencing(true).fences());
}

#[test]
fn a_provider_gets_the_object_and_the_spec_and_its_result_comes_back() {
    assert_eq!(guest().roles(), [Role::External].into());
    let descriptor = guest().describe(&Object::new(), &Limits::default());
    assert_eq!(descriptor.unwrap().name, "provider");
    let provider = provider();
    let made = provider.make(&object("works"), &json!({"ip": [1, null]}));
    let seen = json!({"kind": "works", "id": ID, "token": 7, "spec": {"ip": [1, null]}});
    assert_eq!(made, Ok(seen));
    assert_eq!(provider.remove(&object("works")), Ok(()));
}

#[test]
fn what_there_is_of_an_object_is_passed_on() {
    let provider = provider();
    assert_eq!(provider.look(&object("absent")), Ok(Presence::Absent));
    assert_eq!(provider.look(&object("partial")), Ok(Presence::Partial));
    let whole = json!({"kind": "works", "id": ID, "token": 7, "spec": null});
    assert_eq!(provider.look(&object("works")), Ok(Presence::Whole(whole)));
    let error = provider.look(&object("silent")).unwrap_err();
    assert_eq!(
        (error.kind.as_str(), error.origin),
        ("NoAnswer", Origin::Plugin)
    );
}

#[test]
fn a_refusal_is_told_from_an_act_in_doubt() {
    let provider = provider();
    let acts = |kind| {
        let made = provider.make(&object(kind), &Value::Null).map(drop);
        [made, provider.remove(&object(kind))]
    };
    for act in acts("full") {
        match act {
            Err(ActError::Refused(error)) => assert_eq!(error.kind, "Full"),
            other => panic!("{other:?}"),
        }
    }
    for act in acts("silent") {
        assert_eq!(unsure(act).kind, "NoAnswer");
    }
}

#[test]
fn an_act_that_is_cut_off_is_in_doubt() {
    let provider = provider();
    for (kind, of_act, why) in [
        ("traps", "Trap", "Trap"),
        ("loops", "ActDeadlineExceeded", "DeadlineExceeded"),
        ("sleeps", "ActDeadlineExceeded", "DeadlineExceeded"),
        ("hoards", "MemoryExceeded", "MemoryExceeded"),
    ] {
        let since = Instant::now();
        let made = provider.make(&object(kind), &Value::Null);
        broke_down(&unsure(made), of_act);
        broke_down(&unsure(provider.remove(&object(kind))), of_act);
        broke_down(&provider.look(&object(kind)).unwrap_err(), why);
        broke_down(&provider.list(kind, None).unwrap_err(), why);
        assert!(since.elapsed() < Duration::from_secs(10), "{kind}");
    }
    let error = unsure(provider.make(&object("traps"), &Value::Null));
    assert!(
        error.log.iter().any(|line| line.contains("it broke down")),
        "{:?}",
        error.log
    );
}

#[test]
fn a_result_that_breaks_the_contract_leaves_the_act_in_doubt() {
    let provider = provider();
    for (kind, why) in [
        ("no-json", "ResultInvalid"),
        ("deep", "ResultTooDeep"),
        ("long", "ResultTooLarge"),
        ("huge", "BorderBytesExceeded"),
    ] {
        broke_down(&unsure(provider.make(&object(kind), &Value::Null)), why);
        broke_down(&provider.look(&object(kind)).unwrap_err(), why);
    }
}

#[test]
fn a_list_is_read_page_by_page_to_its_end() {
    let provider = provider();
    let mut found = Vec::new();
    loop {
        let last = found.last().map(String::as_str);
        let page = provider.list("works", last).unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found.len(), 1_500);
    let error = provider.list("silent", None).unwrap_err();
    assert_eq!(error.kind, "NoAnswer");
}

#[test]
fn a_list_of_what_cannot_be_ids_is_refused() {
    let provider = provider();
    let first = "00000000-0000-0000-0000-000000000001";
    for (kind, after, says) in [
        ("thousands", None, "1001 ids"),
        ("unsorted", None, "must be sorted"),
        ("twice", None, "must be sorted"),
        ("again", Some(first), "must be sorted"),
        ("strangers", None, r"`www\u{1b}[2J.example`"),
        ("capitals", None, "not a UUID as the host writes it"),
    ] {
        let error = provider.list(kind, after).unwrap_err();
        broke_down(&error, "ResultInvalid");
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn a_provider_has_settings_and_no_caller() {
    let caller = provider().make(&object("caller"), &Value::Null);
    assert_eq!(caller, Ok(json!(["", "", {"zone": "a"}])));
}

#[test]
fn the_log_of_a_provider_names_the_call() {
    let (provider, log) = external(guest(), None);
    provider.make(&object("logs"), &Value::Null).unwrap();
    provider.look(&object("absent")).unwrap();
    let expected = [
        (LogLevel::Warn, "pdns.make: a message".to_owned()),
        (LogLevel::Info, "pdns.make: a line".to_owned()),
    ];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn a_provider_reaches_the_server_of_its_grant_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let grant = |path: &str| {
        let json = json!({"allow": [format!("http://{address}/{path}/*")]});
        Some(serde_json::from_value(json).unwrap())
    };
    let spec = json!(format!("http://{address}/api"));
    let (provider, log) = external(guest(), grant("other"));
    let error = unsure(provider.make(&object("fetch"), &spec));
    assert!(error.message.contains("HttpRequestDenied"), "{error}");
    assert_eq!(log.lock().unwrap().len(), 1);

    let (provider, log) = external(guest(), grant("api"));
    assert_eq!(provider.make(&object("fetch"), &spec), Ok(json!(201)));
    let request = server.join().unwrap();
    assert!(
        request.starts_with(&format!("PUT /api/{ID} HTTP/1.1")),
        "{request}"
    );
    let log = log.lock().unwrap();
    let [(_, line)] = log.as_slice() else {
        panic!("{log:?}");
    };
    let expected = format!("pdns.make: http: PUT http://{address}/api/{ID}: 201 (");
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn functions_of_another_type_are_refused_in_the_description_and_in_a_call() {
    let names = ["look", "make", "remove", "list"];
    let functions = names.map(|name| format!("(export \"{name}\" (func $f))"));
    let component = format!(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $plugin (export "settings-schema" (func $f)) (export "describe" (func $f)))
            (instance $external {})
            (export "cairn:plugin/plugin@0.1.0" (instance $plugin))
            (export "cairn:plugin/external@0.1.0" (instance $external)))"#,
        functions.concat()
    );
    let plugin = sandbox().load_trusted(component.as_bytes()).unwrap();
    let described = plugin.describe(&Object::new(), &Limits::default());
    assert!(described.is_err());
    let (provider, _) = external(plugin, None);
    broke_down(
        &unsure(provider.make(&object("works"), &Value::Null)),
        "Trap",
    );
    broke_down(&unsure(provider.remove(&object("works"))), "Trap");
    broke_down(&provider.look(&object("works")).unwrap_err(), "Trap");
    broke_down(&provider.list("works", None).unwrap_err(), "Trap");
}

#[test]
fn a_provider_that_lacks_a_function_is_refused() {
    let component = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $plugin (export "settings-schema" (func $f)) (export "describe" (func $f)))
        (instance $external (export "look" (func $f)) (export "make" (func $f)) (export "list" (func $f)))
        (export "cairn:plugin/plugin@0.1.0" (instance $plugin))
        (export "cairn:plugin/external@0.1.0" (instance $external)))"#;
    let error = sandbox().load_trusted(component.as_bytes()).err().unwrap();
    let error = error.to_string();
    assert!(
        error.contains("`cairn:plugin/external@0.1.0.remove`"),
        "{error}"
    );
}
