//! Runs the example of objects outside the database against PowerDNS, under load, under `kill -9`, and while PowerDNS does not answer.
//!
//! `cargo test --release --workspace --test dns_record -- --ignored` runs the long form.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::commands::{blocks, copy, run, words};
use acceptance::guest::Call;
use acceptance::powerdns::{self, PowerDns, Way};
use acceptance::program::{Program, repository};
use acceptance::rust_plugin;
use acceptance::tools::{Language, tools};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// The ports in the files of the example: of the API, and of DNS.
const PORTS: [&str; 2] = ["8081", "5300"];

/// Copies the example, and adapts the path of the SDK and the ports. Returns the folder and the port of the API.
fn example(program: &Program) -> (PathBuf, u16) {
    let folder = program.path("dns-record");
    copy(Path::new(&repository("examples/dns-record")), &folder);
    let own = [powerdns::free_port(), powerdns::free_port()];
    for file in ["cairn.toml", "flow.toml", "remove.toml", "server/pdns.conf"] {
        let path = folder.join(file);
        let mut text = fs::read_to_string(&path).expect("a file of the example");
        for (port, own) in PORTS.iter().zip(own) {
            text = text.replace(port, &own.to_string());
        }
        fs::write(&path, text).expect("the folder is ours");
    }
    let sdk = "../../../plugins/sdk";
    for plugin in ["pdns", "name-host", "remove-host"] {
        let manifest = folder.join(plugin).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest");
        assert!(text.contains(sdk), "{text}");
        fs::write(&manifest, text.replace(sdk, &repository("plugins/sdk")))
            .expect("the folder is ours");
    }
    (folder, own[0])
}

/// Returns the commands of the README's block that sets the server up, without the one that starts it, and the others.
fn commands(folder: &Path) -> (Vec<String>, Vec<String>) {
    let readme = fs::read_to_string(folder.join("README.md")).expect("the README");
    let blocks = blocks(&readme);
    let lines = |index: usize| -> Vec<String> {
        let block: &acceptance::commands::Block = &blocks[index];
        block.text.lines().map(str::to_owned).collect()
    };
    let mut set_up = lines(0);
    let start = set_up.pop();
    assert_eq!(
        start.as_deref(),
        Some("pdns_server --config-dir=server > pdns.log &")
    );
    (set_up, lines(1))
}

/// Sets PowerDNS up as the README says, and starts it.
fn started(folder: &Path, port: u16) -> PowerDns {
    for command in commands(folder).0 {
        let done = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder)
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command}: {said}");
    }
    PowerDns::start(folder, port)
}

// ---- Killed ----------------------------------------------------------------------------------------------------------

/// Workers of each process. A flow that is in an act occupies none, so that up to 64 more flows of a process are under way.
const WORKERS: usize = 8;

/// Flows of each kind that end before the processes are killed.
const ENDED: usize = 10;

/// Requests that each process receives; more than it can run before it is killed.
const REQUESTS: usize = 20_000;

/// Hosts that are named by flows of which half fail after that.
struct Hosts {
    program: Program,
    folder: PathBuf,
    port: u16,
    server: Option<PowerDns>,
    way: Way,
}

impl Hosts {
    fn new() -> Self {
        let program = program();
        let (folder, port) = example(&program);
        let server = started(&folder, port);
        let way = Way::open(port);
        for (plugin, file) in [("pdns", "pdns"), ("name-host", "name_host")] {
            let of = format!("examples/dns-record/{plugin}");
            let built = rust_plugin::build(&of, env!("CARGO_BIN_EXE_cairn-under-test"));
            let component = built.join(file).with_extension("wasm");
            let copied = fs::copy(
                component,
                folder.join(plugin).join(format!("{plugin}.wasm")),
            );
            copied.expect("the component is copied");
        }
        let read = |file: &str| fs::read_to_string(folder.join(file)).expect("a file");
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).expect("ours");
        let (own, passing) = (format!(":{port}/"), format!(":{}/", way.address.port()));
        let settings = read("cairn.toml").replace(&own, &passing);
        write("cairn.toml", &settings.replace("10000", "1000000"));
        // The task in Python gives way to one that succeeds, or traps.
        let flow = read("flow.toml").replace(&own, &passing);
        let flow = flow.replace("example.org.\"", "example.org.\", settle = 2");
        assert!(flow.contains("settle"), "{flow}");
        let (flow, _) = flow
            .split_once("[plugins.name-host-python]")
            .expect("it is there");
        for (name, last) in [("succeeds", Call::Behaves), ("fails", Call::Traps)] {
            write(&format!("{name}.wat"), &last.component());
            let flow = flow.replace("name-hosts", name);
            write(
                &format!("{name}.toml"),
                &format!(
                    "{flow}[plugins.last]\npath = '{name}.wat'\n[[task]]\nplugin = 'inject'\n\
                     [[task]]\nplugin = 'name-host'\n[[task]]\nplugin = 'last'\n"
                ),
            );
        }
        Self {
            program,
            folder,
            port,
            server: Some(server),
            way,
        }
    }

    fn run(&self, arguments: &[&str]) -> acceptance::program::Run {
        let mut command = self.program.command(arguments);
        let child = command.current_dir(&self.folder).spawn();
        acceptance::program::end(child.expect("the program starts"))
    }

    /// Starts a process that runs flows of a kind until it is killed.
    fn start(&self, kind: &str) -> Child {
        let workers = WORKERS.to_string();
        let flow = format!("{kind}.toml");
        let mut child = self
            .program
            .command(&["run", &flow, "--jsonl", "--workers", &workers])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let request = "{\"prefix\": \"web\", \"address\": \"192.0.2.7\"}\n";
        // Both threads end when the process is killed.
        thread::spawn(move || stdin.write_all(request.repeat(REQUESTS).as_bytes()));
        thread::spawn(move || {
            let mut told = Vec::new();
            let _ = stdout.read_to_end(&mut told);
        });
        child
    }

    fn database(&self) -> Option<Connection> {
        let path = self.folder.join("cairn.db");
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        database.busy_timeout(Duration::from_secs(20)).ok()?;
        Some(database)
    }

    /// Counts the flows of a kind that ended in a state; none as long as there is no database.
    fn count(&self, kind: &str, state: &str) -> usize {
        let count = self.database().and_then(|database| {
            let query = "SELECT count(*) FROM flows WHERE name = ?1 AND state = ?2";
            let count: i64 = database
                .query_row(query, [kind, state], |row| row.get(0))
                .ok()?;
            usize::try_from(count).ok()
        });
        count.unwrap_or(0)
    }

    /// Returns the flows that `cairn flow list` names as unknown.
    fn unknown(&self) -> Vec<Value> {
        let list = [
            "flow",
            "list",
            "--verdict",
            "unknown",
            "--limit",
            "100000",
            "--json",
        ];
        let flows = self.run(&list).exits(0).json();
        flows.as_array().expect("a list").clone()
    }

    /// Recovers the flows of the dead processes, until all have ended.
    fn recover(&self, when: &str) {
        let since = Instant::now();
        loop {
            let recovered = self.run(&["recover"]);
            let asleep = self.run(&["flow", "list", "--waiting", "--json"]).exits(0);
            // It exits with 4 while something is unknown.
            if recovered.exit == 0 && asleep.json() == Value::Array(Vec::new()) {
                return;
            }
            let is_late = since.elapsed() > Duration::from_secs(120);
            assert!(!is_late, "{when}: {}{}", recovered.stderr, asleep.stdout);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Checks that zone and database agree, and returns the number of hosts.
    #[track_caller]
    fn check(&self, when: &str) -> usize {
        let records = self.run(&["record", "list", "hosts", "--limit", "1000000", "--json"]);
        let records = records.exits(0).json();
        let records = records.as_array().expect("a list");
        let mut numbers = BTreeSet::new();
        let mut names = BTreeSet::new();
        for record in records {
            assert!(
                record["held"].is_null(),
                "{when}: every flow has ended, and {record}"
            );
            let number = record["value"]["number"].as_u64().expect("a number");
            assert!(
                numbers.insert(number),
                "{when}: the number {number} was given twice"
            );
            assert_eq!(record["key"], format!("web-{number}"), "{when}");
            names.insert(format!("web-{number}.example.org"));
        }
        let rows: BTreeSet<(String, String)> = {
            let database = self.database().expect("it is there");
            let mut rows = database
                .prepare("SELECT id, state FROM externals")
                .expect("the schema has objects");
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.expect("rows")
                .collect::<Result<_, _>>()
                .expect("texts")
        };
        let made = rows.iter().filter(|(_, state)| state == "made").count();
        assert_eq!(made, rows.len(), "{when}: {rows:?}");
        let rows: BTreeSet<String> = rows.into_iter().map(|(id, _)| id).collect();
        let zone = self.server.as_ref().expect("it runs").records();
        let zoned: BTreeSet<String> = zone.iter().map(|(name, _)| name.clone()).collect();
        let ids: BTreeSet<String> = zone.iter().map(|(_, id)| id.clone()).collect();
        assert_eq!(
            zoned.len(),
            zone.len(),
            "{when}: no name is in the zone twice"
        );
        if let Some(orphan) = ids.difference(&rows).next() {
            let story = self.story(orphan);
            panic!("{when}: {orphan} is in the zone, and has no row\n{story}");
        }
        if let Some(lost) = rows.difference(&ids).next() {
            let story = self.story(lost);
            panic!("{when}: {lost} has a row, and is not in the zone\n{story}");
        }
        assert_eq!(zoned, names, "{when}: the names of the records");
        let succeeded = self.count("succeeds", "SUCCESS");
        assert_eq!(
            zone.len(),
            succeeded,
            "{when}: a host for each flow that succeeded"
        );
        assert_eq!(self.count("fails", "SUCCESS"), 0);
        zone.len()
    }

    /// Returns the events and the log of the flow that made an object, for messages.
    fn story(&self, object: &str) -> String {
        let list = self
            .run(&["flow", "list", "--limit", "1000000", "--json"])
            .json();
        let flows = list.as_array().expect("a list").iter();
        let mut ids = flows.filter_map(|flow| flow["id"].as_str());
        let story = ids.find_map(|id| {
            let events = self.run(&["flow", "events", id]).stdout;
            events.contains(object).then_some(events)
        });
        story.unwrap_or_else(|| format!("no flow tells of {object}"))
    }

    /// Waits until something is so.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < Duration::from_secs(120), "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Kills the processes that run 64 concurrent flows. Before every other time PowerDNS does not answer for a while, and before some it is
/// killed, too.
fn killed(kills: usize) {
    let mut hosts = Hosts::new();
    let (mut unknown, since) = (0, Instant::now());
    let seconds = || since.elapsed().as_secs_f32();
    for kill in 1..=kills {
        let ended = |hosts: &Hosts| {
            ["succeeds", "fails"]
                .map(|kind| hosts.count(kind, "SUCCESS") + hosts.count(kind, "FAILURE"))
        };
        let before = ended(&hosts);
        let began = seconds();
        let children = ["succeeds", "fails"].map(|kind| hosts.start(kind));
        hosts.until("flows end", || {
            let ended = ended(&hosts);
            (0..2).all(|kind| ended[kind] >= before[kind] + ENDED)
        });
        let ran = seconds();
        let is_cut_off = kill % 2 == 1;
        if is_cut_off {
            hosts.way.close(true);
            hosts.until("`cairn flow list` names what is unknown", || {
                !hosts.unknown().is_empty()
            });
        } else if kill % 4 == 2 {
            hosts.server.take().expect("it runs").kill();
        }
        for mut child in children {
            // SIGKILL.
            child.kill().expect("it is ours");
            child.wait().expect("it was killed");
        }
        if is_cut_off {
            let named = hosts.unknown();
            let one = named.first().expect("it is still unknown")["id"].clone();
            let one = one.as_str().expect("an id");
            let shown = hosts.run(&["flow", "show", one]);
            assert!(shown.stdout.contains("unknown"), "{}", shown.stdout);
            unknown += named.len();
        }
        if hosts.server.is_none() {
            hosts.server = Some(PowerDns::start(&hosts.folder, hosts.port));
        }
        hosts.way.close(false);
        let killed = seconds();
        let when = format!("after kill {kill}");
        hosts.recover(&when);
        let named = hosts.check(&when);
        assert!(hosts.unknown().is_empty(), "{when}");
        println!(
            "{when}: {named} hosts, {} flows rolled back, {unknown} were unknown; {:.1} s of flows, {:.1} s until the kill, {:.1} s of recovery",
            ended(&hosts).iter().sum::<usize>() - named,
            ran - began,
            killed - ran,
            seconds() - killed
        );
    }
}

#[test]
fn sixty_four_flows_that_are_killed_three_times_leave_zone_and_database_in_agreement() {
    let test = "sixty_four_flows_that_are_killed_three_times_leave_zone_and_database_in_agreement";
    if powerdns::is_there(test) {
        killed(3);
    }
}

#[test]
#[ignore = "takes some minutes"]
fn sixty_four_flows_that_are_killed_fifty_times_leave_zone_and_database_in_agreement() {
    let test = "sixty_four_flows_that_are_killed_fifty_times_leave_zone_and_database_in_agreement";
    if powerdns::is_there(test) {
        killed(50);
    }
}

// ---- The commands of the README --------------------------------------------------------------------------------------

/// Checks that the flow that has removed a host is not rolled back.
fn cannot_go_back(program: &Program, folder: &Path) {
    let cairn = |arguments: &[&str]| {
        let child = program.command(arguments).current_dir(folder).spawn();
        acceptance::program::end(child.expect("the program starts"))
    };
    let flows = cairn(&["flow", "list", "--name", "remove-host", "--json"]).json();
    let id = flows[0]["id"].as_str().expect("an id");
    let refused = cairn(&["flow", "rollback", id]).exits(6);
    refused.says(&["has passed its pivot"]);
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let test = "every_command_of_the_readme_does_what_it_says";
    if !powerdns::is_there(test) {
        return;
    }
    let program = program();
    let path: Option<OsString> = tools(&program, Language::Python, test);
    let Some(path) = path else { return };
    let (folder, port) = example(&program);
    let server = started(&folder, port);
    let commands = commands(&folder).1;
    assert!(commands.len() <= 22, "{commands:?}");
    for command in &commands {
        let words = words(command);
        assert!(["cargo", "cairn"].contains(&words[0].as_str()), "{command}");
        let run = run(&program, &folder, &path, &words);
        assert_eq!(run.exit, 0, "{command}\n{}{}", run.stdout, run.stderr);
        if command.starts_with("cairn run flow.toml") {
            let names: Vec<String> = server.records().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["web-1.example.org", "web-2.example.org"]);
        }
        if command.starts_with("cairn run remove.toml") {
            let names: Vec<String> = server.records().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["web-2.example.org"]);
            cannot_go_back(&program, &folder);
        }
    }
    // A flow that fails takes its entry away; the provider in Python does so, too.
    let text = fs::read_to_string(folder.join("flow.toml")).expect("the flow");
    fs::write(folder.join("traps.wat"), Call::Traps.component()).expect("ours");
    for provider in ["pdns/pdns.wasm", "pdns-python/pdns-python.wasm"] {
        let flow = text
            .replace("pdns/pdns.wasm", provider)
            .replace("limits   = {", "limits   = { memory = \"64MiB\",");
        fs::write(folder.join("good.toml"), &flow).expect("ours");
        let traps = "\n[plugins.traps]\npath = \"traps.wat\"\n\n[[task]]\nplugin = \"traps\"\n";
        fs::write(folder.join("bad.toml"), flow + traps).expect("ours");
        let count = server.records().len();
        for (flow, exit, more) in [("bad.toml", 3, 0), ("good.toml", 0, 2)] {
            let command = format!("cairn run {flow} --input request.json --json");
            let done = run(&program, &folder, &path, &words(&command));
            assert_eq!(
                done.exit, exit,
                "{provider}\n{}{}",
                done.stdout, done.stderr
            );
            assert_eq!(
                server.records().len(),
                count + more,
                "{provider}: {}",
                done.stdout
            );
            let id = done.json()["flow"]["id"]
                .as_str()
                .expect("an id")
                .to_owned();
            let logs = run(
                &program,
                &folder,
                &path,
                &words(&format!("cairn flow logs {id}")),
            );
            let made = "pdns.make: http: PATCH http://127.0.0.1:";
            assert!(logs.stdout.contains(made), "{provider}: {}", logs.stdout);
        }
    }
}
