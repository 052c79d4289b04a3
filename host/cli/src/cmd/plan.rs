use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use cairn::host::Planner;
use cairn::manifest::{Grants, LimitKey, Limits, Mode, Until, Wait};
use cairn::plan::{PlannedAdmission, PlannedStep};
use cairn::value::Digest;
use cairn::{Manifest, Value};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::Placement;
use crate::exit::Failure;
use crate::input;
use crate::lockfile;
use crate::output;
use crate::session::Session;

/// Check a manifest and show its plan: tasks, providers of inputs, grants, limits, digests
#[derive(Args, Debug)]
pub struct Plan {
    /// Manifest of the flow
    #[arg(value_name = "FLOW")]
    manifest: PathBuf,
    /// Format of the plan
    #[arg(
        short = 'o',
        long = "output",
        alias = "format",
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    format: PlanFormat,
    /// Print one JSON document; same as `-o json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write the lock file, which pins the plugins, beside the manifest
    #[arg(long, conflicts_with = "locked")]
    lock: bool,
    /// Refuse plugins that differ from the lock file
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    placement: Placement,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlanFormat {
    /// For people
    Table,
    /// A Mermaid flowchart
    Mermaid,
    /// The whole plan
    Json,
    /// The whole plan on one line
    Jsonl,
}

#[derive(Serialize)]
struct Document<'p> {
    digest: Digest,
    #[serde(flatten)]
    plan: &'p cairn::Plan,
}

impl Plan {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let manifest = Manifest::parse(
            &input::text(&self.manifest, "the manifest")?,
            &self.manifest,
            &session.settings.kinds,
        )?;
        let planner = session.planner()?.policy(session.policy()?);
        let plan = session.plan(&planner, &manifest, self.locked)?;
        if self.lock {
            lock(session, &planner, &manifest)?;
        }
        let document = Document {
            digest: plan.digest(),
            plan: &plan,
        };
        match self.format {
            PlanFormat::Json => output::json(&document),
            _ if self.json => output::json(&document),
            PlanFormat::Jsonl => output::print_json_lines(&document),
            PlanFormat::Table => output::print(&text(&plan)),
            PlanFormat::Mermaid => output::print(&plan.to_mermaid()),
        }
    }
}

/// Writes the lock file, and prints what differs from the previous one.
fn lock(session: &Session, planner: &Planner, manifest: &Manifest) -> Result<(), Failure> {
    let (path, differences) = lockfile::write(manifest, &planner.load(manifest)?, planner.kinds())?;
    session.note(&format!("wrote {}", path.display()));
    differences
        .iter()
        .for_each(|difference| session.note(&difference.to_string()));
    Ok(())
}

fn text(plan: &cairn::Plan) -> String {
    let action = plan
        .action
        .as_ref()
        .map(|action| format!("  {action}"))
        .unwrap_or_default();
    let title = format!("{}{action}  plan {}", plan.name, plan.digest());
    let mut text = format!("{}\n\n", output::printable(&title));
    let tasks = plan.tasks.iter().zip(1..).map(|(step, number)| match step {
        PlannedStep::Task(task) => {
            let (major, minor) = task.version;
            let mark = if task.pivot { " (pivot)" } else { "" };
            vec![
                number.to_string(),
                format!("{}{mark}", task.name),
                format!("{major}.{minor}"),
                component(task.builtin.as_ref()),
                grants(&task.grants),
                task.digest.to_string(),
            ]
        }
        PlannedStep::Wait(wait) => {
            let mut cells = vec![number.to_string(), wait.name.clone()];
            cells.extend(["-".to_owned(), waits(&wait.wait)]);
            cells.extend(["-".to_owned(), "-".to_owned()]);
            cells
        }
    });
    text += &output::table(
        &["", "task", "version", "component", "grants", "sha256"],
        tasks,
    );
    text += &externals(plan);
    text += &admission(plan);
    text.push('\n');
    text += &output::table(&["limit", "default", "other"], limits(plan));
    text.push('\n');
    let inputs = plan
        .tasks
        .iter()
        .zip(1..)
        .flat_map(|(task, number)| inputs(number, task));
    text += &output::table(&["", "task", "input", "provided by"], inputs);
    text
}

/// Formats what a flow waits for.
fn waits(wait: &Wait) -> String {
    let mut ends = Vec::new();
    if let Some(signal) = &wait.signal {
        ends.push(format!("for the signal {signal}"));
    }
    let time = |time: &Duration| humantime::format_duration(*time).to_string();
    match &wait.until {
        Some(Until::At(at)) => ends.push(format!("until {at}")),
        Some(Until::After(after)) => ends.push(format!("for {}", time(after))),
        Some(Until::Input(name)) => ends.push(format!("until {name}")),
        None => {}
    }
    if let Some(timeout) = &wait.timeout {
        ends.push(format!("at most {}", time(timeout)));
    }
    format!("waits {}", ends.join(", "))
}

/// Formats the providers of objects outside the database; empty if there are none.
fn externals(plan: &cairn::Plan) -> String {
    let rows: Vec<_> = plan
        .externals
        .iter()
        .map(|(name, planned)| {
            let (major, minor) = planned.version;
            let fences = if planned.fences { "yes" } else { "no" };
            vec![
                name.clone(),
                format!("{major}.{minor}"),
                component(planned.builtin.as_ref()),
                fences.to_owned(),
                grants(&planned.grants),
                planned.digest.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        "external",
        "version",
        "component",
        "fences",
        "grants",
        "sha256",
    ];
    format!("\n{}", output::table(&heads, rows))
}

/// Formats the policies and validators that run before the first task, and the policies that rules may ask; empty if there are none.
fn admission(plan: &cairn::Plan) -> String {
    let row = |role: &str, asked: &str, planned: &PlannedAdmission| {
        let (major, minor) = planned.version;
        vec![
            role.to_owned(),
            planned.plugin.clone(),
            format!("{major}.{minor}"),
            component(planned.builtin.as_ref()),
            asked.to_owned(),
            planned.digest.to_string(),
        ]
    };
    let policies = plan.policies.iter().map(|planned| {
        let asked = match planned.mode {
            Mode::Enforce => "before the first task",
            Mode::Monitor => "before the first task (monitor)",
        };
        row("policy", asked, planned)
    });
    let validators = plan.validators.iter();
    let validators = validators.map(|planned| row("validator", "before the first task", planned));
    let asked = plan.rule_plugins.iter();
    let asked = asked.map(|planned| row("policy", "by rules", planned));
    let rows: Vec<_> = policies.chain(validators).chain(asked).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["check", "plugin", "version", "component", "asked", "sha256"];
    format!("\n{}", output::table(&heads, rows))
}

fn component(builtin: Option<&String>) -> String {
    builtin.map_or_else(|| "a file".to_owned(), |name| format!("builtin:{name}"))
}

/// Returns a row for each limit: the default, and the tasks that have another value.
fn limits(plan: &cairn::Plan) -> impl Iterator<Item = Vec<String>> {
    LimitKey::ALL.iter().copied().map(|key| {
        let tasks = plan.plugin_tasks();
        let tasks = tasks.map(|task| (&task.name, &task.limits));
        let admission = plan
            .policies
            .iter()
            .chain(&plan.validators)
            .chain(&plan.rule_plugins);
        let admission = admission.map(|planned| (&planned.plugin, &planned.limits));
        let externals = plan.externals.iter();
        let externals = externals.map(|(name, planned)| (name, &planned.limits));
        let others = tasks
            .chain(externals)
            .chain(admission)
            .filter_map(|(name, limits)| {
                let (_, amount) = limits.changed().find(|(changed, _)| *changed == key)?;
                Some(format!("{name} {amount}"))
            });
        let others: Vec<String> = others.collect();
        vec![
            key.to_string(),
            Limits::default().show(key),
            if others.is_empty() {
                "-".to_owned()
            } else {
                others.join(", ")
            },
        ]
    })
}

/// Returns a row for each input of a task; an optional one is marked with `?`, and lists its providers, the nearest first.
fn inputs(number: usize, task: &PlannedStep) -> Vec<Vec<String>> {
    let name = task.name().to_owned();
    let row = |input: String, from: String| vec![number.to_string(), name.clone(), input, from];
    let required = task
        .requires()
        .iter()
        .map(|(input, from)| row(input.clone(), from.clone()));
    let optional = task.optional().iter().map(|(input, from)| {
        let from = if from.is_empty() {
            "-".to_owned()
        } else {
            from.join(", ")
        };
        row(format!("{input}?"), from)
    });
    required.chain(optional).collect()
}

/// Returns the values that narrow a grant, without their keys.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(words).collect(),
        Value::Object(table) => table.values().flat_map(words).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn grants(grants: &Grants) -> String {
    let mut text = String::new();
    for (capability, grant) in grants.iter() {
        let narrowed: Vec<String> = grant.as_json().values().flat_map(words).collect();
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match narrowed.is_empty() {
            true => write!(text, "{gap}{capability}"),
            false => write!(text, "{gap}{capability}({})", narrowed.join(",")),
        };
    }
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
