//! A process dies at every point after which the disk is different, and is started again: nothing is lost, nothing is done
//! twice.

mod deliver;
mod matrix;
mod operators;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use acceptance::crash::{Death, Found, Life, Task, Visits, check};
use tempfile::TempDir;

/// The signal that a process sends itself to die.
const SIGABRT: i32 = 6;

/// A database, and the processes that come and go on it.
struct Lives {
    folder: TempDir,
    fails: Option<usize>,
    resumes: bool,
    events: usize,
    delivers: bool,
}

/// How a life ended.
#[derive(Debug)]
enum End {
    /// As it should, having come to these points.
    Natural(Vec<Visits>),
    /// At the point where it was to die.
    Death,
}

impl Lives {
    /// An empty folder, and a database with what the flow needs.
    fn new(fails: Option<usize>, resumes: bool, events: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        for (name, bytes) in template() {
            std::fs::write(folder.path().join(name), bytes).expect("the folder is ours");
        }
        Self {
            folder,
            fails,
            resumes,
            events,
            delivers: false,
        }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("cairn.db")
    }

    /// One life.
    fn live(&self, task: Task, dies: Option<&Death>) -> End {
        let life = Life {
            folder: self.folder.path().to_owned(),
            cache: cache(),
            task,
            fails: self.fails,
            resumes: self.resumes,
            events: self.events,
            lease: None,
            dies: dies.cloned(),
            stops: false,
            delivers: self.delivers,
        };
        let output = child(&life);
        use std::os::unix::process::ExitStatusExt as _;
        if output.status.signal() == Some(SIGABRT) && dies.is_some() {
            return End::Death;
        }
        assert!(
            output.status.success(),
            "{life:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        End::Natural(serde_json::from_slice(&output.stdout).expect("the child counts"))
    }

    /// Recovers what is left, and checks what must hold.
    fn recovered(&self, context: &str) -> Found {
        assert!(matches!(self.live(Task::Recover, None), End::Natural(_)));
        match check(&self.database()) {
            Ok(found) => found,
            Err(error) => panic!(
                "{context}: {error:#} (fails {:?}, resumes {}, a commit every {} events)",
                self.fails, self.resumes, self.events
            ),
        }
    }
}

fn child(life: &Life) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crash-child"))
        .arg(serde_json::to_string(life).expect("a life is JSON"))
        .stdin(Stdio::null())
        .output()
        .expect("the child starts")
}

/// Plugins are compiled once for all lives.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_crash-child")).with_file_name("acceptance-cache")
}

/// The files of a database with an encrypted volume type, made once.
fn template() -> &'static [(String, Vec<u8>)] {
    static TEMPLATE: std::sync::LazyLock<Vec<(String, Vec<u8>)>> = std::sync::LazyLock::new(|| {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let run = |arguments: &[&str]| {
            let status = Command::new(env!("CARGO_BIN_EXE_cairn-under-test"))
                .args(arguments)
                .current_dir(folder.path())
                .env("CAIRN_CACHE", cache())
                .stdout(Stdio::null())
                .status();
            assert!(
                status.expect("the program starts").success(),
                "{arguments:?}"
            );
        };
        run(&["types", "create", "gold", "--encrypt", "luks"]);
        let files = std::fs::read_dir(folder.path()).expect("the folder is ours");
        let files = files.filter_map(|file| {
            let path = file.expect("an entry").path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            path.is_file()
                .then(|| (name, std::fs::read(&path).expect("a file of ours")))
        });
        files.collect()
    });
    &TEMPLATE
}
