//! A running `cairn serve`, and a client of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::tls::TlsConfig;

use crate::program::{self, Program, Run};

/// How long a server may take to start, and a request to be answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of a free port.
const FREE: &str = "127.0.0.1:0";

/// A server in a program's folder.
pub struct Serving {
    child: Option<Child>,
    /// `ADDRESS:PORT`, with `https://` before it if the server speaks TLS.
    pub address: String,
    messages: Option<std::thread::JoinHandle<String>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Serving {
    /// Starts a server on a free port, and waits until flows can be submitted.
    pub fn start(program: &Program, arguments: &[&str]) -> Self {
        Self::open(program, arguments).when_ready()
    }

    /// Starts a server in a folder on a free port, and waits until flows can be submitted.
    pub fn start_in(program: &Program, folder: &Path, arguments: &[&str]) -> Self {
        Self::open_at(program, folder, FREE, arguments).when_ready()
    }

    /// Starts a server at this address, and waits until flows can be submitted.
    pub fn start_at(program: &Program, address: &str) -> Self {
        Self::open_at(program, &program.path(""), address, &[]).when_ready()
    }

    fn when_ready(self) -> Self {
        let begun = Instant::now();
        while self.get("/readyz").status != 200 {
            assert!(begun.elapsed() < PATIENCE, "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Starts a server on a free port.
    pub fn open(program: &Program, arguments: &[&str]) -> Self {
        Self::open_at(program, &program.path(""), FREE, arguments)
    }

    /// Starts a server on a free port that survives writes beyond [`limit_files`](Self::limit_files).
    pub fn start_bounded(program: &Program) -> Self {
        let command = program.command(&[]);
        let served = command.get_program().to_owned();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#])
            .arg(served)
            .args(["serve", "--listen", FREE])
            .current_dir(program.path(""))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        Self::spawn(&mut shell).when_ready()
    }

    /// Lets no file of the server's process grow beyond so many bytes; what it writes there fails, as on a full disk. `None` ends that.
    pub fn limit_files(&self, most: Option<u64>) {
        let most = most.map_or("unlimited".to_owned(), |most| most.to_string());
        let limited = Command::new("prlimit")
            .args([
                "--pid",
                &self.pid().to_string(),
                &format!("--fsize={most}:"),
            ])
            .status();
        assert!(limited.is_ok_and(|status| status.success()), "prlimit");
    }

    fn open_at(program: &Program, folder: &Path, address: &str, arguments: &[&str]) -> Self {
        let listen = ["serve", "--listen", address];
        let mut command = program.command(&[&listen[..], arguments].concat());
        Self::spawn(command.current_dir(folder))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut before = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("messages are UTF-8");
            assert!(read > 0, "the server ended: {before}");
            if let Some((_, address)) = line.trim().split_once("listening on ") {
                // In a log of JSON more follows.
                let address = address.split('"').next().unwrap_or(address);
                break address.trim_start_matches("http://").to_owned();
            }
            before += &line;
        };
        let messages = std::thread::spawn(move || {
            let mut messages = before;
            // What is no UTF-8 is no message.
            let _ = lines.read_to_string(&mut messages);
            messages
        });
        Self {
            child: Some(child),
            address,
            messages: Some(messages),
        }
    }

    /// Returns the id of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends it by this signal, and waits for its end.
    pub fn end(self, signal: i32) -> Run {
        let pid = i32::try_from(self.pid()).expect("a process id");
        kill(pid, signal);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Run {
        let child = self.child.take().expect("it runs");
        let mut run = program::end(child);
        let messages = self.messages.take().expect("it has not ended");
        run.stderr = messages.join().expect("messages are read");
        run
    }

    /// Kills it.
    pub fn kill(self) {
        self.end(9);
    }

    /// Sends a request with these headers.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        send(&self.address, method, path, headers, body)
    }

    /// Reads a path.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    /// Posts JSON with further headers.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", path, &headers, Some(&body.to_string()))
    }

    /// Reads server-sent events until one of this name, or the end of the stream.
    pub fn events(&self, path: &str, headers: &[(&str, &str)], until: &str) -> Vec<Sent> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        write!(stream, "{request}\r\n").expect("it takes requests");
        let mut events = vec![Sent::default()];
        for line in BufReader::new(stream).lines() {
            let line = line.expect("events are UTF-8");
            let line = line.trim_end();
            let last = events.last_mut().expect("there is one");
            match line.split_once(": ") {
                Some(("event", name)) => last.name = name.to_owned(),
                Some(("id", id)) => last.id = id.parse().ok(),
                Some(("data", data)) => last.data = serde_json::from_str(data).expect("JSON"),
                _ if line.is_empty() && !last.name.is_empty() => {
                    if last.name == until {
                        return events;
                    }
                    events.push(Sent::default());
                }
                _ => {}
            }
        }
        events.retain(|event| !event.name.is_empty());
        events
    }
}

/// Sends a signal to a process of ours.
fn kill(pid: i32, signal: i32) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "it runs");
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server-sent event.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<i64>,
    /// Its data.
    pub data: Value,
}

/// Sends a request to an address.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    try_send(address, method, path, headers, body)
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// Sends a request to an address where a server may not be.
///
/// # Errors
/// When the connection is refused or breaks.
pub fn try_send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Answer, ureq::Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        // The certificates of tests are signed by nobody.
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .timeout_global(Some(PATIENCE))
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut request =
        ureq::http::Request::builder()
            .method(method)
            .uri(match address.contains("://") {
                true => format!("{address}{path}"),
                false => format!("http://{address}{path}"),
            });
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.unwrap_or_default().to_owned());
    let mut answer = agent.run(request.expect("a request"))?;
    let headers = answer.headers().iter().map(|(name, value)| {
        let value = value.to_str().unwrap_or_default();
        (name.as_str().to_owned(), value.to_owned())
    });
    Ok(Answer {
        status: answer.status().as_u16(),
        headers: headers.collect(),
        body: answer.body_mut().read_to_string()?,
    })
}

impl Answer {
    /// Asserts its status, and returns it.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Asserts its status and the kind of its problem.
    #[track_caller]
    pub fn is_problem(self, status: u16, kind: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem = answer.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        answer
    }

    /// Returns its body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the field `id` of its body.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json()["id"].as_str().expect("it has an id").to_owned()
    }
}
