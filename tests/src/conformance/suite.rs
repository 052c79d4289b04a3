//! Runs every vector of a folder, and counts those that pass.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use cairn::Value;
use serde::Deserialize as _;

use super::compare::{Difference, first_difference};
use super::database::Databases;
use super::format::{Create, File, FlowCase, Header, Kind, QuotaCase};
use super::sandbox::Sandbox;
use super::{create, flow, quota};

/// The supported version of the format.
const FORMAT: u32 = 2;

/// The numbers of passed and failed vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Vectors with the expected outcome.
    pub passed: usize,
    /// All other vectors.
    pub failed: usize,
    /// The filter: only vectors with this in their name were run.
    pub filter: Option<String>,
}

impl Tally {
    /// Returns whether at least one vector was run and none failed.
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match &self.filter {
            Some(filter) => write!(f, " (only vectors with `{filter}` in their name)"),
            None => Ok(()),
        }
    }
}

/// Runs the vectors of every `*.json` in `folder`, or only those with `filter` in their name, on these databases, and prints those
/// that fail. Of every `every` vectors it runs one.
///
/// # Errors
/// If the folder or a file in it cannot be read, or the sandbox cannot be set up.
pub fn run(
    folder: &Path,
    filter: Option<&str>,
    databases: Databases,
    every: usize,
) -> Result<Tally> {
    let mut vectors: Vec<Value> = read(folder)?.into_iter().step_by(every).collect();
    if let Some(filter) = filter {
        vectors.retain(|vector| name(vector).contains(filter));
    }
    let sandbox = Sandbox::new(databases)?;
    let results = results(&vectors, &sandbox);
    let mut tally = Tally {
        passed: 0,
        failed: 0,
        filter: filter.map(str::to_owned),
    };
    for (vector, result) in vectors.iter().zip(results) {
        match result {
            VectorResult::Passed => tally.passed += 1,
            VectorResult::Differs(difference) => {
                tally.failed += 1;
                println!("{}\n{difference}", name(vector));
            }
            VectorResult::Broke(reason) => {
                tally.failed += 1;
                println!("{}\n    {reason}", name(vector));
            }
        }
    }
    Ok(tally)
}

/// Returns the vectors of every file of a folder, in order of the files' names.
///
/// # Errors
/// If a file cannot be read, or has another format.
pub fn read(folder: &Path) -> Result<Vec<Value>> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut files =
        list().with_context(|| format!("cannot read the folder {}", folder.display()))?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let mut vectors = Vec::new();
    for path in files {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: File = serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of vectors", path.display()))?;
        ensure!(
            file.format == FORMAT,
            "{} is of format {}, and {FORMAT} is read here",
            path.display(),
            file.format
        );
        vectors.extend(file.vectors);
    }
    Ok(vectors)
}

fn name(vector: &Value) -> &str {
    vector["name"]
        .as_str()
        .unwrap_or("(a vector without a name)")
}

/// The verdict on one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VectorResult {
    /// The outcome was as expected.
    Passed,
    /// The outcome differed.
    Differs(Difference),
    /// The vector could not be run to its end.
    Broke(String),
}

/// Runs all vectors, as many in parallel as there are processors.
fn results(vectors: &[Value], sandbox: &Sandbox) -> Vec<VectorResult> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![
        VectorResult::Broke("was not run".to_owned());
        vectors.len()
    ]);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, vector)) = take(&next, vectors) {
                    let result = run_vector(vector, sandbox);
                    results.lock().expect("no thread panics with the lock")[index] = result;
                }
            });
        }
    });
    results
        .into_inner()
        .expect("no thread panics with the lock")
}

fn take<'a>(next: &AtomicUsize, vectors: &'a [Value]) -> Option<(usize, &'a Value)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    Some((index, vectors.get(index)?))
}

/// Runs one vector and compares its outcome.
pub fn run_vector(vector: &Value, sandbox: &Sandbox) -> VectorResult {
    match catch_unwind(AssertUnwindSafe(|| outcomes(vector, sandbox))) {
        Ok(Ok((kind, found))) => first_difference(kind, vector, &found)
            .map_or(VectorResult::Passed, VectorResult::Differs),
        Ok(Err(error)) => VectorResult::Broke(format!("{error:#}")),
        Err(panic) => VectorResult::Broke(format!("panicked: {}", text(&*panic))),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

/// Runs one vector and returns its outcomes.
///
/// # Errors
/// If it cannot be parsed or set up.
pub fn outcomes(vector: &Value, sandbox: &Sandbox) -> Result<(Kind, Vec<Value>)> {
    let header = Header::deserialize(vector).context("the vector cannot be read")?;
    let found = match header.kind {
        Kind::Create => {
            let case = Create::deserialize(vector).context("the vector cannot be read")?;
            create::run(&case, sandbox)
        }
        Kind::Flow => {
            let case = FlowCase::deserialize(vector).context("the vector cannot be read")?;
            flow::run(case, sandbox)
        }
        Kind::Quota => {
            let case = QuotaCase::deserialize(vector).context("the vector cannot be read")?;
            quota::run(&case, &sandbox.databases)
        }
    };
    Ok((header.kind, found?))
}
