//! Deployed flows: plans that clients ask for by name.

use serde::Serialize;
use serde_json::json;

use cairn_effects::rows::Cell;
use cairn_model::clock::{self, Timestamp};
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
    /// The text of the manifest that it was planned from.
    #[serde(skip)]
    pub manifest: String,
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
    /// The digest of its plan, which must be stored.
    pub plan: Digest,
    /// The text of its manifest.
    pub manifest: &'a str,
    /// What the cases and laws of its plugins came to.
    pub checks: &'a Value,
}

const DEPLOYMENT: &str = "SELECT name, version, plan, manifest, checks, user_id, created_at, withdrawn_at FROM deployments";

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
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn deployments(&self, name: Option<&str>) -> Result<Vec<Deployment>, StoreError> {
        let rows = match name {
            None => {
                let statement = format!("{DEPLOYMENT} ORDER BY name, version DESC");
                self.sql().query(&statement, &[])?
            }
            Some(name) => {
                let statement = format!("{DEPLOYMENT} WHERE name = $1 ORDER BY name, version DESC");
                self.sql().query(&statement, &[name.into()])?
            }
        };
        rows.iter()
            .map(|row| Ok(deployment(Columns(row))?))
            .collect()
    }
}

impl Admin<'_> {
    /// Deploys a flow, and returns its version.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn deploy(&mut self, new: NewDeployment<'_>) -> Result<i64, StoreError> {
        let newest = self.view().deployments(Some(new.name))?;
        let version = newest.first().map_or(0, |newest| newest.version) + 1;
        let statement =
            "INSERT INTO deployments (name, version, plan, manifest, checks, user_id, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let parameters: [Cell; 7] = [
            new.name.into(),
            version.into(),
            new.plan.to_string().as_str().into(),
            new.manifest.into(),
            new.checks.to_string().as_str().into(),
            self.requester().user_id.as_str().into(),
            self.now().into(),
        ];
        self.execute(statement, &parameters)?;
        let deployed = newest.iter().find(|one| one.withdrawn_at.is_none());
        self.record(Change {
            action: "flow.deploy",
            subject: new.name,
            before: deployed.map_or(Value::Null, |one| shown(one.version, one.plan)),
            after: json!({"version": version, "plan": new.plan, "checks": new.checks}),
            ..Change::default()
        })?;
        Ok(version)
    }

    /// Undeploys a version of a flow, or all of them; returns how many. Flows that were begun go on.
    ///
    /// # Errors
    /// `NotFound` when none is deployed; [`StoreError::Database`].
    pub fn undeploy(&mut self, name: &str, version: Option<i64>) -> Result<usize, StoreError> {
        let mut statement =
            "UPDATE deployments SET withdrawn_at = $2 WHERE name = $1 AND withdrawn_at IS NULL"
                .to_owned();
        let mut parameters: Vec<Cell> = vec![name.into(), self.now().into()];
        if let Some(version) = version {
            statement += " AND version = $3";
            parameters.push(version.into());
        }
        let deployed = self.view().deployments(Some(name))?;
        let deployed = deployed.iter().filter(|one| {
            one.withdrawn_at.is_none() && version.is_none_or(|version| one.version == version)
        });
        let before: Vec<Value> = deployed.map(|one| shown(one.version, one.plan)).collect();
        let undeployed = self.execute(&statement, &parameters)?;
        if undeployed == 0 {
            let name = match version {
                Some(version) => format!("{name}@{version}"),
                None => name.to_owned(),
            };
            return Err(not_found("deployed flow", &name).into());
        }
        self.record(Change {
            action: "flow.undeploy",
            subject: name,
            before: before.into(),
            ..Change::default()
        })?;
        Ok(undeployed)
    }
}

/// Returns a version for the audit.
fn shown(version: i64, plan: Digest) -> Value {
    json!({"version": version, "plan": plan})
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
        manifest: row.text(3)?,
        checks: row.optional_json(4)?,
        user_id: row.text(5)?,
        created_at: Timestamp(row.int(6)?),
        withdrawn_at: row.optional_int(7)?.map(Timestamp),
    })
}
