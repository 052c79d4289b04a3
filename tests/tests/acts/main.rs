//! A process crashes while it makes and removes objects outside the database, and is restarted: no object is without a row, a flow that
//! succeeds has its objects, and one that is rolled back leaves none.

mod matrix;
mod mistakes;
mod stopped;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use acceptance::acts::{
    DATABASE, Death, Faults, Found, Life, Mistake, Task, Visits, WORLD, accounted, settled,
};
use anyhow::{Context as _, Result};
use cairn::clock::SystemClock;
use cairn::{Sqlite, SqliteConfig};
use tempfile::TempDir;

/// The signal with which a process kills itself.
const SIGABRT: i32 = 6;

/// How far the clock of each life is ahead of that of the life before: whatever sleeps is due.
const LATER: Duration = Duration::from_secs(86_400);

/// A flow, and what goes wrong in each life that works on it.
#[derive(Clone, Debug, Default)]
struct Scenario {
    fails: bool,
    resumes: bool,
    /// The flow removes the objects that another one has made.
    removes: bool,
    faults: Faults,
    mistake: Option<Mistake>,
}

/// A folder with a database and objects, and the successive processes that use it.
struct Lives {
    folder: TempDir,
    scenario: Scenario,
    lived: u32,
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
    fn new(scenario: &Scenario) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        std::fs::create_dir(folder.path().join(WORLD)).expect("the folder is ours");
        let template = match scenario.removes {
            true => &MADE,
            false => &EMPTY,
        };
        for (name, bytes) in template.iter() {
            std::fs::write(folder.path().join(name), bytes).expect("the folder is ours");
        }
        Self {
            folder,
            scenario: scenario.clone(),
            lived: 0,
        }
    }

    /// Runs one life, and checks that all objects have rows.
    ///
    /// # Errors
    /// The violation.
    fn live(&mut self, task: Task, faults: &Faults, dies: Option<&Death>) -> Result<End> {
        let life = Life {
            folder: self.folder.path().to_owned(),
            task,
            later: LATER * self.lived,
            fails: self.scenario.fails,
            resumes: self.scenario.resumes,
            faults: faults.clone(),
            mistake: self.scenario.mistake,
            dies: dies.cloned(),
            host: acceptance::acts::Host::default(),
        };
        self.lived += 1;
        let end = child(&life);
        let context = || format!("after the {}. life: {life:?}", self.lived);
        accounted(self.folder.path()).with_context(context)?;
        Ok(end)
    }

    fn run(&mut self, dies: Option<&Death>) -> Result<End> {
        let faults = self.scenario.faults.clone();
        let task = match self.scenario.removes {
            true => Task::Remove,
            false => Task::Run,
        };
        self.live(task, &faults, dies)
    }

    fn recover(&mut self, dies: Option<&Death>) -> Result<End> {
        let faults = self.scenario.faults.clone();
        self.live(Task::Recover, &faults, dies)
    }

    /// Checks what flows that have ended left, then rolls back what is incomplete, while nothing goes wrong, and checks again.
    ///
    /// # Errors
    /// The violation.
    fn end(&mut self) -> Result<Found> {
        let found = settled(self.folder.path(), true)?;
        let is_incomplete =
            |end: &(_, Option<cairn::Verdict>)| end.1 == Some(cairn::Verdict::Incomplete);
        if !found.values().any(is_incomplete) {
            return Ok(found);
        }
        self.live(Task::RollBack, &Faults::default(), None)?;
        settled(self.folder.path(), false)
    }
}

fn child(life: &Life) -> End {
    let output = Command::new(env!("CARGO_BIN_EXE_acts-child"))
        .arg(serde_json::to_string(life).expect("a life is JSON"))
        .stdin(Stdio::null())
        .output()
        .expect("the child starts");
    use std::os::unix::process::ExitStatusExt as _;
    if output.status.signal() == Some(SIGABRT) && life.dies.is_some() {
        return End::Death;
    }
    assert!(
        output.status.success(),
        "{life:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    End::Natural(serde_json::from_slice(&output.stdout).expect("the child counts"))
}

/// Files by their names.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// The files of an empty database.
static EMPTY: LazyLock<Files> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let path = folder.path().join(DATABASE);
    let store = Sqlite::open(&path, SqliteConfig::default(), Arc::new(SystemClock));
    drop(store.expect("it is created"));
    files(folder.path(), Path::new(""))
});

/// The files of a database whose flow has made its objects, and those of the objects.
static MADE: LazyLock<Files> = LazyLock::new(|| {
    let mut lives = Lives::new(&Scenario::default());
    lives.run(None).expect("nothing goes wrong");
    let folder = lives.folder.path();
    let mut all = files(folder, Path::new(""));
    all.extend(files(folder, Path::new(WORLD)));
    all
});

/// Reads the files of a folder in a folder.
fn files(root: &Path, folder: &Path) -> Files {
    let read = |path: &Path| {
        let name = folder.join(path.file_name()?);
        path.is_file()
            .then(|| (name, std::fs::read(path).expect("a file of ours")))
    };
    let files = std::fs::read_dir(root.join(folder)).expect("the folder is ours");
    files
        .filter_map(|file| read(&file.expect("an entry").path()))
        .collect()
}
