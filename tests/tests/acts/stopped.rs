//! A process is stopped in an act until its lease is over, and goes on later: its flow waits for its end, and nothing is left.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use acceptance::acts::{Death, Faults, Host, Life, Task, WORLD};
use acceptance::program::{Program, end};
use acceptance::slow::{eventually, send};
use cairn_test_postgres::Database;
use serde_json::{Value, json};

/// The lease of each process. The clock of the database decides that it is over: that of a server, or that of the next life.
const LEASE: Duration = Duration::from_secs(2);

/// How far the clock of each life is ahead of that of the life before.
const LATER: Duration = Duration::from_secs(86_400);

/// What a process reports whose flows were taken over.
const FENCED: &str = "another process took this one's flows over";

/// A database, and a folder with the objects and a folder of locks for each process.
struct Place {
    program: Program,
    server: Option<Database<'static>>,
    fences: bool,
    /// Whether the last task of flows fails.
    fails: bool,
    /// Whether flows go on when their process was lost.
    resumes: bool,
    lived: u32,
}

/// The place of a database in a file, and that of one on a server if there is one.
fn places(fences: bool) -> Vec<Place> {
    let servers = [None].into_iter();
    let servers =
        servers.chain(cairn_test_postgres::shared().map(|server| Some(server.database())));
    let places = servers.map(|server| {
        let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
        if let Some(database) = &server {
            program.write("cairn.toml", database.settings(""));
        }
        std::fs::create_dir(program.path(WORLD)).expect("the folder is ours");
        program.run(&["zone", "create", "nova"]).exits(0);
        Place {
            program,
            server,
            fences,
            fails: false,
            resumes: false,
            lived: 0,
        }
    });
    places.collect()
}

impl Place {
    /// Starts a process with a folder of locks of its own.
    fn start(&mut self, task: Task, stops: Option<&str>) -> Child {
        self.lived += 1;
        let life = Life {
            folder: self.program.path("."),
            task,
            later: LATER * self.lived,
            fails: self.fails,
            resumes: self.resumes,
            faults: Faults::default(),
            mistake: None,
            dies: stops.map(|point| Death {
                point: point.to_owned(),
                time: 1,
            }),
            host: Host {
                server: self.server.as_ref().map(Database::url),
                locks: Some(self.program.path(&format!("locks-{}", self.lived))),
                lease: Some(LEASE),
                stops: true,
                fences: self.fences,
            },
        };
        Command::new(env!("CARGO_BIN_EXE_acts-child"))
            .arg(serde_json::to_string(&life).expect("a life is JSON"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the child starts")
    }

    /// Starts a process that runs a flow and is stopped at a point of an act, and waits until its lease is over.
    fn stopped_at(&mut self, task: Task, point: &str) -> Child {
        let mut child = self.start(task, Some(point));
        eventually("it stops", || {
            let ended = child.try_wait().expect("it is ours");
            assert!(ended.is_none(), "it ended before {point}: {ended:?}");
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
            stat.is_ok_and(|stat| stat.contains(") T"))
        });
        if let Some(server) = &self.server {
            let is_over = "SELECT expires_at < clock_timestamp() FROM cairn.hosts";
            eventually("its lease is over", || server.sql(is_over) == "t");
        }
        child
    }

    /// Runs another process to its end.
    fn run(&mut self, task: Task) {
        end(self.start(task, None)).exits(0);
    }

    fn objects(&self) -> usize {
        let objects = std::fs::read_dir(self.program.path(WORLD));
        objects.expect("the folder is ours").count()
    }

    /// Returns the newest flow, as `flow show` describes it.
    fn flow(&self) -> Value {
        // The newest comes first.
        let flows = self.program.json(&["flow", "list", "--json"]);
        let id = flows[0]["id"].as_str().expect("an id");
        self.program.json(&["flow", "show", id, "--json"])
    }

    /// Returns the hosts that may be in acts although their leases are over.
    fn ended(&self) -> Vec<Value> {
        let hosts = self.program.json(&["host", "list", "--json"]);
        let hosts = hosts.as_array().expect("a list").iter();
        hosts
            .filter(|host| host["ended"] == true)
            .cloned()
            .collect()
    }

    /// Asserts that the flow waits until it is known that a process has ended; returns that host's id.
    #[track_caller]
    fn waits_for(&self, process: &Child) -> String {
        let ended = self.ended();
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert_eq!(
            (&ended[0]["pid"], &ended[0]["acts"]),
            (&json!(process.id()), &json!(1))
        );
        let host = ended[0]["id"].as_str().expect("an id").to_owned();
        let flow = self.flow();
        let reason = match flow["flow"]["state"].as_str() {
            Some("REVERTING") => {
                assert_eq!(flow["rollback"]["verdict"], "unknown", "{flow:#}");
                let residue = flow["rollback"]["residue"].as_array().expect("a list");
                let unknown = residue.iter().find(|left| left["fate"] == "unknown");
                unknown.and_then(|left| left["reason"].as_str())
            }
            Some("RUNNING") => flow["flow"]["sleep"]["error"]["message"].as_str(),
            other => panic!("{other:?}"),
        };
        let reason = reason.unwrap_or_default();
        let named = format!("the host {host} (");
        let process = format!("process {}) may still be in an act on it", process.id());
        assert!(
            reason.contains(&named) && reason.contains(&process),
            "{flow:#}"
        );
        host
    }

    /// Asserts that the flow is rolled back, and that nothing is left.
    #[track_caller]
    fn is_clean(&self) {
        let flow = self.flow();
        assert_eq!(flow["rollback"]["verdict"], "clean", "{flow:#}");
        assert_eq!(self.objects(), 0);
        assert_eq!(self.ended(), Vec::<Value>::new());
    }
}

#[test]
fn a_flow_waits_for_the_end_of_a_process_that_is_stopped_in_an_act() {
    for (point, fails) in [
        ("MakeBegun", false),
        ("PartWritten", false),
        ("ObjectWhole", false),
        ("RemovalBegun", true),
    ] {
        for mut place in places(false) {
            place.fails = fails;
            let stopped = place.stopped_at(Task::Run, point);
            let before = place.objects();
            for _ in 0..2 {
                place.run(Task::Look);
                place.waits_for(&stopped);
                assert_eq!(place.objects(), before, "{point}");
            }
            send(&stopped, "-CONT");
            let run = end(stopped).exits(1);
            assert!(run.stderr.contains(FENCED), "{}", run.stderr);
            // Its act has happened.
            let left = place.objects();
            assert_eq!(left, 1, "{point}");
            place.run(Task::Recover);
            place.is_clean();
        }
    }
}

#[test]
fn a_flow_that_goes_on_waits_for_the_end_of_the_process_too() {
    // One whose task is called again, and one that has passed its pivot.
    for (task, point, left) in [
        (Task::Run, "MakeBegun", 2),
        (Task::Remove, "RemovalBegun", 0),
    ] {
        for mut place in places(false) {
            place.resumes = true;
            if task == Task::Remove {
                place.run(Task::Run);
            }
            let stopped = place.stopped_at(task, point);
            let before = place.objects();
            place.run(Task::Look);
            place.waits_for(&stopped);
            assert_eq!(place.objects(), before);
            send(&stopped, "-CONT");
            end(stopped).exits(1);
            place.run(Task::Recover);
            assert_eq!(place.flow()["flow"]["state"], "SUCCESS");
            assert_eq!(place.objects(), left, "{point}");
            assert_eq!(place.ended(), Vec::<Value>::new());
        }
    }
}

#[test]
fn a_flow_whose_provider_fences_is_taken_over_at_once() {
    for mut place in places(true) {
        let stopped = place.stopped_at(Task::Run, "MakeBegun");
        place.run(Task::Recover);
        place.is_clean();
        send(&stopped, "-CONT");
        end(stopped).exits(1);
        assert_eq!(place.objects(), 0, "its act was refused");
    }
}

#[test]
fn a_flow_is_taken_over_when_an_operator_says_that_its_process_is_dead() {
    for mut place in places(false) {
        let mut stopped = place.stopped_at(Task::Run, "PartWritten");
        place.run(Task::Look);
        let host = place.waits_for(&stopped);
        let refused = place.program.run(&["host", "end", &host]).exits(6);
        refused.says(&[
            "was ended before, and its process may be alive",
            "1 act outside the database",
            "--dead",
        ]);
        let ended = place
            .program
            .run(&["host", "end", &host, "--dead"])
            .exits(0);
        ended.says(&[&host, "is ended"]);
        place.run(Task::Recover);
        place.is_clean();
        stopped.kill().expect("it is ours");
        stopped.wait().expect("it ends");
        assert_eq!(place.objects(), 0);
    }
}
