//! Runs the example of records under load and under `kill -9`: 64 concurrent flows take names, half of them fail.
//!
//! `cargo test --release --workspace --test name_pool -- --ignored` runs the long form.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::commands::{blocks, copy, run, words};
use acceptance::guest::Call;
use acceptance::program::{Program, repository};
use acceptance::rust_plugin;
use acceptance::tools::{Language, tools};
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::history::History;
use cairn::store::view::{FlowFilter, Reader};
use cairn::{Domains, Identity, Report, SqliteConfig, Verdict, records, volumes};
use serde_json::Value;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

// ---- Killed ----------------------------------------------------------------------------------------------------------

/// Flows of each kind that one process runs concurrently.
const FLOWS: usize = 32;

/// Requests that each process receives; more than it can run before it is killed.
const REQUESTS: usize = 20_000;

/// A pool whose flows take two names each, and then succeed or fail.
struct Pool(Program);

impl Pool {
    fn new() -> Self {
        let program = program();
        let built = rust_plugin::build(
            "examples/name-pool/rust",
            env!("CARGO_BIN_EXE_cairn-under-test"),
        );
        fs::copy(built.join("take_name.wasm"), program.path("take-name.wasm"))
            .expect("the component is copied");
        program.write("traps.wat", Call::Traps.component());
        program.write("behaves.wat", Call::Behaves.component());
        let example = |name: &str| {
            fs::read(repository(&format!("examples/name-pool/{name}")))
                .expect("a file of the example")
        };
        program.write("name.schema.json", example("name.schema.json"));
        let config = String::from_utf8(example("cairn.toml")).expect("UTF-8");
        program.write("cairn.toml", config.replace("10000", "1000000"));
        for (name, last) in [("succeeds", "behaves"), ("fails", "traps")] {
            let grant = "grants = { records = { collections = [\"names\"] } }";
            let flow = format!(
                "[flow]\nname = '{name}'\n\
                 [plugins.inject]\nbuiltin = 'inject'\nsettings = {{ provides = ['prefix'] }}\n\
                 [plugins.take-name]\npath = 'take-name.wasm'\n{grant}\n\
                 [plugins.last]\npath = '{last}.wat'\n\
                 [[task]]\nplugin = 'inject'\n\
                 [[task]]\nplugin = 'take-name'\nname = 'one'\n\
                 [[task]]\nplugin = 'take-name'\nname = 'two'\n\
                 [[task]]\nplugin = 'last'\n"
            );
            program.write(&format!("{name}.toml"), flow);
        }
        Self(program)
    }

    /// Starts a process that runs flows of a kind until it is killed.
    fn start(&self, kind: &str) -> Child {
        let workers = FLOWS.to_string();
        let flow = format!("{kind}.toml");
        let mut child = self
            .0
            .command(&["run", &flow, "--jsonl", "--workers", &workers])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let requests = "{\"prefix\": \"host\"}\n".repeat(REQUESTS);
        // Both threads end when the process is killed.
        thread::spawn(move || stdin.write_all(requests.as_bytes()));
        thread::spawn(move || {
            let mut told = Vec::new();
            let _ = stdout.read_to_end(&mut told);
        });
        child
    }

    /// Returns the number of flows in a state.
    fn count(&self, state: &str) -> usize {
        let flows = self.0.run(&[
            "flows", "list", "--state", state, "--limit", "1000000", "--json",
        ]);
        match flows.exit {
            0 => flows.json().as_array().map_or(0, Vec::len),
            // The database does not exist yet.
            _ => 0,
        }
    }

    /// Recovers the flows that were left behind, and checks the invariants; returns the numbers of flows that succeeded and failed.
    #[track_caller]
    fn check(&self, when: &str) -> (usize, usize) {
        let recovered = self.0.run(&["recover"]);
        assert_eq!(recovered.exit, 0, "{when}: {}", recovered.stderr);
        let records = self.0.json(&["record", "list", "names", "--json"]);
        let records = records.as_array().expect("a list");
        let mut numbers = BTreeSet::new();
        for record in records {
            assert!(
                record["held"].is_null(),
                "{when}: every flow has ended, and {record}"
            );
            let number = record["value"]["number"].as_u64().expect("a number");
            assert!(
                numbers.insert(number),
                "{when}: the number {number} is in two records"
            );
            assert_eq!(record["key"], format!("host-{number}"), "{when}");
        }
        let counters = self.0.json(&["record", "counters", "names", "--json"]);
        let taken = counters[0].clone();
        assert_eq!(
            taken["value"],
            records.len(),
            "{when}: the counter is the number of the records"
        );
        assert_eq!(
            (&taken["pending_up"], &taken["pending_down"]),
            (&0.into(), &0.into()),
            "{when}"
        );
        let flows = self.flows();
        let count = |state, verdict| {
            flows
                .iter()
                .filter(|flow| **flow == (state, verdict))
                .count()
        };
        let succeeded = count(FlowState::Success, None);
        // A flow that died before its first task has nothing to roll back.
        let failed =
            count(FlowState::Failure, Some(Verdict::Clean)) + count(FlowState::Failure, None);
        assert_eq!(
            succeeded + failed,
            flows.len(),
            "{when}: every flow succeeded, or was rolled back clean"
        );
        assert_eq!(
            records.len(),
            2 * succeeded,
            "{when}: two names for each flow that succeeded, and none else"
        );
        (succeeded, failed)
    }

    /// Checks that an operator cannot change a key that a flow of a dead process holds, and that the error names the flow; there usually is
    /// one.
    #[track_caller]
    fn keeps_what_is_held(&self) {
        let records = self.0.json(&["record", "list", "names", "--json"]);
        let mut records = records.as_array().expect("a list").iter();
        let Some(record) = records.find(|record| !record["held"].is_null()) else {
            return;
        };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (key, flow) = (text(&record["key"]), text(&record["held"]["flow"]));
        let value = r#"{"number": 1, "user": "root"}"#;
        let release = [
            "record",
            "release",
            "names",
            &key,
            "--flow",
            &flow,
            "--reason",
            "it is dead",
        ];
        for change in [
            &["record", "put", "names", &key, value][..],
            &["record", "remove", "names", &key],
            &release,
        ] {
            self.0.run(change).exits(6).says(&[&flow]);
        }
    }

    /// Returns the end of each flow: its state, and the verdict on its rollback.
    fn flows(&self) -> Vec<(FlowState, Option<Verdict>)> {
        let text = fs::read_to_string(self.0.path("cairn.toml")).expect("the settings");
        let settings = records::Settings::parse(&text, &self.0.path("cairn.toml"));
        let records = records::domain(settings.expect("they are the example's"));
        let domains = Domains::new([volumes::domain(volumes::Settings::default()), records]);
        let config = SqliteConfig {
            domains: domains.expect("two domains"),
            ..SqliteConfig::default()
        };
        let reader = Reader::open(&self.0.path("cairn.db"), config, Arc::new(SystemClock));
        let reader = reader.expect("the database opens");
        let nobody = Identity::default();
        let view = reader.view(&nobody);
        let flows = view
            .flows(FlowFilter::default(), usize::MAX)
            .expect("flows");
        let ends = flows.iter().map(|flow| {
            let journal = view.journal(flow.id).expect("a journal");
            let history = History::fold(&journal, view.domains()).expect("a beginning");
            let rollback = Report::new(flow.id, &history).rollback;
            (flow.state, rollback.map(|rollback| rollback.verdict))
        });
        ends.collect()
    }
}

/// Kills the processes that run 64 concurrent flows, each time after some flows of both kinds have ended.
fn killed(kills: usize) {
    let pool = Pool::new();
    for kill in 0..kills {
        let before = (pool.count("SUCCESS"), pool.count("FAILURE"));
        let children = ["succeeds", "fails"].map(|kind| pool.start(kind));
        let since = Instant::now();
        while pool.count("SUCCESS") < before.0 + 20 || pool.count("FAILURE") < before.1 + 20 {
            assert!(since.elapsed() < Duration::from_secs(120), "flows end");
            thread::sleep(Duration::from_millis(5));
        }
        for mut child in children {
            // SIGKILL.
            child.kill().expect("it is ours");
            child.wait().expect("it was killed");
        }
        pool.keeps_what_is_held();
        let (succeeded, failed) = pool.check(&format!("after kill {}", kill + 1));
        assert!(succeeded >= before.0 + 20 && failed >= before.1 + 20);
    }
    // The sequence continues after the highest number ever returned.
    let records = pool.0.json(&["record", "list", "names", "--json"]);
    let most = |records: &Value| {
        let numbers = records.as_array().expect("a list").iter();
        numbers
            .filter_map(|record| record["value"]["number"].as_u64())
            .max()
    };
    let before = most(&records).expect("a record");
    pool.0.write("request.json", "{\"prefix\": \"host\"}");
    pool.0
        .run(&["run", "succeeds.toml", "--input", "request.json"])
        .exits(0);
    let after = most(&pool.0.json(&["record", "list", "names", "--json"])).expect("a record");
    assert!(after >= before + 2, "{after} after {before}");
}

#[test]
fn sixty_four_flows_that_are_killed_five_times_give_no_number_twice_and_count_every_record() {
    killed(5);
}

#[test]
#[ignore = "takes some minutes"]
fn sixty_four_flows_that_are_killed_fifty_times_give_no_number_twice_and_count_every_record() {
    killed(50);
}

// ---- The commands of the README --------------------------------------------------------------------------------------

/// Copies the example, and adapts the path of the SDK.
fn example(program: &Program) -> PathBuf {
    let folder = program.path("name-pool");
    copy(Path::new(&repository("examples/name-pool")), &folder);
    let manifest = folder.join("rust/Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let sdk = "../../../plugins/sdk";
    assert!(text.contains(sdk), "{text}");
    fs::write(&manifest, text.replace(sdk, &repository("plugins/sdk")))
        .expect("the folder is ours");
    folder
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let program = program();
    let test = "every_command_of_the_readme_does_what_it_says";
    let python: Option<OsString> = tools(&program, Language::Python, test);
    let folder = example(&program);
    let readme = fs::read_to_string(folder.join("README.md")).expect("the README");
    let blocks = blocks(&readme);
    let commands: Vec<&str> = blocks[0].text.lines().collect();
    assert!(commands.len() <= 12, "{commands:?}");
    let Some(path) = python else { return };
    for command in commands {
        let words = words(command);
        assert!(["cargo", "cairn"].contains(&words[0].as_str()), "{command}");
        let run = run(&program, &folder, &path, &words);
        assert_eq!(run.exit, 0, "{command}\n{}{}", run.stdout, run.stderr);
    }
    let shown = run(
        &program,
        &folder,
        &path,
        &words("cairn record list names --json"),
    );
    let keys: Vec<Value> = shown
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|record| record["key"].clone())
        .collect();
    assert_eq!(keys, ["host-1", "host-2"]);
}
