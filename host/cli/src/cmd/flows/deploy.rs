//! `cairn flow deploy`.

mod check;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use cairn::flow_diff::{self, FlowChange};
use cairn::store::deployments::{Deployment, NewDeployment};
use cairn::value::Digest;
use cairn::{Diagnostic, Manifest, Plan, Value};
use clap::Args;
use serde::Serialize;

use self::check::Check;
use crate::args::{Format, Placement, plain_name};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::output::{self, cell, count};
use crate::session::Session;

/// Deploy a flow: write its plan and its components to the database, for clients that ask for it by name
///
/// Each deployment is a new version of the name: 1, 2, … A running server takes it up; flows that were begun go on with their own plans.
///
/// Before, the cases beside each component (`cases/*.toml`) are run and the laws are checked, as `cairn plugin test --laws` does; exit 3
/// if one is broken. What they came to is recorded. Built-in plugins, and plugins without cases, are recorded as untested.
///
/// If a version is deployed already, what changes is shown. A version that asks for more than the deployed one is refused, with exit 6,
/// unless --accept is given: a plugin with a new or wider grant or a higher limit; another plugin that is neither built in nor part of the
/// deployed version; another action; a policy or validator that is gone or only monitors; a task that becomes a pivot; a signal that is
/// not waited for any more.
#[derive(Args, Debug)]
pub struct Deploy {
    /// Manifest of the flow
    #[arg(value_name = "FLOW")]
    manifest: PathBuf,
    /// Deploy the flow under this name, instead of that of the manifest
    #[arg(long = "as", value_name = "NAME", value_parser = plain_name)]
    name: Option<String>,
    /// Deploy it even if it asks for more than the deployed version
    #[arg(long)]
    accept: bool,
    /// Do not run the cases of plugins
    #[arg(long)]
    no_test: bool,
    /// Refuse plugins that differ from the lock file
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

/// The version that is deployed.
struct Deployed {
    deployment: Deployment,
    plan: Plan,
}

/// What the command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// The flow was deployed.
    Deployed,
    /// The plan is that of the deployed version.
    Unchanged,
    /// It asks for more than the deployed version.
    Refused,
    /// A case or a law is broken.
    Broken,
}

#[derive(Serialize)]
struct Document<'d> {
    outcome: Outcome,
    name: &'d str,
    /// The version that is deployed now; null if none is.
    version: Option<i64>,
    /// The digest of the plan that was to be deployed.
    plan: Digest,
    /// The version that it was compared with.
    replaces: Option<i64>,
    changes: &'d [FlowChange],
    /// By plugin; empty if they were not run.
    checks: &'d BTreeMap<String, Check>,
}

impl Deploy {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let text = input::text(&self.manifest, "the manifest")?;
        let mut manifest = Manifest::parse(&text, &self.manifest, &session.settings.kinds)?;
        if let Some(name) = &self.name {
            manifest.name.clone_from(name);
        }
        let policy = session.policy()?;
        let planner = session.planner()?.policy(Arc::clone(&policy));
        let plan = session.plan(&planner, &manifest, self.locked)?;

        let deployed = deployed(session, &plan.name)?;
        let replaces = deployed
            .as_ref()
            .map(|deployed| deployed.deployment.version);
        let changes = deployed
            .as_ref()
            .map(|deployed| flow_diff::changes(&deployed.plan, &plan, planner.kinds()));
        let changes = changes.unwrap_or_default();
        let mut document = Document {
            outcome: Outcome::Unchanged,
            name: &plan.name,
            version: replaces,
            plan: plan.digest(),
            replaces,
            changes: &changes,
            checks: &BTreeMap::new(),
        };
        if let Some(deployed) = &deployed
            && deployed.deployment.plan == document.plan
        {
            document.print(self.format)?;
            return Ok(Exit::Ok);
        }
        let asking = changes.iter().filter(|change| change.asks.is_some());
        let asking = asking.count();
        if asking > 0 && !self.accept {
            document.outcome = Outcome::Refused;
            document.print(self.format)?;
            return Err(document.refused(asking));
        }

        let checks = match self.no_test {
            true => check::skipped(&planner.load(&manifest)?),
            false => check::all(session, &manifest, &planner.load(&manifest)?)?,
        };
        document.checks = &checks;
        if checks
            .values()
            .any(|check| matches!(check, Check::Broken { .. }))
        {
            document.outcome = Outcome::Broken;
            document.print(self.format)?;
            return Ok(Exit::Failed);
        }

        let recorded =
            serde_json::to_value(&checks).map_err(|error| Failure::host(error.to_string()))?;
        let host = session.silent_host(planner, policy)?.build()?;
        host.ready(&plan)?;
        let version = host.store().admin(&session.operator(), |admin| {
            admin.deploy(NewDeployment {
                name: &plan.name,
                replaces,
                plan: plan.digest(),
                manifest: &text,
                checks: &recorded,
            })
        })?;
        document.version = Some(version);
        document.outcome = Outcome::Deployed;
        document.print(self.format)?;
        Ok(Exit::Ok)
    }
}

/// Reads the newest version that is deployed under a name.
fn deployed(session: &Session, name: &str) -> Result<Option<Deployed>, Failure> {
    let operator = session.operator();
    let found = session.peek(&operator, |view| {
        let Some(deployment) = view.deployment(name, None)? else {
            return Ok(None);
        };
        let body = view.plan(deployment.plan)?;
        Ok(Some((deployment, body)))
    })?;
    let Some((deployment, body)) = found else {
        return Ok(None);
    };
    let damaged = |problem: String| {
        Failure::host(format!(
            "the plan of the deployed flow `{}` {problem}",
            deployment.title()
        ))
    };
    let body = body.ok_or_else(|| damaged("is not stored".to_owned()))?;
    let plan = serde_json::from_str(&body);
    let plan = plan.map_err(|error| damaged(format!("cannot be read: {error}")))?;
    Ok(Some(Deployed { deployment, plan }))
}

impl Document<'_> {
    fn print(&self, format: Format) -> Result<(), Failure> {
        match format.is_json() {
            true => output::document(format, self),
            false => output::print(&self.text()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let (Some(replaces), false) = (self.replaces, self.changes.is_empty()) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "changes against {}@{replaces}:\n", self.name);
            text += &changes(self.changes);
            text.push('\n');
        }
        if !self.checks.is_empty() {
            text += &check::text(self.checks);
            text.push('\n');
        }
        let title = match self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.to_owned(),
        };
        let _ = match self.outcome {
            Outcome::Deployed => writeln!(text, "deployed {title}  plan {}", self.plan),
            Outcome::Unchanged => writeln!(text, "{title} is deployed already  plan {}", self.plan),
            Outcome::Refused | Outcome::Broken => writeln!(text, "not deployed"),
        };
        text
    }

    fn refused(&self, asking: usize) -> Failure {
        let replaces = self.replaces.unwrap_or_default();
        let message = format!(
            "the flow asks for more than `{}@{replaces}`, in {}; nothing was written",
            self.name,
            count(asking, "change")
        );
        Failure {
            exit: Exit::Refused,
            diagnostic: Diagnostic::new(message)
                .help("review the changes above, and repeat the command with --accept"),
        }
    }
}

fn changes(changes: &[FlowChange]) -> String {
    let rows = changes.iter().map(|change| {
        let what = match (&change.old, &change.new) {
            (Value::Null, new) => format!("+ {}", cell(new)),
            (old, Value::Null) => format!("- {}", cell(old)),
            (old, new) => format!("{} -> {}", cell(old), cell(new)),
        };
        vec![
            change.part.as_str().to_owned(),
            change.of.clone().unwrap_or_default(),
            what,
            change.asks.unwrap_or_default().to_owned(),
        ]
    });
    output::table(&["part", "of", "change", "asks for more"], rows)
}
