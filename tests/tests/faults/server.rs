//! Sessions that are ended, a server that stops at once, a fail-over.

use cairn_test_postgres::{Database, Stop};

use super::{again_and_again, server, under_load};

/// Ends every second session of the database in turn.
fn end_sessions(database: &Database<'_>, number: usize) {
    database.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid % 2 = {}",
        number % 2
    ));
}

fn sessions_end(times: usize) {
    let Some(server) = server() else { return };
    let database = server.database();
    let url = database.url();
    under_load(&url, &url, |_| {
        again_and_again(times, |number| end_sessions(&database, number));
    });
}

fn the_server_stops(times: usize) {
    let Some(server) = server() else { return };
    let database = server.database();
    let url = database.url();
    under_load(&url, &url, |_| {
        again_and_again(times, |_| {
            server.stop(Stop::Immediate);
            server.start_again().expect("it starts again");
        });
    });
}

#[test]
fn sessions_that_are_ended_lose_no_flow() {
    sessions_end(5);
}

#[test]
#[ignore = "takes a minute"]
fn sixty_sessions_that_are_ended_lose_no_flow() {
    sessions_end(60);
}

#[test]
fn a_server_that_stops_at_once_and_starts_again_loses_no_flow() {
    the_server_stops(1);
}

#[test]
#[ignore = "takes a minute"]
fn six_stops_of_the_server_lose_no_flow() {
    the_server_stops(6);
}

#[test]
fn a_fail_over_to_a_synchronous_standby_loses_no_flow() {
    let Some(primary) = server() else { return };
    let database = primary.database();
    let standby = primary.standby().expect("a standby");
    let name = database.name();
    let on = |ports: &str| format!("postgres://cairn@{ports}/{name}");
    let (first, second) = (primary.port(), standby.port());
    let both = on(&format!("127.0.0.1:{first},127.0.0.1:{second}"));
    let after = on(&format!("127.0.0.1:{second}"));
    under_load(&both, &after, |_| {
        primary.stop(Stop::Kill);
        standby.promote();
    });
}
