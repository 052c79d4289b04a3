//! What must hold of objects and of their rows, while flows are under way and when they have ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use cairn::clock::SystemClock;
use cairn::event::{FlowState, FlowSummary};
use cairn::history::History;
use cairn::rows::Cell;
use cairn::store::view::{FlowFilter, Reader, View};
use cairn::{FlowId, Identity, Report, SqliteConfig, Verdict};

use super::{DATABASE, LABELS, PART, WORLD};

/// How the flows of a database have ended.
pub type Found = BTreeMap<FlowId, (FlowState, Option<Verdict>)>;

/// The name of the flow that removes objects.
const REMOVES: &str = "removes";

/// A row of `externals`.
struct Row {
    flow: Vec<u8>,
    state: String,
    spec: String,
}

type Rows = BTreeMap<String, Row>;

/// Checks that each object, and each part of one, has a row. This holds at any time.
///
/// # Errors
/// The first object that has none; a database that is damaged.
pub fn accounted(folder: &Path) -> Result<()> {
    let reader = reader(folder)?;
    let nobody = Identity::default();
    let rows = rows(&reader.view(&nobody))?;
    for name in objects(folder)?.keys() {
        let id = name.trim_start_matches(PART);
        ensure!(rows.contains_key(id), "the object `{name}` has no row");
    }
    Ok(())
}

/// Checks the objects and rows of flows that have ended, and that none sleeps. The objects of an incomplete rollback need rows only, if
/// `may_be_incomplete`.
///
/// # Errors
/// The first violation.
pub fn settled(folder: &Path, may_be_incomplete: bool) -> Result<Found> {
    accounted(folder)?;
    let reader = reader(folder)?;
    let problems = reader.check()?.problems;
    ensure!(problems.is_empty(), "the database is damaged: {problems:?}");
    let nobody = Identity::default();
    let view = reader.view(&nobody);
    let (rows, mut objects) = (rows(&view)?, objects(folder)?);
    let domains = SqliteConfig::default().domains;
    let mut found = Found::new();
    let mut counted = 0;
    let flows = view.flows(FlowFilter::default(), usize::MAX)?;
    let is_removed = |flow: &FlowSummary| flow.name == REMOVES && flow.state == FlowState::Success;
    let left = match flows.iter().any(is_removed) {
        true => 0,
        false => LABELS.len(),
    };
    for flow in flows {
        ensure!(flow.wake_at.is_none(), "flow {} sleeps", flow.id);
        let history = History::fold(&view.journal(flow.id)?, &domains)
            .context("the journal has no beginning")?;
        let report = Report::new(flow.id, &history);
        let verdict = report.rollback.map(|rollback| rollback.verdict);
        let own = rows
            .iter()
            .filter(|(_, row)| row.flow == flow.id.0.as_bytes());
        let own: Vec<(&String, &Row)> = own.collect();
        counted += own.len();
        match (flow.state, verdict) {
            (FlowState::Success, _) if flow.name == REMOVES => {
                ensure!(own.is_empty(), "it makes nothing");
            }
            (FlowState::Success, _) => {
                ensure!(own.len() == left, "{} objects have rows", own.len());
                for (id, row) in own {
                    ensure!(row.state == "made", "`{id}` is `{}`", row.state);
                    let content = objects.remove(id);
                    let content = content.with_context(|| format!("`{id}` is not there"))?;
                    ensure!(content == row.spec, "`{id}` is not whole: {content:?}");
                }
            }
            (FlowState::Failure, Some(Verdict::Clean)) => {
                ensure!(own.is_empty(), "a row is left of a clean rollback");
            }
            (FlowState::Failure, Some(Verdict::Incomplete)) if may_be_incomplete => {
                ensure!(!own.is_empty(), "nothing is left, and it is not clean");
                for (id, _) in own {
                    objects.remove(id);
                    objects.remove(&format!("{PART}{id}"));
                }
            }
            other => bail!("flow {} rests as {other:?}", flow.id),
        }
        found.insert(flow.id, (flow.state, verdict));
    }
    ensure!(counted == rows.len(), "a row belongs to no flow");
    ensure!(objects.is_empty(), "objects are left: {objects:?}");
    Ok(found)
}

fn reader(folder: &Path) -> Result<Reader> {
    let path = folder.join(DATABASE);
    let clock = Arc::new(SystemClock);
    Ok(Reader::open(&path, SqliteConfig::default(), clock)?)
}

/// Returns the contents of the files, by their names.
fn objects(folder: &Path) -> Result<BTreeMap<String, String>> {
    let files = std::fs::read_dir(folder.join(WORLD))?;
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        Ok((name, std::fs::read_to_string(file.path())?))
    };
    files.map(read).collect()
}

fn rows(view: &View<'_>) -> Result<Rows> {
    let mut rows = Rows::new();
    for row in view.query("SELECT id, flow, state, spec FROM externals", &[])? {
        let [
            Cell::Text(id),
            Cell::Blob(flow),
            Cell::Text(state),
            Cell::Text(spec),
        ] = row.as_slice()
        else {
            bail!("a row is {row:?}");
        };
        let row = Row {
            flow: flow.to_vec(),
            state: state.to_string(),
            spec: spec.to_string(),
        };
        rows.insert(id.to_string(), row);
    }
    Ok(rows)
}
