//! The tools that make components of Python and JavaScript, for tests that need them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Program, end};

/// What [`tools`] looks at: with it a tool that is missing fails the test.
const ALL: &str = "CAIRN_TEST_ALL";

/// A language whose tool is not cargo.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    /// componentize-py, for which Python is needed.
    Python,
    /// componentize-js, for which Node.js and npm are needed.
    Js,
}

impl Language {
    /// As `cairn plugin new` is told it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Js => "js",
        }
    }

    /// What must be there before the tool can be installed, and the command that tells.
    const fn needs(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Python => &[("python3", &["-c", "import venv, ensurepip"])],
            Self::Js => &[("node", &["--version"]), ("npm", &["--version"])],
        }
    }

    /// The folder of the tool below that of the plugin it was installed for, and the file that names its version.
    const fn places(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Python => (".venv/bin", "componentize-py", "requirements.txt"),
            Self::Js => ("node_modules/.bin", "componentize-js", "package.json"),
        }
    }
}

/// A `PATH` with a language's tool on it. `None` when this machine cannot have it: then `test` cannot run, which is said on
/// stderr, where nobody can miss it.
///
/// The program itself installs it, as it does for the author of a first plugin; once, below `target/`.
///
/// # Panics
/// When this machine cannot have it and `CAIRN_TEST_ALL` asks for every test.
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

/// Says on stderr, where nobody can miss it, that a test cannot run on this machine.
///
/// # Panics
/// When `CAIRN_TEST_ALL` asks for every test.
pub fn not_run(test: &str, needs: &str, reason: &str) {
    assert!(
        env::var_os(ALL).is_none(),
        "{ALL} is set, and `{test}` cannot run without {needs}: {reason}"
    );
    // Not `eprintln`, which a test that passes swallows.
    let _ = writeln!(
        io::stderr(),
        "\nNOT RUN: `{test}` needs {needs}, and {reason}; {ALL}=1 makes this a failure"
    );
}

/// The folder of the tool, after it was installed.
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
    // Tests are several processes, and several threads of each.
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
    // The folder holds the tool in the version that the template asked for then.
    let asks = |folder: &Path| fs::read_to_string(folder.join(version)).unwrap_or_default();
    let now = asks(&new("asks")).replace("asks", &name);
    let home = folder.join(&name);
    if !home.join(bin).join(tool).is_file() || asks(&home) != now {
        let home = new(&name);
        // Finds none but those that it installs.
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
