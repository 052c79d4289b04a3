//! Messages of hosts that share a database of PostgreSQL.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use acceptance::program::{Program, volume_create};
use acceptance::rabbit::Space;
use acceptance::slow::eventually;
use cairn_test_postgres::Database;

use super::{EXCHANGE, TOPIC, listed, program};

/// A host on the database, with a transport to the broker.
fn host(database: &Database<'_>, space: &Space) -> Program {
    let program = program(space, "timeout = \"2s\"\nwait = \"60s\"\n");
    let settings = std::fs::read_to_string(program.path("cairn.toml")).expect("its settings");
    let settings = format!("lease = \"2s\"\nhosts.locks = \"locks\"\n{settings}");
    program.write("cairn.toml", database.settings(&settings));
    program
}

fn stream(host: &Program) -> Command {
    let mut stream = host.command(&["run", &volume_create(), "--jsonl"]);
    stream.stdin(Stdio::piped()).stdout(Stdio::null());
    stream
}

#[test]
fn what_a_dead_host_had_to_publish_is_published_by_the_one_that_takes_its_flows_over() {
    /// How many flows the host runs that dies.
    const FLOWS: usize = 150;
    let test = "what_a_dead_host_had_to_publish_is_published_by_the_one_that_takes_its_flows_over";
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let Some(space) = Space::own(test) else {
        return;
    };
    space.declare(EXCHANGE, TOPIC, true);
    let database = server.database();
    let hosts = [(); 2].map(|()| host(&database, &space));
    hosts[0].run(&["db", "migrate"]).exits(0);
    // Some messages leave at once, the others only when the broker is there again.
    let mut dies = stream(&hosts[0]).spawn().expect("a host");
    let mut requests = dies.stdin.take().expect("a pipe");
    let mut ask = |flows| {
        let asked = "{\"size\": 1}\n".repeat(flows);
        requests.write_all(asked.as_bytes()).expect("it reads");
    };
    let count = |what: &str| database.sql(&format!("SELECT count(*) FROM cairn.{what}"));
    ask(50);
    eventually("50 messages have left", || {
        count("flows WHERE state = 'SUCCESS'") == "50" && count("outbox") == "0"
    });
    space.broker().kill();
    ask(FLOWS - 50);
    eventually("the others wait", || {
        count("outbox WHERE state = 'sending'") == (FLOWS - 50).to_string()
    });
    dies.kill().expect("it lives");
    dies.wait().expect("it is gone");

    let mut lives = stream(&hosts[1]).spawn().expect("a host");
    let mut requests = lives.stdin.take().expect("a pipe");
    requests.write_all(b"{\"size\": 1}\n").expect("it reads");
    let succeeded = (FLOWS + 1).to_string();
    eventually("its own flow has succeeded", || {
        count("flows WHERE state = 'SUCCESS'") == succeeded
    });
    space.broker().begin();
    drop(requests);
    assert!(lives.wait().expect("it ends").success());
    assert_eq!(listed(&hosts[1]), [0; 0]);
    let volumes = database.sql("SELECT string_agg(id, ' ') FROM cairn.volumes");
    let volumes: BTreeSet<&str> = volumes.split(' ').collect();
    let received = space.drain(TOPIC);
    let named = received
        .iter()
        .map(|one| one.message["args"]["volume_id"].as_str().expect("an id"));
    assert_eq!(named.collect::<BTreeSet<_>>(), volumes);
    // A message that is published again has the same id.
    let ids: BTreeSet<&String> = received.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), FLOWS + 1);
}
