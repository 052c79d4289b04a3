//! Each route of the interface, asked for by each role.

use acceptance::program::Program;
use acceptance::serving::{Answer, Serving};
use serde_json::{Value, json};

use super::deployed;

/// The routes that a member may use in the own project.
const OF_MEMBERS: &[&str] = &[
    "POST /v1/flows",
    "GET /v1/flows",
    "GET /v1/flows/{id}",
    "GET /v1/flows/{id}/events",
    "GET /v1/flows/{id}/logs",
    "GET /v1/flows/{id}/stream",
    "GET /v1/stream",
    "GET /v1/find",
    "POST /v1/flows/{id}/interrupt",
    "POST /v1/flows/{id}/resume",
    "POST /v1/flows/{id}/signal",
];

/// How many routes the document has.
const ROUTES: usize = 39;

/// Creates a token.
pub(super) fn token(program: &Program, arguments: &[&str]) -> String {
    let create = ["token", "create", "--json"];
    let created = program.json(&[&create[..], arguments].concat());
    created["token"].as_str().unwrap().to_owned()
}

/// Returns a request for each route of the document.
fn requests(document: &Value, flow: &str) -> Vec<(String, String, &'static str, Option<Value>)> {
    let mut requests = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let mut path = path
                .replace("/v1/flows/{id}", &format!("/v1/flows/{flow}"))
                .replace("{project}", "acme")
                .replace("{class}", "gold")
                .replace("{collection}", "greetings")
                .replace("{key}", "none")
                .replace("{provider}", "shelf")
                .replace("{kind}/{id}", "book/6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11")
                .replace("{kind}", "book")
                .replace("{id}", "none");
            if path == "/v1/find" {
                path += "?q=01234567";
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = schema["$ref"]
                .as_str()
                .map(|schema| match schema.rsplit('/').next() {
                    Some("Submit") => json!({"flow": "greet", "request": {"name": "Ada"}}),
                    Some("Reasoned") => json!({"reason": "a test"}),
                    Some("Signal") => json!({"name": "approved"}),
                    Some("Handle") => json!({"action": "retry"}),
                    Some("SetLimits") => json!({"limits": {"volumes": 5}}),
                    Some("UnsetLimits") => json!({"resources": ["volumes"]}),
                    Some("PutRecord") => json!({"value": {"text": "hi"}}),
                    Some("ReleaseRecord") => json!({"flow": flow, "reason": "a test"}),
                    Some("AdoptExternal") => json!({"reason": "a test"}),
                    Some("Plain" | "Maintain" | "RemoveRecord" | "RemoveExternal") => json!({}),
                    other => panic!("{other:?}"),
                });
            let method = match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                other => panic!("{other}"),
            };
            requests.push((name, path, method, body));
        }
    }
    requests
}

fn ask(
    serving: &Serving,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    if path.ends_with("stream") {
        // The answer of a stream ends with the flow; that of the list does not.
        let status = stream_status(serving, path, bearer.as_deref());
        return Answer {
            status,
            headers: Vec::new(),
            body: String::new(),
        };
    }
    let body = body.map(Value::to_string);
    serving.send(method, path, &headers, body.as_deref())
}

fn stream_status(serving: &Serving, path: &str, bearer: Option<&str>) -> u16 {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::net::TcpStream::connect(&serving.address).unwrap();
    let bearer = bearer.map_or_else(String::new, |bearer| format!("Authorization: {bearer}\r\n"));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {}\r\n{bearer}\r\n",
        serving.address
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_route_is_for_its_roles() {
    let program = deployed("auth = 'tokens'");
    let admin = token(
        &program,
        &["--user", "root", "--project", "acme", "--role", "admin"],
    );
    let member = token(
        &program,
        &["--user", "ann", "--project", "acme", "--role", "member"],
    );
    let stranger = token(&program, &["--user", "eve", "--project", "other"]);
    let serving = Serving::start(&program, &[]);
    let greet = json!({"flow": "greet", "request": {"name": "Ada"}});
    let flow = ask(&serving, Some(&member), "POST", "/v1/flows", Some(&greet))
        .is(202)
        .id();
    let document = ask(&serving, None, "GET", "/v1/openapi.json", None)
        .is(200)
        .json();
    let requests = requests(&document, &flow);
    assert_eq!(requests.len(), ROUTES);
    for (name, path, method, body) in &requests {
        let answer = |token| ask(&serving, token, method, path, body.as_ref());
        assert_eq!(answer(None).status, 401, "{name} without a token");
        // Who guesses is slowed down.
        let guessed = answer(Some("cairn_x")).status;
        assert!(
            matches!(guessed, 401 | 429),
            "{name} with a wrong token: {guessed}"
        );
        let as_admin = answer(Some(&admin)).status;
        assert!(
            !matches!(as_admin, 401 | 403 | 500),
            "{name} as an admin: {as_admin}"
        );
        let as_member = answer(Some(&member)).status;
        match OF_MEMBERS.contains(&name.as_str()) {
            true => assert!(
                !matches!(as_member, 401 | 403 | 500),
                "{name} as a member: {as_member}"
            ),
            false => assert_eq!(as_member, 403, "{name} as a member"),
        }
        let as_stranger = answer(Some(&stranger)).status;
        match path.contains(&flow) {
            // The flow of another project is not there.
            true => assert_eq!(as_stranger, 404, "{name} as a stranger"),
            false => assert!(as_stranger != 500, "{name} as a stranger"),
        }
    }
    let listed = ask(
        &serving,
        Some(&stranger),
        "GET",
        "/v1/flows?project=acme",
        None,
    )
    .is(200)
    .json();
    let projects: Vec<&Value> = listed["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| &flow["project_id"])
        .collect();
    assert!(
        projects.iter().all(|project| **project == "other"),
        "{listed}"
    );
    let found = ask(
        &serving,
        Some(&stranger),
        "GET",
        &format!("/v1/find?q={flow}"),
        None,
    )
    .is(200)
    .json();
    assert_eq!(found["flows"], json!([]));
    // A flow without an action is for admins.
    let waits = json!({"flow": "waits", "request": {"name": "Wil"}});
    let as_member = ask(&serving, Some(&member), "POST", "/v1/flows", Some(&waits));
    as_member.is_problem(403, "AdminRequired");
}

#[test]
fn a_rule_of_the_operator_decides() {
    let program = deployed("auth = 'tokens'");
    program.write(
        "policy.json",
        r#"{"greet": "role:greeter", "api:flow:rollback": "rule:admin_or_owner"}"#,
    );
    let member = token(&program, &["--user", "ann", "--project", "acme"]);
    let greeter = token(
        &program,
        &["--user", "bob", "--project", "acme", "--role", "greeter"],
    );
    let serving = Serving::start(&program, &["--policy", "policy.json"]);
    let greet = json!({"flow": "greet", "request": {"name": "Ada"}});
    let ask = |token: &str, path: &str, body: &Value| {
        ask(&serving, Some(token), "POST", path, Some(body))
    };
    ask(&member, "/v1/flows", &greet).is_problem(403, "PolicyNotAuthorized");
    let id = ask(&greeter, "/v1/flows", &greet).is(202).id();
    // Its rollback waits for its end.
    let rollback = format!("/v1/flows/{id}/rollback");
    ask(&member, &rollback, &json!({"reason": "a test"})).is(200);
}
