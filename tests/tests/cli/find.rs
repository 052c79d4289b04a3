//! `cairn find`: flows that have to do with an id or a key.

use std::sync::Arc;

use acceptance::program::Program;
use cairn::clock::SystemClock;
use cairn::store::view::{Found, Reader, Within};
use cairn::{Domains, Identity, SqliteConfig};
use serde_json::{Value, json};

use super::{create, program, result, sql};

/// A volume of project demo with a key, and one of project blue.
struct World {
    program: Program,
    report: Value,
}

impl World {
    fn new() -> Self {
        let program = program();
        let request = r#"{"size": 1, "name": "the volume"}"#;
        let report = create(&program, request, &["--key", "key-1"], 0);
        create(&program, r#"{"size": 2}"#, &["--project", "blue"], 0);
        Self { program, report }
    }

    fn flow(&self) -> &str {
        self.report["flow"]["id"].as_str().expect("an id")
    }

    fn volume(&self) -> String {
        let volume = &result(&self.report, "entry-create")["volume_id"];
        volume.as_str().expect("a volume").to_owned()
    }

    /// Searches for a text: the flows, each with the reasons.
    #[track_caller]
    fn find(&self, text: &str) -> Vec<(String, Vec<String>)> {
        let found = self.program.json(&["find", text, "--json"]);
        let flows = found["flows"].as_array().expect("flows").iter();
        let flow = |flow: &Value| {
            let why = flow["why"].as_array().expect("reasons").iter();
            let why = why.map(|why| why.as_str().expect("a reason").to_owned());
            (
                flow["id"].as_str().expect("an id").to_owned(),
                why.collect(),
            )
        };
        flows.map(flow).collect()
    }

    /// Asserts that a text finds the flow alone, for this reason among others.
    #[track_caller]
    fn finds(&self, text: &str, reason: &str) {
        let found = self.find(text);
        let [(id, why)] = &found[..] else {
            panic!("{text}: {found:?}");
        };
        assert_eq!(id, self.flow());
        assert!(why.iter().any(|why| why == reason), "{text}: {why:?}");
    }
}

#[test]
fn a_flow_is_found_by_each_id_that_has_to_do_with_it() {
    let world = World::new();
    let flow = world.flow();
    world.finds(flow, "its id");
    world.finds("key-1", "its idempotency key");
    let events = world.program.json(&["flow", "events", flow, "--json"]);
    let request = events.to_string();
    let (_, request) = request.split_once(r#""request_id":""#).expect("a request");
    let (request, _) = request.split_once('"').expect("a request");
    world.finds(request, "its request id");
    let volume = world.volume();
    let made = format!("made volume {volume}");
    world.finds(&volume, &made);
    // By the first characters: ids of this run begin alike, so all but the last ones are needed.
    world.finds(&volume[..33], &made);
    world.finds(&flow[..33], "its id");
    let messages = world.program.json(&["outbox", "list", "--json"]);
    let message = messages[0]["id"].as_str().expect("a message");
    let maker = &world.find(message)[0];
    assert!(
        maker.1.contains(&format!("made cast {message}")),
        "{maker:?}"
    );
    // In journals alone.
    world.finds("the volume", "named in its request");
    assert_eq!(world.find("the volum"), [], "only whole texts are found");
    assert_eq!(world.find("name"), [], "keys of objects are no values");
    assert_eq!(world.find(","), []);
    let run = world.program.run(&["find", "nothing"]).exits(0);
    assert_eq!(run.stdout, "no flow was found\n");
    assert_eq!(run.stderr, "", "all flows were looked at");
}

#[test]
fn an_id_that_a_flow_only_touched_is_found_in_its_journal() {
    let program = program();
    program.run(&["init", "."]).exits(0);
    program
        .run(&["run", "flow.toml", "--input", r#"{"name": "Ada"}"#])
        .exits(0);
    let found = program.json(&["find", "Hello Ada", "--json"]);
    assert_eq!(
        found["flows"][0]["why"],
        json!(["made record demo/greetings/Hello Ada"]),
        "{found:#}"
    );
    assert_eq!(found["searched"]["is_complete"], true);
    let table = program.run(&["find", "Hello Ada"]).exits(0).stdout;
    assert!(
        table.contains("made record demo/greetings/Hello Ada"),
        "{table}"
    );
}

#[test]
fn the_object_of_a_flow_is_found_by_its_id() {
    let world = World::new();
    let id = "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11";
    sql(
        &world.program,
        &format!(
            "INSERT INTO externals SELECT 'dns', 'zone', '{id}', project_id, id, 't', 'made', '{{}}', NULL, 'd', 1, 0, 0, NULL
             FROM flows WHERE project_id = 'demo'"
        ),
    );
    for text in [id, &id[..8]] {
        let found = world.find(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].1[0].ends_with(&format!("dns/zone/{id}")),
            "{found:?}"
        );
    }
}

/// Opens the program's database with the library.
fn reader(program: &Program) -> Reader {
    let domains = Domains::new([cairn::volumes::domain(Default::default())]);
    let config = SqliteConfig {
        domains: domains.expect("one domain"),
        ..SqliteConfig::default()
    };
    Reader::open(&program.path("cairn.db"), config, Arc::new(SystemClock))
        .expect("the database is there")
}

#[test]
fn a_member_finds_flows_of_the_own_project_only() {
    let world = World::new();
    let reader = reader(&world.program);
    let within = Within {
        time: None,
        flows: 10,
    };
    let search = |project: &str, text: &str| -> Found {
        let member = Identity::new("ann", project);
        let found = reader.view(&member).search(text, within);
        found.expect("it can be searched")
    };
    let volume = world.volume();
    for text in [world.flow(), "key-1", &volume, "the volume", &volume[..33]] {
        assert_eq!(search("demo", text).flows.len(), 1, "{text}");
        let other = search("blue", text);
        assert_eq!(other.flows.len(), 0, "{text}: {other:?}");
    }
    let searched = search("blue", "the volume").searched.expect("journals");
    assert_eq!((searched.flows, searched.is_complete), (1, true));
}

#[test]
fn a_search_ends_when_its_time_is_up_or_enough_is_found() {
    let world = World::new();
    let reader = reader(&world.program);
    let operator = Identity::new("ann", "demo").into_admin();
    let search = |time: Option<std::time::Duration>, flows| {
        let within = Within { time, flows };
        let found = reader.view(&operator).search("RUNNING", within);
        let found = found.expect("it can be searched");
        (found.flows.len(), found.searched.expect("journals"))
    };
    let (found, searched) = search(Some(std::time::Duration::ZERO), 10);
    assert_eq!((found, searched.flows, searched.is_complete), (0, 0, false));
    let (found, searched) = search(None, 1);
    assert_eq!(
        (found, searched.is_complete),
        (1, true),
        "one page holds both"
    );
    assert_eq!(search(None, 10).0, 2);
}

#[test]
fn a_flow_that_was_pruned_is_found_by_its_key_and_a_damaged_journal_is_passed_by() {
    let world = World::new();
    sql(
        &world.program,
        "UPDATE journal SET entries = substr(entries, 1, length(entries) - 5) WHERE flow = (SELECT max(id) FROM flows)",
    );
    world
        .program
        .run(&["find", "the volume"])
        .exits(0)
        .says(&["1 row of journals cannot be read"]);
    sql(
        &world.program,
        "DELETE FROM flows WHERE id IN (SELECT flow FROM idempotency_keys)",
    );
    let found = world.program.json(&["find", "key-1", "--json"]);
    assert_eq!(found["flows"][0]["flow"], json!(null), "{found:#}");
    let table = world.program.run(&["find", "key-1"]).exits(0).stdout;
    assert!(table.contains("pruned"), "{table}");
}

#[test]
fn a_database_on_a_server_is_searched_alike() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = (program(), server.database());
    program.write("cairn.toml", database.settings(""));
    let request = r#"{"size": 1, "name": "the volume"}"#;
    let report = create(&program, request, &["--key", "key-1"], 0);
    let world = World { program, report };
    world.finds(world.flow(), "its id");
    world.finds("key-1", "its idempotency key");
    let volume = world.volume();
    world.finds(&volume, &format!("made volume {volume}"));
    world.finds("the volume", "named in its request");
    assert_eq!(world.find("nothing"), []);
}
