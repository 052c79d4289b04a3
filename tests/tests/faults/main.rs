//! What a server of PostgreSQL, the network before it and the machines of hosts may do to hosts: no flow is lost or done twice.

mod connections;
mod hosts;
mod networks;
mod server;
mod standby;

use std::thread;
use std::time::Duration;

use acceptance::crash::{Found, check_on_a_server};
use acceptance::load::Load;
use acceptance::program::Program;
use cairn::event::FlowState;
use cairn_test_postgres::{Server, Setup};

/// How many hosts work, each on a project of its own.
const HOSTS: usize = 2;

/// No limit on what a project may have.
const UNLIMITED: &str = "[quota]\nvolumes = -1\ngigabytes = -1\n";

/// Creates the folder of a host on the database at a URL, with more settings: keys first, then tables.
fn host(url: &str, more: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let more = format!("{more}{UNLIMITED}");
    program.write("cairn.toml", cairn_test_postgres::settings(url, &more));
    program
}

/// Starts a host under load. `number`: that of its project.
fn load(url: &str, more: &str, number: usize, on_lost: &str) -> Load {
    Load::start(host(url, more), &format!("project-{number}"), on_lost)
}

/// Has hosts run flows while faults happen, and checks that nothing is lost or done twice. `checked`: the URL of the database afterwards.
fn under_load(url: &str, checked: &str, faults: impl FnOnce(&[Load])) {
    let loads: Vec<Load> = (0..HOSTS)
        .map(|host| load(url, "", host, "rollback"))
        .collect();
    loads.iter().for_each(|load| load.goes_on(0, 50));
    faults(&loads);
    let before: Vec<usize> = loads.iter().map(Load::reported).collect();
    for (load, before) in loads.iter().zip(before) {
        load.goes_on(before, 50);
    }
    is_whole(checked, loads);
}

/// Ends loads, each request of which must have become one flow, which has succeeded.
fn is_whole(checked: &str, loads: impl IntoIterator<Item = Load>) {
    let flows: usize = loads.into_iter().map(Load::finish).sum();
    let found = check_on_a_server(checked, false).expect("the invariants hold");
    println!("{flows} flows");
    assert_eq!(found.flows.len(), flows, "each request is one flow");
    assert_eq!(succeeded(&found), flows);
}

/// Repeats a fault, with pauses in which hosts work.
fn again_and_again(times: usize, mut fault: impl FnMut(usize)) {
    for number in 0..times {
        fault(number);
        thread::sleep(Duration::from_millis(120));
    }
}

/// Returns how many flows hosts have reported.
fn reported(loads: &[Load]) -> usize {
    loads.iter().map(Load::reported).sum()
}

fn succeeded(found: &Found) -> usize {
    let flows = found.flows.values();
    flows
        .filter(|(state, _)| *state == FlowState::Success)
        .count()
}

/// A server that keeps what it commits.
fn server() -> Option<Server> {
    cairn_test_postgres::own(&Setup {
        fsync: true,
        ..Setup::default()
    })
}
