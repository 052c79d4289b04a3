//! Checks the files in `host/package/`: the unit of systemd, the settings that they install, and the container.

use std::fs;
use std::process::Command;

use acceptance::program::{Program, repository};
use acceptance::serving::Serving;
use acceptance::tools::not_run;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

fn package(name: &str) -> String {
    let path = repository(&format!("host/package/{name}"));
    fs::read_to_string(path).expect("a file of the package")
}

/// Returns the lines of a file without comments. Lines that end with a backslash are joined.
fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", "");
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Returns the values of a key of the unit.
fn values(key: &str) -> Vec<String> {
    let unit = lines(&package("cairn.service"));
    let pairs = unit.iter().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[test]
fn systemd_accepts_the_unit_and_finds_the_service_confined() {
    let test = "systemd_accepts_the_unit_and_finds_the_service_confined";
    if let Err(error) = Command::new("systemd-analyze").arg("--version").output() {
        return not_run(test, "systemd-analyze (systemd)", &error.to_string());
    }
    // The program and its manual page are not installed here.
    let here = env!("CARGO_BIN_EXE_cairn-under-test");
    let unit = package("cairn.service")
        .replace("/usr/local/bin/cairn", here)
        .replace("Documentation=man:cairn-serve(1)\n", "");
    let program = program();
    program.write("cairn.service", unit);
    let analyze = |arguments: &[&str]| {
        let ran = Command::new("systemd-analyze")
            .args(arguments)
            .arg(program.path("cairn.service"))
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("systemd-analyze is there");
        let said = [ran.stdout, ran.stderr].concat();
        (
            ran.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (is_valid, said) = analyze(&["verify"]);
    // It looks at other units of this machine, too.
    let ours = said.lines().filter(|line| line.contains("cairn"));
    assert_eq!(ours.collect::<Vec<_>>(), [""; 0]);
    assert!(is_valid, "{said}");
    // 2.0 of 10; without any confinement it is 9.6.
    let (is_confined, said) = analyze(&["security", "--offline=yes", "--threshold=20"]);
    assert!(is_confined, "{said}");
}

#[test]
fn the_unit_lets_wasmtime_run_and_flows_end() {
    // wasmtime makes pages executable; locks record the kernel's boot id.
    assert_eq!(values("MemoryDenyWriteExecute"), [""; 0]);
    assert_eq!(values("ProcSubset"), [""; 0]);
    // The compiler's process limits itself.
    let calls = values("SystemCallFilter");
    assert_eq!(calls, ["@system-service", "~@privileged"]);
    assert_eq!(values("RestartPreventExitStatus"), ["2"]);
    assert_eq!(values("Restart"), ["on-failure"]);
    assert_eq!(values("KillMode"), ["mixed"]);
    // An act of a provider takes a minute at most, unless a manifest says more.
    let patience: u64 = values("TimeoutStopSec")[0].parse().expect("seconds");
    assert!(patience > 60 + 10 + 5, "{patience}");
    // The limit of connections unless set, and files for the rest.
    let files: u64 = values("LimitNOFILE")[0].parse().expect("a number");
    assert!(files >= 2 * 16_384, "{files}");
    assert_eq!(values("StateDirectory"), ["cairn"]);
    assert_eq!(values("User"), ["cairn"]);
}

#[test]
fn the_settings_of_the_service_are_valid_as_they_are_and_with_what_is_commented_out() {
    let program = program();
    let text = package("cairn.toml");
    program.write("as-is.toml", &text);
    let keys = |line: &str| line.contains(" = ") || line.starts_with('[');
    let all = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if keys(setting) && !setting.starts_with("db = ") => setting,
        _ => line,
    });
    let all: Vec<&str> = all.collect();
    program.write("all.toml", all.join("\n"));
    for file in ["as-is.toml", "all.toml"] {
        let run = program.run(&["--config", file, "config", "check"]).exits(0);
        assert_eq!(run.stderr, "", "{file}");
    }
    let shown = program.json(&["--config", "all.toml", "config", "show", "--json"]);
    let shown = shown.to_string();
    for value in ["0.0.0.0:7411", "/var/lib/cairn/locks", "tls/cert.pem"] {
        assert!(shown.contains(value), "{value}: {shown}");
    }
}

/// Returns the arguments of the last instruction of this name.
fn last(name: &str) -> String {
    let container = lines(&package("Containerfile"));
    let found = container.iter().rev().find_map(|line| {
        let (instruction, arguments) = line.split_once(' ')?;
        (instruction == name).then(|| arguments.to_owned())
    });
    found.unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn the_container_holds_the_program_alone_and_does_not_run_as_root() {
    assert!(!last("FROM").contains(" AS "), "the last stage has no name");
    assert!(last("FROM").contains(":bookworm"), "a release is named");
    let user = last("USER");
    let ids: Vec<u32> = user
        .split(':')
        .map(|id| id.parse().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&0), "{user}");
    let volumes: Vec<String> = serde_json::from_str(&last("VOLUME")).expect("a list");
    assert_eq!(volumes, ["/var/lib/cairn", "/var/cache/cairn"]);
    assert!(last("ENV").contains("CAIRN_CACHE=/var/cache/cairn"));
    assert_eq!(last("ENTRYPOINT"), r#"["/usr/local/bin/cairn"]"#);
    assert_eq!(last("CMD"), r#"["serve"]"#);
    assert_eq!(last("STOPSIGNAL"), "SIGTERM");
    // The build's compiler is the one of the repository.
    let toolchain = fs::read_to_string(repository("rust-toolchain.toml")).expect("a toolchain");
    let text = package("Containerfile");
    let image = text
        .lines()
        .find_map(|line| line.strip_prefix("FROM docker.io/library/rust:"));
    let version = image.and_then(|image| image.split('-').next());
    let version = version.expect("the first stage has a compiler");
    assert!(
        toolchain.contains(&format!("channel = \"{version}")),
        "{version}"
    );
}

#[test]
fn the_probe_of_the_container_sees_whether_a_server_answers() {
    let program = program();
    program.write("cairn.toml", "[serve]\nmetrics = false\n");
    let health = last("HEALTHCHECK");
    let (_, command) = health.split_once("CMD ").expect("a command");
    let command: Vec<String> = serde_json::from_str(command).expect("a list");
    let probe = |address: &str| {
        let (_, port) = address.rsplit_once(':').expect("a port");
        let arguments = command[1..].iter().map(|word| word.replace("7411", port));
        let ran = Command::new(&command[0]).args(arguments).output();
        ran.expect("bash").status.success()
    };
    let serving = Serving::start(&program, &[]);
    let address = serving.address.clone();
    assert!(probe(&address));
    serving.kill();
    assert!(!probe(&address));
}
