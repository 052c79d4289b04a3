//! Runs the cases and laws of a flow's plugins before it is deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cairn::Manifest;
use cairn::manifest::Source;
use cairn::plan::{Inspected, Role};
use cairn_laws::{Law, Subject, Tested};
use serde::Serialize;

use crate::cases;
use crate::exit::Failure;
use crate::output::{self, count, printable};
use crate::session::Session;

/// What the cases and laws of a plugin came to, as a deployment records it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(super) enum Check {
    /// All hold.
    Passed {
        /// How many cases.
        cases: usize,
        /// How many laws were tried on them.
        laws: usize,
    },
    /// At least one does not.
    Broken(Tested),
    /// It has no cases.
    Untested {
        /// Why.
        reason: &'static str,
    },
    /// They were not run.
    Skipped,
}

/// Says of each plugin that its cases were not run.
pub(super) fn skipped(plugins: &BTreeMap<String, Inspected>) -> BTreeMap<String, Check> {
    let keys = plugins.keys().cloned();
    keys.map(|key| (key, Check::Skipped)).collect()
}

/// Runs the cases of each plugin and checks the laws.
///
/// # Errors
/// When a case is malformed, or cannot be run.
pub(super) fn all(
    session: &Session,
    manifest: &Manifest,
    plugins: &BTreeMap<String, Inspected>,
) -> Result<BTreeMap<String, Check>, Failure> {
    // Several plugins may have one component.
    let mut by_path: BTreeMap<&Path, Check> = BTreeMap::new();
    let mut checks = BTreeMap::new();
    for (key, inspected) in plugins {
        let Some(entry) = manifest.plugins.get(key) else {
            continue;
        };
        let check = match &entry.source {
            Source::Builtin(_) => Check::Untested { reason: "built in" },
            Source::Path(path) => match by_path.get(path.as_path()) {
                Some(check) => check.clone(),
                None => {
                    let check = of_file(session, path, &inspected.roles)?;
                    by_path.insert(path, check.clone());
                    check
                }
            },
        };
        checks.insert(key.clone(), check);
    }
    Ok(checks)
}

fn of_file(session: &Session, component: &Path, roles: &BTreeSet<Role>) -> Result<Check, Failure> {
    let folder = cases::beside(component);
    if !folder.is_dir() || cases::files_in(&folder, "toml")?.is_empty() {
        return Ok(Check::Untested { reason: "no cases" });
    }
    let cases = cases::parse(&cases::files(&folder)?, roles)?;
    let tested = cases::run(session, &Subject::file(component), &cases, &Law::ALL)?;
    if !tested.is_ok() {
        return Ok(Check::Broken(tested));
    }
    let laws = tested.cases.iter().flat_map(|case| &case.laws);
    let laws: BTreeSet<&str> = laws.map(|law| law.name()).collect();
    Ok(Check::Passed {
        cases: tested.cases.len(),
        laws: laws.len(),
    })
}

/// Formats what was checked, and explains what is broken.
pub(super) fn text(checks: &BTreeMap<String, Check>) -> String {
    let rows = checks.iter().map(|(key, check)| {
        let what = match check {
            Check::Passed { cases, laws } => {
                format!("passed: {}, {}", count(*cases, "case"), count(*laws, "law"))
            }
            Check::Broken(tested) => {
                let broken = tested.cases.iter().filter(|case| !case.is_ok());
                let all = count(tested.cases.len(), "case");
                format!("BROKEN: {} of {all}", broken.count())
            }
            Check::Untested { reason } => format!("untested: {reason}"),
            Check::Skipped => "skipped".to_owned(),
        };
        vec![key.clone(), what]
    });
    let mut text = output::table(&["plugin", "cases and laws"], rows);
    for (key, check) in checks {
        if let Check::Broken(tested) = check {
            text += &format!("\n{}:\n\n{}", printable(key), cases::text(tested));
        }
    }
    text
}
