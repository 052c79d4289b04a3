//! `cairn flow versions`.

use cairn::store::deployments::{Deployment, DeploymentName};
use cairn::{Diagnostic, Value};
use clap::Args;

use crate::args::plain_name;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::page::Page;
use crate::session::Session;

/// List the versions of deployed flows, the newest of each first, also those that were undeployed
#[derive(Args, Debug)]
pub struct Versions {
    /// Only versions of this flow
    #[arg(value_name = "NAME", value_parser = plain_name)]
    name: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// How many versions are listed by default.
const LISTED: Option<usize> = Some(100);

impl Versions {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let after = self.page.cursor().map(after).transpose()?;
        let after = after
            .as_ref()
            .map(|(name, version)| (name.as_str(), *version));
        let operator = session.operator();
        let name = self.name.as_deref();
        let limit = self.page.to_read(LISTED);
        let found = session
            .reader()?
            .view(&operator)
            .deployments(name, after, limit)?;
        if let (Some(name), true, None) = (name, found.is_empty(), after) {
            return Err(Diagnostic::new(format!("no version of `{name}` was ever deployed"))
                .help("`cairn flow versions` lists all deployed flows, and `cairn flow deploy FLOW` deploys one")
                .into());
        }
        let id = |deployment: &Deployment| deployment.title().to_string();
        self.page.show(session, found, LISTED, id, text)
    }
}

/// Parses a cursor: the version after which the list goes on.
fn after(cursor: &str) -> Result<(String, i64), Diagnostic> {
    let parsed = cursor.parse::<DeploymentName>().ok();
    let version = parsed.and_then(|name| Some((name.name, name.version?)));
    version.ok_or_else(|| {
        Diagnostic::new("the cursor is not that of a page of versions")
            .help("`--cursor` takes NAME@VERSION, the last one of the page before")
    })
}

fn text(deployments: &[Deployment]) -> String {
    let rows = deployments.iter().map(|one| {
        vec![
            one.name.clone(),
            one.version.to_string(),
            one.created_at.to_string(),
            one.user_id.clone(),
            checks(&one.checks),
            one.withdrawn_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
            one.plan.to_string(),
        ]
    });
    let heads = [
        "name",
        "version",
        "deployed",
        "by",
        "checks",
        "undeployed",
        "plan",
    ];
    output::table(&heads, rows)
}

/// Formats how many plugins have each result.
fn checks(checks: &Value) -> String {
    let plugins = checks.as_object().into_iter().flatten();
    let results: Vec<&str> = plugins
        .filter_map(|(_, check)| check.get("result")?.as_str())
        .collect();
    let counted = ["passed", "untested", "skipped"]
        .into_iter()
        .filter_map(|result| {
            let number = results.iter().filter(|one| **one == result).count();
            (number > 0).then(|| format!("{number} {result}"))
        });
    let counted: Vec<String> = counted.collect();
    match counted.is_empty() {
        true => count(0, "plugin"),
        false => counted.join(", "),
    }
}
