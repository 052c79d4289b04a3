//! A process crashes at every point at which the state on disk changes, and is restarted: nothing is lost, nothing is
//! done twice.

mod deliver;
mod doubt;
mod matrix;
mod operators;
mod shared;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use acceptance::crash::{Death, Found, Life, Task, Visits, check, check_on_a_server};
use cairn_test_postgres::{Database, Server};
use tempfile::TempDir;

/// The signal with which a process kills itself.
const SIGABRT: i32 = 6;

/// A database, and the successive processes that use it.
struct Lives {
    folder: TempDir,
    fails: Option<usize>,
    resumes: bool,
    events: usize,
    delivers: bool,
    /// The database, if it is on a server.
    server: Option<Database<'static>>,
}

/// How a life ended.
#[derive(Debug)]
enum End {
    /// Regularly, after visiting these points.
    Natural(Vec<Visits>),
    /// At the requested point.
    Death,
}

impl Lives {
    /// Creates a folder, and a database with the rows that the flow needs.
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
            server: None,
        }
    }

    /// Creates a database on a server, with the rows that the flow needs; `None` if this machine has none.
    fn on_a_server(fails: Option<usize>, resumes: bool, events: usize) -> Option<Self> {
        let server = cairn_test_postgres::shared()?;
        Some(Self {
            folder: TempDir::new().expect("a temporary folder can be made"),
            fails,
            resumes,
            events,
            delivers: false,
            server: Some(server.copy_of(template_on(server))),
        })
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("cairn.db")
    }

    /// Runs one life.
    fn live(&self, task: Task, dies: Option<&Death>) -> End {
        let life = Life {
            folder: self.folder.path().to_owned(),
            server: self.server.as_ref().map(Database::url),
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

    /// Recovers the flows that were left behind, and checks the invariants.
    fn recovered(&self, context: &str) -> Found {
        assert!(matches!(self.live(Task::Recover, None), End::Natural(_)));
        let checked = match &self.server {
            None => check(&self.database()),
            Some(database) => check_on_a_server(&database.url(), self.delivers),
        };
        match checked {
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

/// Returns the cache of compiled plugins that all lives share.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_crash-child")).with_file_name("acceptance-cache")
}

/// Returns a database on the server of all tests with an encrypted volume type, created once.
fn template_on(server: &'static Server) -> &'static Database<'static> {
    static TEMPLATE: std::sync::OnceLock<Database<'static>> = std::sync::OnceLock::new();
    TEMPLATE.get_or_init(|| with_type(server))
}

/// Creates a database on a server with an encrypted volume type.
fn with_type(server: &'static Server) -> Database<'static> {
    let database = server.database();
    let folder = TempDir::new().expect("a temporary folder can be made");
    let settings = folder.path().join("cairn.toml");
    std::fs::write(settings, database.settings("")).expect("the folder is ours");
    create_type(folder.path());
    database
}

/// Creates the encrypted volume type that the flow asks for, in the database of a folder.
fn create_type(folder: &Path) {
    let arguments = ["type", "create", "gold", "--encrypt", "luks"];
    let status = Command::new(env!("CARGO_BIN_EXE_cairn-under-test"))
        .args(arguments)
        .current_dir(folder)
        .env("CAIRN_CACHE", cache())
        .stdout(Stdio::null())
        .status();
    assert!(
        status.expect("the program starts").success(),
        "{arguments:?}"
    );
}

/// Returns the files of a database with an encrypted volume type, created once.
fn template() -> &'static [(String, Vec<u8>)] {
    static TEMPLATE: std::sync::LazyLock<Vec<(String, Vec<u8>)>> = std::sync::LazyLock::new(|| {
        let folder = TempDir::new().expect("a temporary folder can be made");
        create_type(folder.path());
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
