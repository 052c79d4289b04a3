//! Installs the tools that build components from Python and JavaScript, for the tests that need them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Program, end};

/// The environment variable that makes a missing tool fail the test.
const ALL: &str = "CAIRN_TEST_ALL";

/// A language whose tool is not cargo.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    /// Uses componentize-py, which needs Python.
    Python,
    /// Uses componentize-js, which needs Node.js and npm.
    Js,
}

impl Language {
    /// Returns the name that `cairn plugin new` accepts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Js => "js",
        }
    }

    /// Returns the programs needed to install the tool, each with arguments that check for it.
    const fn needs(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Python => &[("python3", &["-c", "import venv, ensurepip"])],
            Self::Js => &[("node", &["--version"]), ("npm", &["--version"])],
        }
    }

    /// Returns the folder of the tool within that of the plugin for which it was installed, the tool's name, and the
    /// file that names its version.
    const fn places(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Python => (".venv/bin", "componentize-py", "requirements.txt"),
            Self::Js => ("node_modules/.bin", "componentize-js", "package.json"),
        }
    }
}

/// Returns a `PATH` that contains a language's tool. Returns `None`, and prints to stderr that `test` cannot run, if
/// this machine cannot install the tool.
///
/// The program under test installs it, as it does for the author of a first plugin, once, below `target/`.
///
/// # Panics
/// If this machine cannot install it and `CAIRN_TEST_ALL` is set.
pub fn tools(program: &Program, language: Language, test: &str) -> Option<OsString> {
    match installed(program, language) {
        Ok(folder) => {
            let path = env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(folder).chain(env::split_paths(&path));
            Some(env::join_paths(folders).expect("no folder of ours has a colon in its name"))
        }
        Err(reason) => {
            not_run(
                test,
                &format!("the tools for {}", language.as_str()),
                &reason,
            );
            None
        }
    }
}

/// Prints to stderr that a test cannot run on this machine.
///
/// # Panics
/// If `CAIRN_TEST_ALL` is set.
pub fn not_run(test: &str, needs: &str, reason: &str) {
    assert!(
        env::var_os(ALL).is_none(),
        "{ALL} is set, and `{test}` cannot run without {needs}: {reason}"
    );
    // Not `eprintln`, whose output a passing test hides.
    let _ = writeln!(
        io::stderr(),
        "\nNOT RUN: `{test}` needs {needs}, and {reason}; {ALL}=1 makes this a failure"
    );
}

/// Installs the tool if necessary, and returns its folder.
fn installed(program: &Program, language: Language) -> Result<PathBuf, String> {
    for (command, arguments) in language.needs() {
        let asked = Command::new(command)
            .args(*arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match asked {
            Ok(status) if status.success() => {}
            Ok(_) => return Err(format!("`{command} {}` fails", arguments.join(" "))),
            Err(error) => return Err(format!("`{command}` is not there: {error}")),
        }
    }
    let folder = program.beside("acceptance-tools");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // Tests run in several processes with several threads each.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;

    let new = |name: &str| {
        let _ = fs::remove_dir_all(folder.join(name));
        let arguments = ["plugin", "new", name, "--lang", language.as_str()];
        let made = program.command(&arguments).current_dir(&folder).spawn();
        end(made.expect("the program starts")).exits(0);
        folder.join(name)
    };
    let (bin, tool, version) = language.places();
    let name = format!("with-{}", language.as_str());
    // The folder contains the version of the tool that the template named when it was installed.
    let asks = |folder: &Path| fs::read_to_string(folder.join(version)).unwrap_or_default();
    let now = asks(&new("asks")).replace("asks", &name);
    let home = folder.join(&name);
    if !home.join(bin).join(tool).is_file() || asks(&home) != now {
        let home = new(&name);
        // Hides other installations of the tool.
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::split_paths(&path).filter(|folder| !folder.join(tool).is_file());
        let path = env::join_paths(path).map_err(|error| error.to_string())?;
        let mut build = program.command(&["plugin", "build", &name]);
        let build = build
            .current_dir(&folder)
            .env("PATH", path)
            .env_remove("VIRTUAL_ENV");
        let run = end(build.spawn().expect("the program starts"));
        if run.exit != 0 {
            let _ = fs::remove_dir_all(&home);
            return Err(format!("they could not be installed: {}", run.stderr));
        }
    }
    Ok(home.join(bin))
}
