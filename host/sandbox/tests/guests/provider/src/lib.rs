//! A provider that keeps no objects. It behaves as the kind of the object says, in every function that can.

use wstd::http::{Body, Client, Method, Request};
use wstd::runtime::block_on;

use cairn::plugin::{context, log, types::Error};
use exports::cairn::plugin::external::{Failure, Guest, Object, Presence};
use exports::cairn::plugin::plugin;

wit_bindgen::generate!({
    path: "../../../../../wit",
    world: "external-plugin",
    generate_all,
});

struct Provider;

export!(Provider);

impl plugin::Guest for Provider {
    fn settings_schema() -> String {
        "{}".to_owned()
    }

    fn describe(_: String) -> Result<plugin::Descriptor, Error> {
        Ok(plugin::Descriptor {
            name: "provider".to_owned(),
            version: (1, 0),
            requires: Vec::new(),
            optional: Vec::new(),
            provides: Vec::new(),
        })
    }
}

impl Guest for Provider {
    fn look(what: Object) -> Result<Presence, Error> {
        match what.kind.as_str() {
            "absent" => Ok(Presence::Absent),
            "partial" => Ok(Presence::Partial),
            "silent" => Err(error("NoAnswer", "the backend does not answer")),
            kind => Ok(Presence::Whole(behave(kind, &what, ""))),
        }
    }

    fn make(what: Object, spec: String) -> Result<String, Failure> {
        match what.kind.as_str() {
            "full" => Err(Failure::Refused(error("Full", "no room"))),
            "silent" => Err(Failure::Unsure(error("NoAnswer", "the backend does not answer"))),
            "fetch" => fetch(&what, &spec),
            kind => Ok(behave(kind, &what, &spec)),
        }
    }

    fn remove(what: Object) -> Result<(), Failure> {
        Self::make(what, String::new()).map(drop)
    }

    fn list(kind: String, after: Option<String>) -> Result<Vec<String>, Error> {
        let id = |number: usize| format!("00000000-0000-0000-0000-{number:012}");
        match kind.as_str() {
            "silent" => Err(error("NoAnswer", "the backend does not answer")),
            "thousands" => Ok((1..=1_001).map(id).collect()),
            "unsorted" => Ok(vec![id(2), id(1)]),
            "twice" => Ok(vec![id(1), id(1)]),
            "again" => Ok(vec![id(1)]),
            "strangers" => Ok(vec![id(1), "www\u{1b}[2J.example".to_owned()]),
            "capitals" => Ok(vec!["6F0C1F6E-7B64-4C0E-9D3B-0A4A7C2F5A11".to_owned()]),
            "works" => {
                let all = (1..=1_500).map(id);
                let rest = all.filter(|id| after.as_ref().is_none_or(|after| id > after));
                Ok(rest.take(1_000).collect())
            }
            kind => Ok(vec![behave(kind, &Object { kind: kind.to_owned(), id: id(1), token: 0 }, "")]),
        }
    }
}

fn error(kind: &str, message: &str) -> Error {
    Error {
        kind: kind.to_owned(),
        message: message.to_owned(),
        details: None,
    }
}

/// Returns a result, or does something else.
fn behave(kind: &str, what: &Object, spec: &str) -> String {
    match kind {
        "traps" => panic!("it broke down"),
        "loops" => loop {
            std::hint::spin_loop();
        },
        "sleeps" => {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
            String::new()
        }
        "hoards" => {
            let hoard = vec![1_u8; 1 << 30];
            format!("{}", hoard[spec.len()])
        }
        "no-json" => "{\"id\": ".to_owned(),
        "deep" => "[".repeat(1_000) + &"]".repeat(1_000),
        "long" => format!("\"{}\"", "x".repeat(2 << 20)),
        "huge" => format!("\"{}\"", "x".repeat(8 << 20)),
        "logs" => {
            log::write(log::Level::Warn, "a message");
            println!("a line");
            "null".to_owned()
        }
        "caller" => {
            let caller = context::requester();
            format!("[\"{}\", \"{}\", {}]", caller.user_id, caller.project_id, context::settings())
        }
        _ => {
            let Object { kind, id, token } = what;
            let spec = if spec.is_empty() { "null" } else { spec };
            format!(r#"{{"kind": "{kind}", "id": "{id}", "token": {token}, "spec": {spec}}}"#)
        }
    }
}

/// Sends an object to the URL in a spec.
fn fetch(what: &Object, spec: &str) -> Result<String, Failure> {
    let url = spec.trim_matches('"');
    let unsure = |problem: String| Failure::Unsure(error("NoAnswer", &problem));
    block_on(async {
        let request = Request::builder().method(Method::PUT).uri(format!("{url}/{}", what.id));
        let request = request.body(Body::empty()).map_err(|error| unsure(error.to_string()))?;
        let response = Client::new().send(request).await;
        let response = response.map_err(|error| unsure(format!("{error:?}")))?;
        Ok(response.status().as_u16().to_string())
    })
}
