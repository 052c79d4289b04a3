//! What operators read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::quota::{self, Limits};
use super::row::{self, As, Columns};
use super::writer::{Fault, Tx, describe, scalar};
use super::{Env, Sqlite, SqliteConfig, lookup, open};
use crate::clock::Clock;
use crate::error::TaskError;
use crate::event::{Entry, FlowState, FlowSummary};
use crate::id::{FlowId, Identity};
use crate::quota::Usage;
use crate::store::{Caller, StoreError};
use crate::value::{Digest, Object, Value};

/// What the operator's lists are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Volumes.
    Volume,
    /// Snapshots.
    Snapshot,
    /// Volume types.
    VolumeType,
    /// QoS specs.
    QosSpecs,
    /// Images.
    Image,
    /// Messages to other services.
    Cast,
    /// Quota reservations.
    Reservation,
    /// Quota usages.
    Usage,
}

const CAST: Columns = &[
    ("id", As::Plain),
    ("state", As::Plain),
    ("topic", As::Plain),
    ("method", As::Plain),
    ("arguments", As::Json),
    ("created_at", As::Time),
];

const RESERVATION: Columns = &[
    ("id", As::Plain),
    ("project_id", As::Plain),
    ("resource", As::Plain),
    ("delta", As::Plain),
    ("state", As::Plain),
    ("expire", As::Time),
    ("created_at", As::Time),
];

const USAGE: Columns = &[
    ("project_id", As::Plain),
    ("resource", As::Plain),
    ("in_use", As::Plain),
    ("reserved", As::Plain),
    ("until_refresh", As::Plain),
    ("updated_at", As::Time),
    ("deleted", As::Bool),
];

impl Kind {
    /// Columns, table, and whether the columns `project_id` and `deleted` are there.
    const fn layout(self) -> (Columns, &'static str, bool, bool) {
        match self {
            Self::Volume => (row::VOLUME, "volumes", true, true),
            Self::Snapshot => (row::SNAPSHOT, "snapshots", true, true),
            Self::VolumeType => (row::VOLUME_TYPE, "volume_types", false, true),
            Self::QosSpecs => (row::QOS_SPECS, "qos_specs", false, false),
            Self::Image => (row::IMAGE, "images", false, false),
            Self::Cast => (CAST, "outbox", false, false),
            Self::Reservation => (RESERVATION, "reservations", true, false),
            Self::Usage => (USAGE, "quota_usages", true, true),
        }
    }
}

/// The quota of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// The limit; -1 and null are unlimited.
    pub limit: Option<i64>,
    /// Committed and reserved amounts; absent where they were not asked for.
    #[serde(flatten)]
    pub usage: Option<QuotaUsage>,
}

/// How much of a resource is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
}

impl From<Usage> for QuotaUsage {
    fn from(usage: Usage) -> Self {
        Self {
            in_use: usage.in_use,
            reserved: usage.reserved,
        }
    }
}

/// A database that is only read.
pub struct Reader {
    connection: Connection,
    env: Env,
}

impl Reader {
    /// Opens the database at `path`, which must exist.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be read, is no database, or was made by a newer version.
    pub fn open(
        path: &Path,
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let connection = open::read_only(path)?;
        Ok(Self {
            connection,
            env: Env::new(config, clock),
        })
    }

    /// What `requester` may read.
    pub fn view<'a>(&'a self, requester: &'a Identity) -> View<'a> {
        View {
            tx: Tx::new(
                &self.connection,
                &self.env,
                Caller {
                    call: None,
                    requester,
                },
            ),
        }
    }

    /// Whether the file is sound: what SQLite's own check finds, and the schema's version.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot even be asked.
    pub fn check(&self) -> Result<DatabaseCheck, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::Database(describe(&error));
        let mut statement = self
            .connection
            .prepare("PRAGMA integrity_check")
            .map_err(failed)?;
        let lines = statement.query_map([], |row| row.get(0)).map_err(failed)?;
        let problems: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed)?;
        let (version, newest) = open::schema_version(&self.connection)?;
        Ok(DatabaseCheck {
            schema_version: version,
            newest_version: newest,
            problems: problems.into_iter().filter(|line| line != "ok").collect(),
        })
    }
}

/// What a check of the database found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseCheck {
    /// The schema's version.
    pub schema_version: usize,
    /// The newest version this program knows.
    pub newest_version: usize,
    /// What is wrong with the file; empty when nothing is.
    pub problems: Vec<String>,
}

impl Sqlite {
    /// Reads as `requester`, with what was written before.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T>(
        &self,
        requester: &Identity,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer();
        writer.commit()?;
        let (connection, env) = writer.parts();
        let caller = Caller {
            call: None,
            requester,
        };
        read(&View {
            tx: Tx::new(connection, env, caller),
        })
    }
}

/// What one caller may read.
pub struct View<'a> {
    pub(super) tx: Tx<'a>,
}

impl View<'_> {
    fn connection(&self) -> &Connection {
        self.tx.connection
    }

    /// Rows of one kind, in order of their ids; of one project, and with soft-deleted ones, where that is asked for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn list(
        &self,
        kind: Kind,
        project: Option<&str>,
        deleted: bool,
    ) -> Result<Vec<Object>, StoreError> {
        let (columns, table, has_project, has_deleted) = kind.layout();
        let mut conditions = vec!["1"];
        if has_deleted && !deleted {
            conditions.push("deleted = 0");
        }
        if has_project && project.is_some() {
            conditions.push("project_id = :project");
        }
        let rest = format!("WHERE {} ORDER BY id", conditions.join(" AND "));
        let statement = row::select(columns, table, &rest);
        let rows = match project.filter(|_| has_project) {
            Some(project) => row::rows(
                self.connection(),
                columns,
                &statement,
                &[(":project", project)],
            ),
            None => row::rows(self.connection(), columns, &statement, []),
        };
        rows.map_err(failed)
    }

    /// One row by its id, soft-deleted or not; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn find(&self, kind: Kind, id: &str) -> Result<Option<Object>, StoreError> {
        let (columns, table, ..) = kind.layout();
        let statement = row::select(columns, table, "WHERE id = ?");
        row::first(self.connection(), columns, &statement, [id]).map_err(failed)
    }

    /// Rows of one kind with this display name or name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn named(&self, kind: Kind, name: &str) -> Result<Vec<Object>, StoreError> {
        let (columns, table, _, has_deleted) = kind.layout();
        let column = match kind {
            Kind::Volume | Kind::Snapshot => "display_name",
            _ => "name",
        };
        let alive = if has_deleted { "AND deleted = 0" } else { "" };
        let statement = row::select(columns, table, &format!("WHERE {column} = ? {alive}"));
        row::rows(self.connection(), columns, &statement, [name]).map_err(failed)
    }

    /// What is encrypted: the encryption of a volume type; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn encryption(&self, volume_type_id: &str) -> Result<Option<Object>, StoreError> {
        const ENCRYPTION: Columns = &[
            ("provider", As::Plain),
            ("cipher", As::Plain),
            ("key_size", As::Plain),
            ("control_location", As::Plain),
        ];
        let statement = row::select(
            ENCRYPTION,
            "encryptions",
            "WHERE volume_type_id = ? AND deleted = 0",
        );
        row::first(self.connection(), ENCRYPTION, &statement, [volume_type_id]).map_err(failed)
    }

    /// A volume's metadata.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn metadata(&self, volume: &str) -> Result<Value, StoreError> {
        let text: Option<String> = scalar(
            self.connection(),
            "SELECT metadata FROM volumes WHERE id = ?",
            [volume],
        )
        .map_err(failed)?;
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null))
    }

    /// Names of the zones that volumes may be placed in; every zone while there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn zones(&self) -> Result<Vec<String>, StoreError> {
        let names = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self
                .connection()
                .prepare("SELECT name FROM zones ORDER BY name")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        names().map_err(failed)
    }

    /// Flows, the newest first; of one state where that is asked for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flows(
        &self,
        state: Option<FlowState>,
        limit: usize,
    ) -> Result<Vec<FlowSummary>, StoreError> {
        lookup::flows(self.connection(), state.map(FlowState::as_str), limit).map_err(failed)
    }

    /// A flow's journal; empty for a flow that nobody knows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn journal(&self, flow: FlowId) -> Result<Vec<Entry>, StoreError> {
        lookup::journal(self.connection(), flow).map_err(failed)
    }

    /// A stored plan, as JSON.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let statement = "SELECT body FROM plans WHERE digest = ?";
        scalar(self.connection(), statement, [digest.to_string()]).map_err(failed)
    }

    // ---- Quotas --------------------------------------------------------------------------------------------------

    /// The quotas of a project: limits, and what is used. Without `defaults` only those that the project has rows for;
    /// `class` counts for another project than the caller's own.
    ///
    /// # Errors
    /// `NotAuthorized` for another project's, or another class's, without being admin.
    pub fn project_quotas(
        &self,
        project: &str,
        class: Option<&str>,
        defaults: bool,
        with_usages: bool,
    ) -> Result<BTreeMap<String, Quota>, StoreError> {
        let mut limits = quota::limits_for(&self.tx, project).map_err(refused)?;
        if project != self.tx.by.requester.project_id {
            limits.class = class;
        }
        let usages = if with_usages {
            quota::usages(self.connection(), project).map_err(failed)?
        } else {
            BTreeMap::new()
        };
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self.connection()).map_err(failed)? {
            if !defaults && limits.own(&name).map_err(failed)?.is_none() {
                continue;
            }
            let limit = limits.get(&resource).map_err(failed)?;
            let usage = with_usages.then(|| usages.get(&name).copied().unwrap_or_default().into());
            quotas.insert(
                name,
                Quota {
                    limit: limit.into(),
                    usage,
                },
            );
        }
        Ok(quotas)
    }

    /// The limits of a class: its rows, and the defaults for the rest unless only rows are asked for.
    ///
    /// # Errors
    /// `NotAuthorized` for another class than the caller's own without being admin.
    pub fn class_quotas(
        &self,
        class: &str,
        defaults: bool,
    ) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let caller = self.tx.by.requester;
        if !caller.is_admin && caller.quota_class.as_deref() != Some(class) {
            let message =
                format!("the limits of class `{class}` are shown to that class and to admins only");
            return Err(TaskError::new("NotAuthorized", message).into());
        }
        let limits = self.limits(&caller.project_id);
        let mut quotas = BTreeMap::new();
        for (name, resource) in quota::resources(self.connection()).map_err(failed)? {
            let limit = match limits.of_class(class, &name).map_err(failed)? {
                Some(limit) => limit,
                None if defaults => limits.of_everybody(&resource).map_err(failed)?,
                None => continue,
            };
            quotas.insert(name, limit.into());
        }
        Ok(quotas)
    }

    /// The limits of a project that has no rows of its own or of its class.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn default_quotas(&self) -> Result<BTreeMap<String, Option<i64>>, StoreError> {
        let limits = self.limits("");
        let resources = quota::resources(self.connection()).map_err(failed)?;
        let quotas = resources.into_iter().map(|(name, resource)| {
            let limit = limits.default(&resource).map_err(failed)?;
            Ok((name, limit.into()))
        });
        quotas.collect()
    }

    /// Names of all resources, sorted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn quota_resources(&self) -> Result<Vec<String>, StoreError> {
        let resources = quota::resources(self.connection()).map_err(failed)?;
        Ok(resources.into_keys().collect())
    }

    fn limits<'b>(&'b self, project: &'b str) -> Limits<'b> {
        Limits {
            connection: self.connection(),
            config: &self.tx.env.config.quota,
            project,
            class: None,
        }
    }

    /// The id of the row of `kind` that is meant by an id or a name.
    ///
    /// # Errors
    /// A refusal when there is none, or when several bear the name.
    pub fn resolve(&self, kind: Kind, id_or_name: &str) -> Result<Object, StoreError> {
        if let Some(found) = self.find(kind, id_or_name)? {
            return Ok(found);
        }
        let mut found = self.named(kind, id_or_name)?;
        let noun = match kind {
            Kind::Volume => "volume",
            Kind::Snapshot => "snapshot",
            Kind::VolumeType => "volume type",
            Kind::QosSpecs => "QoS specs",
            Kind::Image => "image",
            Kind::Cast | Kind::Reservation | Kind::Usage => "row",
        };
        match (found.pop(), found.is_empty()) {
            (Some(row), true) => Ok(row),
            (Some(_), false) => {
                let message =
                    format!("several are called `{id_or_name}`: name the {noun} by its id");
                Err(TaskError::new("NotUnique", message).into())
            }
            (None, _) => {
                let message = format!("there is no {noun} `{id_or_name}`");
                Err(TaskError::new("NotFound", message).into())
            }
        }
    }

    /// Whether the caller may see a row: of the caller's project or everybody's, or any for an admin; and not deleted.
    pub fn may_see(&self, kind: Kind, row: &Object) -> bool {
        match kind {
            Kind::Volume | Kind::Snapshot => self.tx.may_see(row),
            Kind::Image => {
                let caller = self.tx.by.requester;
                let owner = row.get("project_id").and_then(Value::as_str);
                caller.is_admin || owner.is_none_or(|owner| owner == caller.project_id)
            }
            Kind::VolumeType => row.get("deleted") != Some(&Value::from(true)),
            Kind::QosSpecs | Kind::Cast | Kind::Reservation | Kind::Usage => true,
        }
    }

    /// Whether there is a type for volumes for which none is asked.
    pub fn has_default_volume_type(&self) -> bool {
        self.tx.env.config.default_volume_type.is_some()
    }

    /// Whether a row exists that `statement` finds.
    pub(super) fn exists(&self, statement: &str, id: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .connection()
            .prepare_cached(statement)
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(failed)?;
        Ok(found.is_some())
    }
}

pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Database(describe(&error))
}

pub(super) fn refused(fault: Fault) -> StoreError {
    match fault {
        Fault::Refused(error) => StoreError::Refused(error),
        Fault::Sqlite(error) => failed(error),
    }
}
