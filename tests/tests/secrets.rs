//! Secrets of the operator in real processes: they reach the servers that they are for, and nothing that is stored or shown.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::guest::Call;
use acceptance::program::{Program, Run};
use acceptance::rust_plugin;
use serde_json::json;

/// The secret that the host adds to requests as a header.
const KEY: &str = "canary-of-the-header-4711";

/// The secret that the plugins read.
const TOKEN: &str = "canary-of-the-plugin-0815";

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

fn component(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = BUILT.get_or_init(|| rust_plugin::build("tests/guests/rust", program));
    built.join(name).with_extension("wasm")
}

/// A server that answers every request with one status, until it is given another.
struct Desk {
    address: SocketAddr,
    status: Arc<Mutex<u16>>,
    /// The requests: their lines and headers.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let desk = Self {
            address: listener.local_addr().expect("an address"),
            status: Arc::new(Mutex::new(200)),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&desk.status), Arc::clone(&desk.requests));
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = *status.lock().expect("no test panics with it");
                answer(stream, status, &requests);
            }
        });
        desk
    }

    fn answers(&self, status: u16) {
        *self.status.lock().expect("no test panics with it") = status;
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no test panics with it"))
    }
}

/// Answers one request, with its key in a header and in the body.
fn answer(mut stream: TcpStream, status: u16, requests: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let mut requests = requests.lock().expect("no test panics with it");
    requests.push(head.join("\n"));
    let answer = format!(
        "HTTP/1.1 {status} Answer\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n{KEY}",
        KEY.len()
    );
    // The plugin may have ended.
    let _ = stream.write_all(answer.as_bytes());
}

/// Everything that was shown or stored.
#[derive(Default)]
struct Shown(Vec<(String, Vec<u8>)>);

impl Shown {
    fn run(&mut self, program: &Program, arguments: &[&str]) -> Run {
        let mut command = program.command(arguments);
        command.env("DESK_TOKEN", TOKEN);
        let run = acceptance::program::end(command.spawn().expect("the program starts"));
        let words = arguments.join(" ");
        self.0
            .push((words, (run.stdout.clone() + &run.stderr).into()));
        run
    }

    /// Adds the files of a folder, except for the one that holds the secret.
    fn files(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("the folder is ours").flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(&path);
            } else if path.file_name().is_none_or(|name| name != "desk.key") {
                let bytes = fs::read(&path).expect("a file of ours");
                self.0.push((path.display().to_string(), bytes));
            }
        }
    }

    /// Returns where a text was shown or stored.
    fn places(&self, text: &str) -> Vec<&str> {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        let places = self.0.iter().filter(|(_, bytes)| holds(bytes));
        places.map(|(place, _)| place.as_str()).collect()
    }
}

const SETTINGS: &str =
    "[secrets]\ndesk = { file = 'desk.key' }\ntoken = { variable = 'DESK_TOKEN' }\n";

/// Writes the settings, and flows with a ticket: the last task of one succeeds, that of the other traps.
fn written(desk: &Desk) -> Program {
    let program = program();
    program.write("cairn.toml", SETTINGS);
    program.write_secret("desk.key", format!("{KEY}\n"));
    for (name, last) in [("succeeds", Call::Behaves), ("fails", Call::Traps)] {
        program.write(&format!("{name}.wat"), last.component());
        let flow = flow(desk.address, name);
        program.write(&format!("{name}.toml"), flow);
    }
    program
}

fn flow(address: SocketAddr, last: &str) -> String {
    format!(
        "[flow]\nname = '{last}'\n\
         [externals.desk]\npath = '{}'\nsettings = {{ url = 'http://{address}/tickets' }}\n\
         [externals.desk.grants]\nsecrets = {{ names = ['token'] }}\n\
         http = {{ allow = ['http://{address}/tickets/*'], auth = {{ header = 'X-API-Key', secret = 'desk' }} }}\n\
         [plugins.asks]\npath = '{}'\nsettings = {{ secret = 'token' }}\n\
         [plugins.asks.grants]\nsecrets = {{ names = ['token'] }}\nexternals = {{ providers = ['desk'] }}\n\
         [plugins.last]\npath = '{last}.wat'\n\
         [[task]]\nplugin = 'asks'\n[[task]]\nplugin = 'last'\n",
        component("desk").display(),
        component("asks").display(),
    )
}

#[test]
fn an_act_names_the_trace_of_its_flow() {
    let desk = Desk::start();
    let program = written(&desk);
    // Nobody takes the traces.
    let traces = "[traces]\nendpoint = 'http://127.0.0.1:9'\n";
    program.write("cairn.toml", format!("{SETTINGS}{traces}"));
    let mut shown = Shown::default();
    let run = shown.run(&program, &["run", "succeeds.toml", "--json"]);
    let id = run.exits(0).json()["flow"]["id"].clone();
    let trace = id.as_str().expect("an id").replace('-', "");
    let [request] = &desk.requests()[..] else {
        panic!("one request");
    };
    let expected = format!("traceparent: 00-{trace}-");
    assert!(request.contains(&expected), "{request}");
}

#[test]
fn a_secret_reaches_its_server_and_nothing_that_is_stored_or_shown() {
    let desk = Desk::start();
    let program = written(&desk);
    let mut shown = Shown::default();

    let trace = ["--log-level", "trace"];
    let run = |shown: &mut Shown, flow: &str, exit| {
        let run = shown.run(&program, &["run", flow, "--json", trace[0], trace[1]]);
        run.exits(exit).json()["flow"]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let succeeded = run(&mut shown, "succeeds.toml", 0);
    let [request] = &desk.requests()[..] else {
        panic!("one request");
    };
    assert!(request.contains(&format!("x-api-key: {KEY}")), "{request}");
    assert!(request.contains(&format!("?token={TOKEN}")), "{request}");
    assert!(!request.contains("traceparent"), "{request}");
    // It is not known whether the ticket is there, until the desk answers again.
    desk.answers(503);
    let unknown = thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let mut shown = Shown::default();
            (run(&mut shown, "fails.toml", 3), shown)
        });
        let since = Instant::now();
        while program.json(&["flow", "list", "--verdict", "unknown", "--json"]) == json!([]) {
            assert!(since.elapsed() < Duration::from_secs(60), "it is not known");
            thread::sleep(Duration::from_millis(50));
        }
        desk.answers(404);
        let (unknown, more) = runs.join().expect("it succeeds");
        shown.0.extend(more.0);
        unknown
    });
    assert!(desk.requests().len() >= 3);

    for id in [&succeeded, &unknown] {
        for command in ["show", "events", "logs"] {
            shown.run(&program, &["flow", command, id]).exits(0);
            shown
                .run(&program, &["flow", command, id, "--json"])
                .exits(0);
        }
    }
    let logs = shown.run(&program, &["flow", "logs", &succeeded]).stdout;
    for line in [
        "desk.make: opens the ticket",
        "desk.make: printed",
        "desk.make: http: PUT http://127.0.0.1:",
        ": 200 (",
    ] {
        assert!(logs.contains(line), "{line} is not in:\n{logs}");
    }
    let report = shown.run(&program, &["flow", "show", &succeeded, "--json"]);
    let result = &report.json()["tasks"][0]["result"];
    assert_eq!(result["length"], TOKEN.len(), "{}", report.stdout);

    for (command, exit) in [
        ("plan succeeds.toml", 0),
        ("plan succeeds.toml --json", 0),
        ("plan succeeds.toml --lock", 0),
        ("config show", 0),
        ("config show --json", 0),
        ("config check", 0),
        ("flow list", 0),
        ("db backup backup", 0),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        shown.run(&program, &words).exits(exit);
    }

    // Errors about the secrets.
    program.write("desk.key", format!("{KEY}\n{KEY}"));
    let broken = run(&mut shown, "succeeds.toml", 3);
    let logs = shown.run(&program, &["flow", "logs", &broken]).stdout;
    assert!(
        logs.contains("the secret `desk` holds characters that a header cannot have"),
        "{logs}"
    );
    let told = "command = ['sh', '-c', 'env | grep DESK_TOKEN; exit 1']";
    program.write(
        "cairn.toml",
        SETTINGS.replace("variable = 'DESK_TOKEN'", told),
    );
    let broken = run(&mut shown, "succeeds.toml", 3);
    let report = shown.run(&program, &["flow", "show", &broken]).stdout;
    assert!(
        report.contains("the secret `token` cannot be read: the command `sh` failed"),
        "{report}"
    );

    shown.files(program.path("cairn.db").parent().expect("a folder"));
    // The search finds what is there.
    assert!(shown.places("x-api-key").len() > 3);
    assert!(shown.places(&succeeded).len() > 3);
    for secret in [KEY, TOKEN] {
        assert_eq!(shown.places(secret), [""; 0], "{secret}");
    }
}

#[test]
fn a_secret_whose_file_others_may_read_is_not_sent() {
    let desk = Desk::start();
    let program = written(&desk);
    fs::remove_file(program.path("desk.key")).expect("it was written");
    program.write("desk.key", KEY);
    let mut shown = Shown::default();
    let report = shown
        .run(&program, &["run", "succeeds.toml", "--json"])
        .exits(3)
        .json();
    assert_eq!(report["rollback"]["verdict"], "clean");
    let id = report["flow"]["id"].as_str().expect("an id");
    let logs = shown.run(&program, &["flow", "logs", id]).stdout;
    assert!(
        logs.contains("desk.key has mode 0644") && logs.contains("chmod 600"),
        "{logs}"
    );
    assert_eq!(desk.requests(), [""; 0]);
}

#[test]
fn a_manifest_gets_no_secret_that_the_operator_does_not_allow() {
    let desk = Desk::start();
    let program = written(&desk);
    let mut shown = Shown::default();
    let http = format!(
        "http = {{ allow = ['http://{}/tickets/*'], auth = {{ header = 'X-API-Key', secret = 'desk' }} }}",
        desk.address
    );
    for (allowed, key) in [
        (
            format!("externals = true, {http}, secrets = {{ names = ['other'] }}"),
            "secrets",
        ),
        (format!("externals = true, {http}"), "secrets"),
        (
            "externals = true, http = { methods = ['PUT'] }, secrets = { names = ['tok*'] }"
                .to_owned(),
            "http",
        ),
    ] {
        program.write(
            "cairn.toml",
            format!("{SETTINGS}[allow]\n\"*\" = {{ {allowed} }}\n"),
        );
        let refused = shown.run(&program, &["run", "succeeds.toml"]).exits(2);
        refused.says(&[&format!("allow.\"*\".{key}"), "cairn.toml"]);
    }
    let allowed = format!("externals = true, {http}, secrets = {{ names = ['tok*'] }}");
    program.write(
        "cairn.toml",
        format!("{SETTINGS}[allow]\n\"*\" = {{ {allowed} }}\n"),
    );
    shown.run(&program, &["run", "succeeds.toml"]).exits(0);
    // A stored plan is bound by today's settings, too.
    let text = fs::read_to_string(program.path("succeeds.toml")).expect("it was written");
    program.write(
        "succeeds.toml",
        text.replace("secret = 'token'", "secret = 'desk'"),
    );
    let report = shown
        .run(&program, &["run", "succeeds.toml", "--json"])
        .exits(3)
        .json();
    assert_eq!(report["error"]["kind"], "NotGranted", "{report}");
}

// ---- Authorities ---------------------------------------------------------------------------------------------------

fn openssl(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A process that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_is_verified_by_the_operators_authorities() {
    let program = written(&Desk::start());
    let folder = program
        .path("cairn.toml")
        .parent()
        .expect("a folder")
        .to_owned();
    program.write("extensions", "subjectAltName=IP:127.0.0.1\n");
    for made in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 \
         -addext keyUsage=critical,keyCertSign",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -out leaf.csr -subj /CN=desk",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out leaf.pem",
    ] {
        let made = openssl(&folder, made).status().expect("openssl is there");
        assert!(made.success());
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address")
        .port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // It answers GET alone: what the PUT has come to is looked up.
    let serve = format!("s_server -accept {address} -cert leaf.pem -key leaf.key -www");
    let _server = Running(openssl(&folder, &serve).spawn().expect("openssl is there"));
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "the server answers"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let flow = flow(address, "succeeds").replace("http://", "https://");
    let limits = "limits = { http_time = '1s' }\n[externals.desk.grants]";
    program.write("tls.toml", flow.replace("[externals.desk.grants]", limits));
    let mut shown = Shown::default();
    for (ca, exit, expected) in [
        ("", 3, "is not trusted"),
        ("[http]\nca = 'ca.pem'\n", 0, ": 200 ("),
    ] {
        program.write("cairn.toml", format!("{SETTINGS}{ca}"));
        let report = shown
            .run(&program, &["run", "tls.toml", "--json"])
            .exits(exit)
            .json();
        let id = report["flow"]["id"].as_str().expect("an id");
        let logs = shown.run(&program, &["flow", "logs", id]).stdout;
        assert!(logs.contains(expected), "{logs}");
    }
    program.write("cairn.toml", "[http]\nca = 'desk.key'\n");
    shown.run(&program, &["config", "check"]).exits(2);
    shown
        .run(&program, &["run", "tls.toml"])
        .exits(2)
        .says(&["the authorities cannot be used", "desk.key"]);
}
