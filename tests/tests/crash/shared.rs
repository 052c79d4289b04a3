//! A host that shares projects with others dies when it has taken a request, or has given projects back.

use std::thread;

use acceptance::crash::{Death, Task};
use acceptance::hosts::{inbox, own};
use cairn::event::FlowState;
use cairn_test_postgres::Database;

use super::{End, Lives};

fn at(point: &str) -> Death {
    Death {
        point: point.to_owned(),
        reverting: false,
        time: 1,
    }
}

/// Has a host that owns all projects die at a point to which `others` bring it, and checks that their flow has succeeded, once.
fn dies(point: &str, others: impl FnOnce(&Lives, &Database<'_>)) {
    let Some(lives) = Lives::on_a_server(None, false, 1) else {
        return;
    };
    let database = lives.server.as_ref().expect("it is on a server");
    thread::scope(|scope| {
        let owner = scope.spawn(|| lives.live(Task::Share, Some(&at(point))));
        own(database, &[256]);
        others(&lives, database);
        let end = owner.join().expect("a life");
        assert!(matches!(end, End::Death), "{point}: {end:?}");
    });
    let found = lives.recovered(point);
    let states: Vec<FlowState> = found.flows.values().map(|(state, _)| *state).collect();
    assert_eq!(states, [FlowState::Success], "{point}");
    assert_eq!(inbox(database), "0", "{point}");
}

/// Runs a flow in a process that takes no share.
fn asks(lives: &Lives) {
    assert!(matches!(lives.live(Task::Run, None), End::Natural(_)));
}

#[test]
fn a_request_that_its_owner_has_taken_is_run_by_the_next_owner_when_that_one_dies() {
    dies("InboxTaken", |lives, _| asks(lives));
}

#[test]
fn projects_that_a_host_has_given_back_are_taken_by_another_though_that_one_dies() {
    dies("PartitionGivenBack", |lives, database| {
        thread::scope(|scope| {
            let other = scope.spawn(|| lives.live(Task::Share, None));
            // The first one has given back the half, and is dead.
            own(database, &[256]);
            asks(lives);
            assert!(matches!(other.join().expect("a life"), End::Natural(_)));
        });
    });
}
