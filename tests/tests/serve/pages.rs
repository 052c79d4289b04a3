//! Lists by pages.

use acceptance::serving::Serving;
use serde_json::Value;

use super::{deployed, sql};

/// How many rows a page of a list has.
const PAGE: usize = 500;

fn names(page: &Value) -> Vec<String> {
    let deployments = page["deployments"].as_array().unwrap().iter();
    let name = |one: &Value| format!("{}@{}", one["name"].as_str().unwrap(), one["version"]);
    deployments.map(name).collect()
}

#[test]
fn deployments_are_listed_by_pages_and_none_is_left_out() {
    let program = deployed("");
    sql(
        &program,
        "WITH RECURSIVE n(v) AS (SELECT 2 UNION ALL SELECT v + 1 FROM n WHERE v < 600)
         INSERT INTO deployments (name, version, plan, manifest, checks, user_id, created_at)
         SELECT name, v, plan, manifest, checks, user_id, created_at FROM deployments, n WHERE name = 'greet'",
    );
    let serving = Serving::start(&program, &[]);
    let first = serving.get("/v1/deployments").is(200).json();
    assert_eq!(names(&first).len(), PAGE);
    assert_eq!(
        (names(&first)[0].as_str(), &first["next"]),
        ("greet@600", &Value::from("greet@101"))
    );
    let second = serving
        .get("/v1/deployments?after=greet%40101")
        .is(200)
        .json();
    let mut all = names(&first);
    all.extend(names(&second));
    assert_eq!(second["next"], Value::Null);
    let greets = (1..=600).rev().map(|version| format!("greet@{version}"));
    let expected: Vec<String> = greets.chain(["waits@1".to_owned()]).collect();
    assert_eq!(all, expected);
    for wrong in ["greet", "greet@0", "@1", "greet@x"] {
        let path = format!("/v1/deployments?after={}", wrong.replace('@', "%40"));
        serving.get(&path).is_problem(400, "InvalidInput");
    }
    let page = serving.get("/ui/deployed").is(200).body;
    assert!(page.contains("/ui/deployed?after=greet%40101"), "{page}");
    let page = serving.get("/ui/deployed?after=greet%40101").is(200).body;
    assert!(
        page.contains("waits@1") || page.contains("/ui/deployed/waits/1"),
        "{page}"
    );
}
