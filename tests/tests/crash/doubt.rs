//! A process whose connection broke dies when it has learned what became of its batch, and has not acted on it.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use acceptance::crash::{Death, Task};
use cairn::event::FlowState;
use cairn_test_postgres::{Database, Server, Setup};

use super::{End, Lives, with_type};

/// How often a life is tried whose flow may end before its connection is broken.
const TRIES: usize = 10;

/// Has every second insert into the journal wait, so that the test can break the connection in the middle of a batch, which is then sent again.
const NAPS: &str = "CREATE SEQUENCE public.naps;
    CREATE FUNCTION public.nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.naps') % 2 = 1 THEN PERFORM pg_sleep(20); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER nap BEFORE INSERT ON cairn.journal FOR EACH STATEMENT EXECUTE FUNCTION public.nap();";

/// Ends the session that writes batches while it waits for this, and returns whether there was one.
fn end_writer(database: &Database<'_>, waits_for: &str) -> bool {
    let ended = database.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE '% writer' AND wait_event = '{waits_for}'"
    ));
    !ended.is_empty()
}

/// Runs a life that dies when it has learned for the `time`th time what became of a batch, calls `break_it` again and again until it is
/// over, and returns whether it died there.
fn dies(lives: &Lives, time: usize, break_it: impl Fn(&Database<'_>)) -> bool {
    let death = Death {
        point: "WitnessRead".to_owned(),
        reverting: false,
        time,
    };
    let database = lives.server.as_ref().expect("it is on a server");
    thread::scope(|scope| {
        let life = scope.spawn(|| lives.live(Task::Run, Some(&death)));
        while !life.is_finished() {
            break_it(database);
            thread::sleep(Duration::from_millis(2));
        }
        matches!(life.join().expect("a life"), End::Death)
    })
}

/// Recovers the flow, and returns how it ended; `None` if it never was on disk.
fn end(lives: &Lives, context: &str) -> Option<FlowState> {
    let found = lives.recovered(context);
    let states: Vec<FlowState> = found.flows.values().map(|(state, _)| *state).collect();
    assert!(states.len() <= 1, "{context}: {states:?}");
    states.first().copied()
}

/// How the recovery ends a flow that had not ended.
fn recovered_as(resumes: bool) -> FlowState {
    match resumes {
        true => FlowState::Success,
        false => FlowState::Failure,
    }
}

#[test]
fn a_process_that_dies_when_it_has_learned_that_its_batch_is_not_on_disk_loses_nothing() {
    for (time, resumes) in [(1, true), (2, false), (5, true), (8, false)] {
        let Some(lives) = Lives::on_a_server(None, resumes, 1) else {
            return;
        };
        let database = lives.server.as_ref().expect("it is on a server");
        database.sql(NAPS);
        let died = dies(&lives, time, |database| {
            end_writer(database, "PgSleep");
        });
        assert!(died, "it did not die at the {time}th doubt");
        database.sql("DROP TRIGGER nap ON cairn.journal");
        let end = end(&lives, &format!("not on disk, {time}"));
        assert!(
            end.is_none_or(|end| end == recovered_as(resumes)),
            "{end:?}"
        );
    }
}

#[test]
fn a_process_that_dies_when_it_has_learned_that_its_batch_is_on_disk_does_nothing_twice() {
    let setup = Setup {
        fsync: true,
        ..Setup::default()
    };
    let Some(server) = cairn_test_postgres::own(&setup) else {
        return;
    };
    // It ends with this process.
    let server: &'static Server = Box::leak(Box::new(server));
    let template = with_type(server);
    for (rows, resumes) in [(1, true), (3, false), (6, true)] {
        let died = (0..TRIES).any(|_| {
            let lives = Lives {
                server: Some(server.copy_of(&template)),
                ..Lives::on_a_server(None, resumes, 1).expect("there is a server")
            };
            let at = Mutex::new(Breaking::NotYet);
            let died = dies(&lives, 1, |database| {
                let mut at = at.lock().expect("one thread uses it");
                *at = at.next(server, database, rows);
            });
            wait_for_standbys(server, "");
            if died {
                let end =
                    end(&lives, &format!("on disk, after {rows} rows")).expect("it is on disk");
                // The batch may have been the flow's last.
                assert!(
                    end == recovered_as(resumes) || end == FlowState::Success,
                    "{end:?}"
                );
            }
            died
        });
        assert!(died, "none of {TRIES} lives died after {rows} rows");
    }
}

/// How far the test is with a connection that breaks after a commit: the batch is on disk, and waits for a standby that there is not.
enum Breaking {
    NotYet,
    Waiting,
    Done,
}

impl Breaking {
    fn next(&self, server: &Server, database: &Database<'_>, rows: usize) -> Self {
        let journal = || database.sql("SELECT count(*) FROM cairn.journal");
        match self {
            Self::NotYet if journal().parse::<usize>().expect("a number") >= rows => {
                wait_for_standbys(server, "nobody");
                Self::Waiting
            }
            Self::NotYet => Self::NotYet,
            Self::Waiting if end_writer(database, "SyncRep") => {
                wait_for_standbys(server, "");
                Self::Done
            }
            Self::Waiting => Self::Waiting,
            Self::Done => Self::Done,
        }
    }
}

/// Names the standbys that commits wait for.
fn wait_for_standbys(server: &Server, names: &str) {
    server.configure("synchronous_standby_names", names);
}
