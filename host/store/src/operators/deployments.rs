//! Deployed flows: plans that clients ask for by name.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::json;

use cairn_effects::rows::Cell;
use cairn_model::clock::{self, Timestamp};
use cairn_model::error::TaskError;
use cairn_model::text::{PLAIN_NAME, is_plain_name};
use cairn_model::value::{Digest, Value};

use super::admin::{Admin, not_found};
use super::audit::Change;
use super::view::View;
use crate::StoreError;
use crate::sql::{Columns, SqlError};

/// A version of a deployed flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deployment {
    /// The flow's name.
    pub name: String,
    /// Counts from 1 for each name; never used twice.
    pub version: i64,
    /// The digest of its plan, which is stored.
    pub plan: Digest,
    /// What the cases and laws of its plugins came to.
    pub checks: Value,
    /// The operator who deployed it.
    pub user_id: String,
    /// When it was deployed.
    #[serde(serialize_with = "clock::as_text")]
    pub created_at: Timestamp,
    /// When it was undeployed: no more flows are begun from it.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub withdrawn_at: Option<Timestamp>,
}

/// A version to be deployed.
#[derive(Clone, Copy, Debug)]
pub struct NewDeployment<'a> {
    /// The flow's name.
    pub name: &'a str,
    /// The version that it replaces as the newest one; `None` if none is deployed.
    pub replaces: Option<i64>,
    /// The digest of its plan, which must be stored.
    pub plan: Digest,
    /// The text of its manifest.
    pub manifest: &'a str,
    /// What the cases and laws of its plugins came to.
    pub checks: &'a Value,
}

/// How clients and operators name a deployed flow: `NAME`, its newest version, or `NAME@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentName {
    /// The flow's name.
    pub name: String,
    /// The version; `None` for the newest one, or for all of them.
    pub version: Option<i64>,
}

/// A text that cannot name a deployed flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the flow's name, or NAME@VERSION with a version from 1; {PLAIN_NAME}")]
pub struct NoDeploymentName;

impl FromStr for DeploymentName {
    type Err = NoDeploymentName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
                let version = version
                    .parse()
                    .ok()
                    .filter(|version| *version > 0 && is_number);
                (name, Some(version.ok_or(NoDeploymentName)?))
            }
        };
        match is_plain_name(name) {
            true => Ok(Self {
                name: name.to_owned(),
                version,
            }),
            false => Err(NoDeploymentName),
        }
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl Deployment {
    /// Returns the name of this version.
    pub fn title(&self) -> DeploymentName {
        DeploymentName {
            name: self.name.clone(),
            version: Some(self.version),
        }
    }
}

const DEPLOYMENT: &str =
    "SELECT name, version, plan, checks, user_id, created_at, withdrawn_at FROM deployments";

impl View<'_> {
    /// Returns a version of a deployed flow that was not undeployed; the newest one unless `version` names one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn deployment(
        &self,
        name: &str,
        version: Option<i64>,
    ) -> Result<Option<Deployment>, StoreError> {
        let mut statement = format!("{DEPLOYMENT} WHERE name = $1 AND withdrawn_at IS NULL");
        let mut parameters: Vec<Cell> = vec![name.into()];
        if let Some(version) = version {
            statement += " AND version = $2";
            parameters.push(version.into());
        }
        statement += " ORDER BY version DESC LIMIT 1";
        let rows = self.sql().query(&statement, &parameters)?;
        Ok(rows
            .first()
            .map(|row| deployment(Columns(row)))
            .transpose()?)
    }

    /// Returns the versions of all deployed flows, or of one, by name, the newest version of each first; also those that were undeployed.
    /// They follow `after`, if given, and are at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn deployments(
        &self,
        name: Option<&str>,
        after: Option<(&str, i64)>,
        limit: usize,
    ) -> Result<Vec<Deployment>, StoreError> {
        let mut conditions = vec!["TRUE"];
        let mut parameters: Vec<Cell> = vec![i64::try_from(limit).unwrap_or(i64::MAX).into()];
        if let Some((name, version)) = after {
            conditions.push("(name > $2 OR (name = $2 AND version < $3))");
            parameters.extend([name.into(), version.into()]);
        }
        let of = format!("name = ${}", parameters.len() + 1);
        if let Some(name) = name {
            conditions.push(&of);
            parameters.push(name.into());
        }
        let statement = format!(
            "{DEPLOYMENT} WHERE {} ORDER BY name, version DESC LIMIT $1",
            conditions.join(" AND ")
        );
        let rows = self.sql().query(&statement, &parameters)?;
        rows.iter()
            .map(|row| Ok(deployment(Columns(row))?))
            .collect()
    }

    /// Returns the manifest that a version of a deployed flow was planned from; also of one that was undeployed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn deployed_manifest(
        &self,
        name: &str,
        version: i64,
    ) -> Result<Option<String>, StoreError> {
        let statement = "SELECT manifest FROM deployments WHERE name = $1 AND version = $2";
        let rows = self
            .sql()
            .query(statement, &[name.into(), version.into()])?;
        Ok(rows.first().map(|row| Columns(row).text(0)).transpose()?)
    }
}

impl Admin<'_> {
    /// Deploys a flow, and returns its version.
    ///
    /// # Errors
    /// `AdminRequired`; `Conflict` when the newest version is not the one that the new version replaces; `InvalidInput` for a name that
    /// [`is_plain_name`] refuses, or a plan that is not stored; [`StoreError::Database`].
    pub fn deploy(&mut self, new: NewDeployment<'_>) -> Result<i64, StoreError> {
        self.require_admin("deploy flows")?;
        if !is_plain_name(new.name) {
            let message = format!("`{}` is no name for a flow: {PLAIN_NAME}", new.name);
            return Err(TaskError::new("InvalidInput", message).into());
        }
        let view = self.view();
        if !view.has_plan(new.plan)? {
            let message = format!("the plan {} is not stored", new.plan);
            return Err(TaskError::new("InvalidInput", message).into());
        }
        let deployed = view.deployment(new.name, None)?;
        if deployed.as_ref().map(|one| one.version) != new.replaces {
            return Err(conflict(new.name));
        }
        let newest = view.deployments(Some(new.name), None, 1)?;
        let version = newest.first().map_or(0, |newest| newest.version) + 1;
        // On a server another transaction may insert the same version.
        let statement = "INSERT INTO deployments (name, version, plan, manifest, checks, user_id, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name, version) DO NOTHING";
        let parameters: [Cell; 7] = [
            new.name.into(),
            version.into(),
            new.plan.to_string().as_str().into(),
            new.manifest.into(),
            new.checks.to_string().as_str().into(),
            self.requester().user_id.as_str().into(),
            self.now().into(),
        ];
        if self.execute(statement, &parameters)? == 0 {
            return Err(conflict(new.name));
        }
        self.record(Change {
            action: "flow.deploy",
            subject: new.name,
            before: deployed.map_or(Value::Null, |one| shown(one.version, &one.plan)),
            after: json!({"version": version, "plan": new.plan, "checks": new.checks}),
            ..Change::default()
        })?;
        Ok(version)
    }

    /// Undeploys a flow: the given version, or all of them; returns those versions. Flows that were begun go on.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound` when none is deployed; [`StoreError::Database`].
    pub fn undeploy(&mut self, flow: &DeploymentName) -> Result<Vec<i64>, StoreError> {
        self.require_admin("undeploy flows")?;
        let mut statement =
            "UPDATE deployments SET withdrawn_at = $2 WHERE name = $1 AND withdrawn_at IS NULL"
                .to_owned();
        let mut parameters: Vec<Cell> = vec![flow.name.as_str().into(), self.now().into()];
        if let Some(version) = flow.version {
            statement += " AND version = $3";
            parameters.push(version.into());
        }
        statement += " RETURNING version, plan";
        let rows = self.returning(&statement, &parameters)?;
        let undeployed = rows.iter().map(|row| {
            let row = Columns(row);
            Ok((row.int(0)?, row.text(1)?))
        });
        let mut undeployed = undeployed.collect::<Result<Vec<_>, SqlError>>()?;
        if undeployed.is_empty() {
            return Err(not_found("deployed flow", &flow.to_string()).into());
        }
        undeployed.sort_unstable();
        let before = undeployed.iter();
        let before: Vec<Value> = before
            .map(|(version, plan)| shown(*version, plan))
            .collect();
        self.record(Change {
            action: "flow.undeploy",
            subject: &flow.name,
            before: before.into(),
            ..Change::default()
        })?;
        Ok(undeployed.into_iter().map(|(version, _)| version).collect())
    }
}

/// Returns a version for the audit.
fn shown(version: i64, plan: &impl Serialize) -> Value {
    json!({"version": version, "plan": plan})
}

fn conflict(name: &str) -> StoreError {
    let message = format!("another version of `{name}` was deployed or undeployed meanwhile");
    TaskError::new("Conflict", message).into()
}

fn deployment(row: Columns<'_>) -> Result<Deployment, SqlError> {
    let plan = row.text(2)?;
    let plan = plan
        .parse()
        .map_err(|error| SqlError::harmless(format!("the plan of a deployment: {error}")))?;
    Ok(Deployment {
        name: row.text(0)?,
        version: row.int(1)?,
        plan,
        checks: row.optional_json(3)?,
        user_id: row.text(4)?,
        created_at: Timestamp(row.int(5)?),
        withdrawn_at: row.optional_int(6)?.map(Timestamp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployed_flow_is_named_with_or_without_its_version() {
        for (text, version) in [("greet", None), ("volume:create@12", Some(12))] {
            let name: DeploymentName = text.parse().unwrap();
            assert_eq!(name.version, version);
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "",
            "@1",
            "a@",
            "a@0",
            "a@-1",
            "a@+1",
            "a@1@2",
            "a@9223372036854775808",
            "a b",
            "é",
            "a\u{1b}[m",
            "../a",
        ] {
            assert_eq!(
                text.parse::<DeploymentName>(),
                Err(NoDeploymentName),
                "{text:?}"
            );
        }
    }
}
