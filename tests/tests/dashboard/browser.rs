//! The dashboard in Chromium. The steps are in `tests/browser/*.mjs`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use acceptance::corpus::Guest;
use acceptance::program::{Program, repository};
use acceptance::serving::Serving;
use acceptance::tools::not_run;
use serde_json::{Value, json};

use super::{HOSTILE, deployed, submit};

/// A flow of a task that logs until it is ended.
pub(super) const FLOOD: &str = r#"
    flow = { name = "flood" }
    plugins.flood = { path = "flood.wasm", limits = { log_bytes = "16MiB", host_calls = 20000, deadline = "60s" } }
    task = [{ plugin = "flood" }]
"#;

/// Where Debian has its browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Installs what the scripts need, once, below `target/`. Returns the folder; `None`, and says so, when this machine cannot.
pub(super) fn scripts(program: &Program, test: &str) -> Option<PathBuf> {
    match install(program) {
        Ok(folder) => Some(folder),
        Err(reason) => {
            not_run(test, "Chromium, Node.js and npm", &reason);
            None
        }
    }
}

fn install(program: &Program) -> Result<PathBuf, String> {
    if !Path::new(CHROMIUM).exists() {
        return Err(format!("{CHROMIUM} is not there"));
    }
    let source = PathBuf::from(repository("tests/browser"));
    let folder = program.beside("acceptance-browser");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // Tests run in several processes with several threads each.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    for file in fs::read_dir(&source).map_err(|error| error.to_string())? {
        let file = file.map_err(|error| error.to_string())?;
        let is_new = file.file_name() != "package.json";
        let to = folder.join(file.file_name());
        if is_new {
            fs::copy(file.path(), to).map_err(|error| error.to_string())?;
        }
    }
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let wanted = read(source.join("package.json"));
    if read(folder.join("package.json")) == wanted && folder.join("node_modules").is_dir() {
        return Ok(folder);
    }
    let _ = fs::remove_dir_all(folder.join("node_modules"));
    fs::copy(
        source.join("package-lock.json"),
        folder.join("package-lock.json"),
    )
    .and_then(|_| fs::copy(source.join("package.json"), folder.join("package.json")))
    .map_err(|error| error.to_string())?;
    let installed = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`npm` is not there: {error}"))?;
    match installed.status.success() {
        true => Ok(folder),
        false => {
            let _ = fs::remove_file(folder.join("package.json"));
            Err(String::from_utf8_lossy(&installed.stderr).into_owned())
        }
    }
}

/// A script that drives a browser.
pub(super) struct Script {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    input: ChildStdin,
}

impl Script {
    /// Starts a script with what it needs to know.
    pub(super) fn start(folder: &Path, name: &str, given: &Value) -> Self {
        let mut child = Command::new("node")
            .arg(name)
            .arg(given.to_string())
            .env("CHROMIUM", CHROMIUM)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node starts");
        Self {
            lines: BufReader::new(child.stdout.take().expect("it is piped")),
            input: child.stdin.take().expect("it is piped"),
            child,
        }
    }

    /// Waits for a line of the script, which says what it has come to.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Returns its next line.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it is UTF-8");
        line.trim().to_owned()
    }

    /// Lets it go on.
    fn goes_on(&mut self) {
        writeln!(self.input, "go on").expect("it runs");
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(super) fn ends(mut self) {
        self.says("done");
        assert!(self.child.wait().expect("it runs").success());
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, name: &str, serving: &Serving, mut given: Value) {
    given["url"] = format!("http://{}", serving.address).into();
    Script::start(folder, name, &given).ends();
}

#[test]
fn the_reason_of_a_failure_is_three_clicks_away() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    submit(&serving, "greet", &json!({"name": "Ada"}));
    let id = submit(&serving, "greet", &json!({"name": "fail"}));
    run(&folder, "reason.mjs", &serving, json!({"id": id}));
}

#[test]
fn a_flow_is_rolled_back_with_the_keyboard_alone() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": "Ada"}));
    run(&folder, "keyboard.mjs", &serving, json!({"id": id}));
}

#[test]
fn an_open_page_survives_its_server() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "waits", &json!({"name": "Ada"}));
    let address = serving.address.clone();
    let given = json!({"url": format!("http://{address}"), "id": id});
    let mut script = Script::start(&folder, "restart.mjs", &given);
    script.says("live");
    serving.kill();
    script.goes_on();
    script.says("lost");
    let serving = Serving::start_at(&program, &address);
    script.goes_on();
    script.says("back");
    let signal = json!({"name": "approved", "payload": {}});
    serving
        .post(&format!("/v1/flows/{id}/signal"), &signal)
        .is(200);
    script.goes_on();
    script.ends();
}

#[test]
fn a_hostile_name_does_nothing() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "greet", &json!({"name": HOSTILE}));
    run(&folder, "hostile.mjs", &serving, json!({"id": id}));
}

#[test]
fn a_list_counts_new_flows_and_does_not_move() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    let waits = submit(&serving, "waits", &json!({"name": "Ada"}));
    run(&folder, "list.mjs", &serving, json!({"waits": waits}));
}

#[test]
fn a_flow_of_twenty_thousand_events_opens_in_a_second() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    program
        .write("flood.wasm", Guest::LogFlood.bytes())
        .write("flood.toml", FLOOD);
    program.run(&["flow", "deploy", "flood.toml"]).exits(0);
    let serving = Serving::start(&program, &[]);
    let id = submit(&serving, "flood", &json!({}));
    run(&folder, "many.mjs", &serving, json!({"id": id}));
}

#[test]
fn pages_are_accessible_in_both_colour_schemes() {
    let program = deployed("");
    let Some(folder) = scripts(&program, "dashboard") else {
        return;
    };
    let serving = Serving::start(&program, &[]);
    submit(&serving, "greet", &json!({"name": "Ada"}));
    let failed = submit(&serving, "greet", &json!({"name": "fail"}));
    let waits = submit(&serving, "waits", &json!({"name": "Bea"}));
    let version = serving.get("/ui/deployed/greet/1").is(200).body;
    let wit = version.split('"').find(|part| part.contains("?component="));
    run(
        &folder,
        "axe.mjs",
        &serving,
        json!({"failed": failed, "waits": waits, "wit": wit}),
    );
}
