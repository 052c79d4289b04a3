//! Finds, installs and runs the tools that build components: cargo, componentize-py and componentize-js. Their output goes to stderr
//! unchanged.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use cairn::{Diagnostic, file};
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::message;
use crate::project::Project;
use crate::scaffold::Language;

/// The target of components in Rust.
const TARGET: &str = "wasm32-wasip2";

/// Builds a plugin's component. If `install`, a missing tool is installed in the plugin's folder.
///
/// # Errors
/// [`Exit::Usage`] when a tool is missing, with the command that installs it; [`Exit::Failed`] when it fails.
pub fn build(project: &Project, install: bool) -> Result<PathBuf, Failure> {
    match project.language {
        Language::Rust => rust(project)?,
        Language::Python => python(project, install)?,
        Language::Js => js(project, install)?,
    }
    Ok(project.component())
}

fn rust(project: &Project) -> Result<(), Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    require_target(project)?;
    let mut build = Command::new(&cargo);
    build
        .current_dir(&project.folder)
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = build
        .spawn()
        .map_err(|error| not_started("cargo", &error, RUSTUP))?;
    // cargo prints one JSON message per line on stdout, and everything else on stderr.
    let mut made = None;
    if let Some(stdout) = child.stdout.take() {
        let manifest = fs::canonicalize(project.folder.join("Cargo.toml")).unwrap_or_default();
        // A line that is not UTF-8, such as one with a strange path, is not about this crate's component.
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            made = component_of(&line, &manifest).or(made);
        }
    }
    let status = child
        .wait()
        .map_err(|error| Failure::host(format!("cargo: {error}")))?;
    succeeded("cargo", status)?;
    let Some(made) = made else {
        return Err(Failure {
            exit: Exit::Failed,
            diagnostic: Diagnostic::new("cargo built no component")
                .at(&project.folder.join("Cargo.toml"), None)
                .help("add `crate-type = [\"cdylib\"]` to [lib]"),
        });
    };
    let component = project.component();
    fs::copy(&made, &component).map(drop).map_err(|error| {
        Failure::host(format!(
            "{} cannot be written: {error}",
            component.display()
        ))
    })
}

/// Returns the component if a message of cargo says that it was built from this crate.
fn component_of(message: &[u8], manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let ours = message["reason"] == "compiler-artifact"
        && fs::canonicalize(message["manifest_path"].as_str()?).is_ok_and(|path| path == manifest);
    let mut files = message["filenames"].as_array().filter(|_| ours)?.iter();
    files.find_map(|file| {
        Some(PathBuf::from(
            file.as_str().filter(|file| file.ends_with(".wasm"))?,
        ))
    })
}

/// Refuses to start without the target; cargo would only report that the crate `core` is missing.
fn require_target(project: &Project) -> Result<(), Failure> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .current_dir(&project.folder)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started("rustc", &error, RUSTUP))?;
    let libraries = String::from_utf8_lossy(&asked.stdout);
    if !asked.status.success() || Path::new(libraries.trim()).is_dir() {
        // cargo reports other problems better.
        return Ok(());
    }
    Err(missing(
        &format!("the compiler has no target {TARGET}"),
        &format!("rustup target add {TARGET}"),
    ))
}

const RUSTUP: &str = "install Rust with https://rustup.rs";

fn python(project: &Project, install: bool) -> Result<(), Failure> {
    let tool = "componentize-py";
    let own = project.folder.join(".venv/bin").join(tool);
    let active =
        env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("bin").join(tool));
    let found = [Some(own.clone()), active, on_path(tool)];
    let path = match found.into_iter().flatten().find(|path| path.is_file()) {
        Some(path) => path,
        None => {
            let pip = ".venv/bin/pip install -r requirements.txt";
            if !install {
                return Err(missing(
                    "componentize-py is not installed",
                    &format!("python3 -m venv .venv && {pip}"),
                ));
            }
            message::tell(&format!(
                "{tool} is not installed; installing it in {}",
                project.folder.join(".venv").display()
            ));
            let venv = Command::new("python3")
                .current_dir(&project.folder)
                .args(["-m", "venv", ".venv"])
                .stdout(io::stderr())
                .stdin(Stdio::null())
                .status()
                .map_err(|error| not_started("python3", &error, "install Python 3.10 or later with its module venv, such as with `apt-get install python3-venv`"))?;
            if !venv.success() {
                return Err(missing(
                    "Python could not create a virtual environment",
                    "apt-get install python3-venv",
                ));
            }
            let pip = Command::new(absolute(&project.folder.join(".venv/bin/pip"))?)
                .current_dir(&project.folder)
                .args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    "requirements.txt",
                ])
                .stdout(io::stderr())
                .stdin(Stdio::null())
                .status()
                .map_err(|error| {
                    not_started("pip", &error, "remove the folder .venv and try again")
                })?;
            succeeded("pip", pip)?;
            own
        }
    };
    run(
        Command::new(absolute(&path)?)
            .args(["--wit-path", "wit", "componentize", "app", "--output"])
            .arg(absolute(&project.component())?),
        tool,
        project,
    )
}

fn js(project: &Project, install: bool) -> Result<(), Failure> {
    let tool = "componentize-js";
    let own = |folder: &Path| folder.join("node_modules/.bin").join(tool);
    let folder = absolute(&project.folder)?;
    // Where Node.js looks for the package.
    let above = folder.ancestors().map(own).find(|path| path.is_file());
    let path = match above.or_else(|| on_path(tool)) {
        Some(path) => path,
        None => {
            if !install {
                return Err(missing("componentize-js is not installed", "npm install"));
            }
            message::tell(&format!(
                "{tool} is not installed; installing it in {}",
                folder.join("node_modules").display()
            ));
            let npm = Command::new("npm")
                .current_dir(&folder)
                .args(["install", "--no-audit", "--no-fund"])
                .stdout(io::stderr())
                .stdin(Stdio::null())
                .status()
                .map_err(|error| not_started("npm", &error, NODE))?;
            succeeded("npm", npm)?;
            own(&folder)
        }
    };
    run(
        Command::new(path)
            .arg(project.main())
            // It resolves a relative path against its own folder.
            .arg("--wit")
            .arg(folder.join("wit"))
            .args(without_http(&folder))
            .args(["--disable", "fetch-event", "--out"])
            .arg(absolute(&project.component())?),
        tool,
        project,
    )
}

/// Returns the arguments that leave the engine's own `fetch` out, which would import wasi:http; none for an external, which may have that.
fn without_http(folder: &Path) -> &'static [&'static str] {
    let world = file::read(&folder.join("wit/world.wit"), LONGEST_WORLD).unwrap_or_default();
    match String::from_utf8_lossy(&world).contains("/external-plugin") {
        true => &[],
        false => &["--disable", "http"],
    }
}

/// The most bytes of a world that are read.
const LONGEST_WORLD: u64 = 1 << 20;

const NODE: &str =
    "install Node.js 20 or later with npm, such as with `apt-get install nodejs npm`";

/// Runs a tool in the plugin's folder.
fn run(command: &mut Command, tool: &str, project: &Project) -> Result<(), Failure> {
    let status = command
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| not_started(tool, &error, "install it again"))?;
    succeeded(tool, status)
}

fn succeeded(tool: &str, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure {
        exit: Exit::Failed,
        diagnostic: Diagnostic::new(format!("{tool} failed ({status}); see its messages above")),
    })
}

fn missing(what: &str, command: &str) -> Failure {
    Diagnostic::new(what)
        .help(format!("run `{command}`"))
        .into()
}

fn not_started(tool: &str, error: &io::Error, help: &str) -> Failure {
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!("{tool} is not installed"),
        _ => format!("{tool} could not be started: {error}"),
    };
    Diagnostic::new(message).help(help).into()
}

/// Returns where the shell would find a program.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Returns a path that is valid in any working folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::host(format!("{}: {error}", path.display())))
}
