//! Pages over HTTP, as a browser without a script asks for them.

use acceptance::serving::{Answer, Serving};
use serde_json::json;

use super::{HOSTILE, deployed, submit};

/// Every page that needs no id.
const PAGES: &[&str] = &[
    "/ui",
    "/ui/flows",
    "/ui/flows?state=FAILURE&only=incomplete&since=1h&longer=1s&name=x",
    "/ui/find?q=nothing-of-this-name",
    "/ui/deployed",
    "/ui/deployed/greet/1",
    "/ui/volumes",
    "/ui/snapshots",
    "/ui/types",
    "/ui/records",
    "/ui/externals",
    "/ui/quotas",
    "/ui/system",
    "/ui/outbox",
    "/ui/audit",
];

/// Sends a form.
pub(super) fn form(serving: &Serving, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
    let encode = |text: &str| {
        let bytes = text.bytes().map(|byte| format!("%{byte:02X}"));
        bytes.collect::<String>()
    };
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    let body = fields.collect::<Vec<_>>().join("&");
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", cookie),
    ];
    serving.send("POST", path, &headers, Some(&body))
}

/// Returns the token of a page's forms.
pub(super) fn token(page: &str) -> String {
    let value = page.split("name=\"csrf\" value=\"").nth(1);
    let value = value.and_then(|rest| rest.split('"').next());
    value
        .unwrap_or_else(|| panic!("no form: {page}"))
        .to_owned()
}

#[test]
fn every_page_is_html_with_strict_headers() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": "fail"}));
    let of_flow = format!("/ui/flows/{id}?task=goodbye;greet&events=failures&text=a");
    for path in PAGES.iter().copied().chain([of_flow.as_str()]) {
        let page = serving.get(path).is(200);
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ];
        for (name, value) in headers {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(
            !page.body.contains(" style=") && !page.body.contains("javascript:"),
            "{path}"
        );
        assert_eq!(page.body.matches("<script").count(), 1, "{path}");
    }
    assert_eq!(serving.get("/").is(303).header("location"), Some("/ui"));
    serving.get("/ui/nothing").is(404);
    serving.get("/ui/flows/nothing").is(404);
}

#[test]
fn files_of_pages_are_compared_by_their_tags() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let page = serving.get("/ui").body;
    for (name, media) in [("style.css", "text/css"), ("live.js", "text/javascript")] {
        let path = page.split('"').find(|part| part.contains(name)).unwrap();
        let file = serving.get(path).is(200);
        assert!(file.header("content-type").unwrap().starts_with(media));
        let tag = file.header("etag").unwrap().to_owned();
        let again = serving.send("GET", path, &[("if-none-match", &tag)], None);
        assert_eq!(again.is(304).body, "");
    }
    serving.get("/ui/assets/nothing").is(404);
}

#[test]
fn a_server_without_a_dashboard_has_no_pages() {
    let program = deployed("");
    let serving = Serving::start(&program, &["--no-ui"]);
    for path in ["/ui", "/ui/flows", "/ui/assets/live.js"] {
        serving.get(path).is(404);
    }
    serving.get("/v1/flows").is(200);
}

#[test]
fn a_flow_is_rolled_back_by_its_form_with_a_reason_and_the_token() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": "Ada"}));
    let path = format!("/ui/flows/{id}");
    let page = serving.get(&path).is(200).body;
    let csrf = token(&page);
    let action = format!("{path}/rollback");
    form(&serving, &action, "", &[("reason", "a test")]).is(403);
    form(
        &serving,
        &action,
        "",
        &[("csrf", "wrong"), ("reason", "a test")],
    )
    .is(403);
    form(&serving, &action, "", &[("csrf", &csrf), ("reason", " ")]).is(400);
    let foreign = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "cross-site"),
    ];
    let body = format!("csrf={csrf}&reason=a");
    serving.send("POST", &action, &foreign, Some(&body)).is(403);
    let json = [("content-type", "application/json")];
    serving.send("POST", &action, &json, Some("{}")).is(415);
    assert!(serving.get(&path).body.contains("succeeded"));
    let done = form(
        &serving,
        &action,
        "",
        &[("csrf", &csrf), ("reason", "nobody is greeted")],
    );
    assert_eq!(done.is(303).header("location"), Some(path.as_str()));
    let page = serving.get(&path).is(200).body;
    assert!(page.contains("clean: everything is as it was"), "{page}");
    assert!(page.contains("nobody is greeted"), "{page}");
    let audit = serving.get("/ui/audit").is(200).body;
    assert!(
        audit.contains("flow.rollback") && audit.contains("nobody is greeted"),
        "{audit}"
    );
    // Nothing applies any more.
    form(
        &serving,
        &action,
        "",
        &[("csrf", &csrf), ("reason", "again")],
    );
    assert!(!serving.get(&path).body.contains("class=\"action\""));
}

#[test]
fn a_signal_is_sent_by_its_form() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "waits", &json!({"name": "Ada"}));
    let path = format!("/ui/flows/{id}");
    let page = loop {
        let page = serving.get(&path).is(200).body;
        if page.contains("Send the signal") {
            break page;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(
        page.contains("to come"),
        "the task behind the wait has a row: {page}"
    );
    let csrf = token(&page);
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "approved"),
        ("payload", "[]"),
    ];
    form(&serving, &format!("{path}/signal"), "", &fields).is(400);
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "approved"),
        ("payload", "{}"),
    ];
    form(&serving, &format!("{path}/signal"), "", &fields).is(303);
    let begun = std::time::Instant::now();
    while !serving.get(&path).body.contains("every task succeeded") {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_login_is_asked_for_and_ends() {
    let program = deployed("auth = \"tokens\"");
    let create = |arguments: &[&str]| {
        let create = ["token", "create", "--json"];
        let created = program.json(&[&create[..], arguments].concat());
        created["token"].as_str().unwrap().to_owned()
    };
    let member = create(&["--user", "ann", "--project", "acme", "--role", "member"]);
    let serving = Serving::start(&program, &[]);
    let refused = serving.get("/ui/flows?name=a").is(303);
    assert_eq!(
        refused.header("location"),
        Some("/ui/login?next=%2Fui%2Fflows%3Fname%3Da")
    );
    let page = serving.get("/ui/login?next=%2Fui%2Fflows").is(200).body;
    let csrf = token(&page);
    let login = |csrf: &str, token: &str| {
        let fields = [
            ("csrf", csrf),
            ("token", token),
            ("next", "/ui/flows"),
            ("user", ""),
            ("password", ""),
            ("project", ""),
        ];
        form(&serving, "/ui/login", "", &fields)
    };
    login("wrong", &member).is(403);
    let wrong = login(&csrf, "cairn_nothing").is(403);
    assert!(wrong.body.contains("unknown"), "{}", wrong.body);
    let done = login(&csrf, &member).is(303);
    assert_eq!(done.header("location"), Some("/ui/flows"));
    let cookie = done.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with = [("cookie", cookie.as_str())];
    let page = serving.send("GET", "/ui/flows", &with, None).is(200).body;
    assert!(
        page.contains("ann") && !page.contains("/ui/system"),
        "{page}"
    );
    // What a member may not see is refused, also by its path.
    for path in [
        "/ui/system",
        "/ui/audit",
        "/ui/deployed",
        "/ui/quotas?project=other",
        "/ui/outbox",
    ] {
        let refused = serving.send("GET", path, &with, None);
        assert_eq!(refused.status, 403, "{path}");
    }
    let csrf = token(&page);
    form(&serving, "/ui/logout", &cookie, &[("csrf", "wrong")]).is(403);
    serving.send("GET", "/ui/flows", &with, None).is(200);
    let out = form(&serving, "/ui/logout", &cookie, &[("csrf", &csrf)]).is(303);
    assert_eq!(out.header("location"), Some("/ui/login"));
    serving.send("GET", "/ui/flows", &with, None).is(303);
}

#[test]
fn flows_of_other_projects_are_not_there() {
    let program = deployed("auth = \"tokens\"");
    let create = |user: &str, project: &str, role: &str| {
        let created = program.json(&[
            "token",
            "create",
            "--json",
            "--user",
            user,
            "--project",
            project,
            "--role",
            role,
        ]);
        format!("Bearer {}", created["token"].as_str().unwrap())
    };
    let (admin, member) = (
        create("eve", "acme", "admin"),
        create("bob", "other", "member"),
    );
    let serving = Serving::start(&program, &[]);
    let body = json!({"flow": "greet", "request": {"name": "Ada"}});
    let headers = [("authorization", admin.as_str()), ("prefer", "wait=10")];
    let answer = serving.post_with("/v1/flows", &headers, &body).json();
    let id = answer["id"]
        .as_str()
        .or(answer["flow"]["id"].as_str())
        .unwrap()
        .to_owned();
    for path in [format!("/ui/flows/{id}"), format!("/ui/flows/{id}/live")] {
        let with = [("authorization", member.as_str())];
        let hidden = serving.send("GET", &path, &with, None);
        assert!(!hidden.body.contains("Ada"), "{path}: {}", hidden.body);
    }
    let with = [("authorization", member.as_str())];
    serving
        .send("GET", &format!("/ui/flows/{id}"), &with, None)
        .is(404);
    let list = serving.send("GET", "/ui/flows", &with, None).is(200);
    assert!(!list.body.contains(&id));
    let with = [("authorization", admin.as_str())];
    let list = serving.send("GET", "/ui/flows", &with, None).is(200);
    assert!(list.body.contains(&id));
}

#[test]
fn a_hostile_request_is_text() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": HOSTILE}));
    for path in [
        format!("/ui/flows/{id}"),
        "/ui/records".to_owned(),
        "/ui".to_owned(),
    ] {
        let page = serving.get(&path).is(200).body;
        assert_eq!(page.matches("<script").count(), 1, "{path}: {page}");
        assert!(
            !page.contains("<img") && !page.contains('\u{202e}'),
            "{path}: {page}"
        );
    }
}
