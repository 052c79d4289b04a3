use crate::quota::Drift;
use crate::rules::operate;
use cairn_effects::rows::Text;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::admin::{Admin, not_found};
use cairn_store::audit::{Change, shown};

use super::catalogue::{self, NewImage, NewVolumeType, record_deleted};
use super::quota::{self, Expired, Whose};
use super::record::query;

/// An operator's changes of block storage.
pub trait OperateVolumes {
    /// Registers an existing volume, such as one to copy, in the caller's project, and books its quota.
    ///
    /// # Errors
    /// `InvalidInput`, `OverQuota`; those of [`VolumeCreate`](crate::VolumeCreate).
    fn create_volume(&mut self, properties: Object) -> Result<Value, StoreError>;

    /// Sets `status` or `host` of a volume, as a storage backend would.
    ///
    /// # Errors
    /// `VolumeNotFound`.
    fn update_volume(&mut self, id: &str, changes: Object) -> Result<Value, StoreError>;

    /// Soft-deletes a volume, and returns its booked quota to the volume's project. A later rollback of the flow that created it
    /// does not return the quota a second time.
    ///
    /// # Errors
    /// `VolumeNotFound`; `VolumeInUse` when it has snapshots; `FlowUnfinished` while the flow that created it has not ended,
    /// because that flow may still book the volume or return its quota.
    fn delete_volume(&mut self, id: &str) -> Result<(), StoreError>;

    /// Registers a snapshot of a volume in the volume's project, and books its quota there; returns the snapshot.
    ///
    /// # Errors
    /// `VolumeNotFound`, `OverQuota`.
    fn create_snapshot(
        &mut self,
        volume_id: &str,
        name: Option<&str>,
        status: &str,
    ) -> Result<Object, StoreError>;

    /// Soft-deletes a snapshot, and returns the quota that was booked at its creation, even if the settings have changed since.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete_snapshot(&mut self, id: &str) -> Result<(), StoreError>;

    /// Creates a volume type, with its QoS specs and encryption; returns its id.
    ///
    /// # Errors
    /// `Duplicate` when a type of this name exists.
    fn create_volume_type(&mut self, new: &NewVolumeType) -> Result<String, StoreError>;

    /// Soft-deletes a volume type; its quota resources remain. With `force`, volumes keep the deleted type, and their usage also
    /// counts in the resources of a new type of the same name.
    ///
    /// # Errors
    /// `NotFound`; `VolumeTypeInUse` without `force`, when volumes use it.
    fn delete_volume_type(&mut self, id: &str, force: bool) -> Result<(), StoreError>;

    /// Registers an image; returns its id.
    ///
    /// # Errors
    /// Those of the database.
    fn create_image(&mut self, new: &NewImage) -> Result<String, StoreError>;

    /// Removes an image.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete_image(&mut self, id: &str) -> Result<(), StoreError>;

    /// Adds a zone, if it does not exist. The first zone that is added makes all other names invalid.
    ///
    /// # Errors
    /// Those of the database.
    fn create_zone(&mut self, name: &str) -> Result<(), StoreError>;

    /// Removes a zone.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete_zone(&mut self, name: &str) -> Result<(), StoreError>;

    /// Sets a project's limit; `None` and -1 are unlimited.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`; `InvalidInput` for a limit below -1.
    fn set_project_limit(
        &mut self,
        project: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<(), StoreError>;

    /// Sets a quota class's limit; the class `default` applies to all projects.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`; `InvalidInput` for a limit below -1.
    fn set_class_limit(
        &mut self,
        class: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<(), StoreError>;

    /// Removes a project's limit, so that the limit of its class or the default applies.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`; `LimitNotFound` when the project has none of its own.
    fn unset_project_limit(&mut self, project: &str, resource: &str) -> Result<(), StoreError>;

    /// Removes a quota class's limit.
    ///
    /// # Errors
    /// `QuotaResourceUnknown`; `LimitNotFound` when the class has none of its own.
    fn unset_class_limit(&mut self, class: &str, resource: &str) -> Result<(), StoreError>;

    /// Rolls back every open reservation that is past its expiry, except those of flows that have not ended: the flow or its
    /// recovery closes those, and could not be rolled back if they were closed before.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Elsewhere`] when a live host owns a project and does not hand it over in time. Where hosts share a
    /// database, call [`expire_project`](Self::expire_project) in a transaction for each of the
    /// [`expiring_projects`](super::ReadVolumes::expiring_projects).
    fn expire_reservations(&mut self) -> Result<Expired, StoreError>;

    /// Rolls back a project's reservations like [`expire_reservations`](Self::expire_reservations).
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Elsewhere`].
    fn expire_project(&mut self, project: &str) -> Result<Expired, StoreError>;

    /// Removes a project's limits, usages and reservations.
    ///
    /// # Errors
    /// `AdminRequired`.
    fn destroy_project_quotas(&mut self, project: &str) -> Result<(), StoreError>;

    /// Sets every usage to the booked and reserved amounts, and returns those that differed. Missing usages are created.
    ///
    /// Running flows are not disturbed: one write transaction reads the rows and corrects each counter by its difference, and flows
    /// change counters by deltas only.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Elsewhere`] when a live host owns a project and does not hand it over in time. Where hosts share a
    /// database, call [`sync_project`](Self::sync_project) in a transaction for each of the
    /// [`drifting_projects`](super::ReadVolumes::drifting_projects).
    fn sync_usages(&mut self) -> Result<Vec<Drift>, StoreError>;

    /// Sets the usages of a project like [`sync_usages`](Self::sync_usages).
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Elsewhere`].
    fn sync_project(&mut self, project: &str) -> Result<Vec<Drift>, StoreError>;
}

impl OperateVolumes for Admin<'_> {
    fn create_volume(&mut self, properties: Object) -> Result<Value, StoreError> {
        let volume = self.rules(|rows| operate::create_volume(rows, properties.clone()))?;
        let id = text(&volume, "id");
        self.record(Change {
            action: "volume.import",
            subject: id,
            project_id: Some(text(&volume, "project_id")),
            after: shown(volume.as_object().cloned().unwrap_or_default()),
            ..Change::default()
        })?;
        Ok(volume)
    }

    fn update_volume(&mut self, id: &str, changes: Object) -> Result<Value, StoreError> {
        let (before, volume) =
            self.rules(|rows| operate::update_volume(rows, id, changes.clone()))?;
        let changed = |row: &Object| {
            let columns = changes.keys();
            let columns =
                columns.map(|name| (name.clone(), row.get(name).cloned().unwrap_or_default()));
            Value::Object(columns.collect())
        };
        self.record(Change {
            action: "volume.set",
            subject: id,
            project_id: Some(text(&volume, "project_id")),
            before: changed(&before),
            after: Value::Object(changes.clone()),
            ..Change::default()
        })?;
        Ok(volume)
    }

    fn delete_volume(&mut self, id: &str) -> Result<(), StoreError> {
        self.rules(|rows| operate::check_unused(rows, id))?;
        require_ended_flow(self, id)?;
        let deleted = self.rules(|rows| operate::delete_volume(rows, id))?;
        record_deleted(self, "volume.delete", id, deleted)
    }

    fn create_snapshot(
        &mut self,
        volume_id: &str,
        name: Option<&str>,
        status: &str,
    ) -> Result<Object, StoreError> {
        let snapshot =
            self.rules(|rows| operate::create_snapshot(rows, volume_id, name, status))?;
        let text = |name| snapshot.get(name).and_then(Value::as_str);
        self.record(Change {
            action: "snapshot.create",
            subject: text("id").unwrap_or_default(),
            project_id: text("project_id"),
            after: shown(snapshot.clone()),
            ..Change::default()
        })?;
        Ok(snapshot)
    }

    fn delete_snapshot(&mut self, id: &str) -> Result<(), StoreError> {
        let deleted = self.rules(|rows| operate::delete_snapshot(rows, id))?;
        let deleted = deleted.ok_or_else(|| not_found("snapshot", id))?;
        record_deleted(self, "snapshot.delete", id, deleted)
    }

    fn create_volume_type(&mut self, new: &NewVolumeType) -> Result<String, StoreError> {
        catalogue::create_volume_type(self, new)
    }

    fn delete_volume_type(&mut self, id: &str, force: bool) -> Result<(), StoreError> {
        catalogue::delete_volume_type(self, id, force)
    }

    fn create_image(&mut self, new: &NewImage) -> Result<String, StoreError> {
        catalogue::create_image(self, new)
    }

    fn delete_image(&mut self, id: &str) -> Result<(), StoreError> {
        catalogue::delete_image(self, id)
    }

    fn create_zone(&mut self, name: &str) -> Result<(), StoreError> {
        catalogue::create_zone(self, name)
    }

    fn delete_zone(&mut self, name: &str) -> Result<(), StoreError> {
        catalogue::delete_zone(self, name)
    }

    fn set_project_limit(
        &mut self,
        project: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<(), StoreError> {
        quota::set_limit(self, Whose::Project(project), resource, limit)
    }

    fn set_class_limit(
        &mut self,
        class: &str,
        resource: &str,
        limit: Option<i64>,
    ) -> Result<(), StoreError> {
        quota::set_limit(self, Whose::Class(class), resource, limit)
    }

    fn unset_project_limit(&mut self, project: &str, resource: &str) -> Result<(), StoreError> {
        quota::unset_limit(self, Whose::Project(project), resource)
    }

    fn unset_class_limit(&mut self, class: &str, resource: &str) -> Result<(), StoreError> {
        quota::unset_limit(self, Whose::Class(class), resource)
    }

    fn expire_reservations(&mut self) -> Result<Expired, StoreError> {
        self.require_admin("expire reservations")?;
        let mut expired = Expired::default();
        for project in quota::expiring(&self.view())? {
            expired += quota::expire(self, &project)?;
        }
        Ok(expired)
    }

    fn expire_project(&mut self, project: &str) -> Result<Expired, StoreError> {
        quota::expire(self, project)
    }

    fn destroy_project_quotas(&mut self, project: &str) -> Result<(), StoreError> {
        quota::destroy(self, project)
    }

    fn sync_usages(&mut self) -> Result<Vec<Drift>, StoreError> {
        self.require_admin("mend usages")?;
        let mut mended = Vec::new();
        for project in quota::drifting(&self.view())? {
            mended.extend(quota::sync(self, &project)?);
        }
        Ok(mended)
    }

    fn sync_project(&mut self, project: &str) -> Result<Vec<Drift>, StoreError> {
        quota::sync(self, project)
    }
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row[name].as_str().unwrap_or_default()
}

/// Refuses to delete a volume while the flow that created it has not ended. A pruned flow has ended.
///
/// # Errors
/// `FlowUnfinished`.
fn require_ended_flow(admin: &Admin<'_>, volume: &str) -> Result<(), StoreError> {
    let statement =
        "SELECT flows.id, flows.state FROM volumes JOIN flows ON flows.id = volumes.flow
         WHERE volumes.id = $1 AND flows.state NOT IN ('SUCCESS', 'FAILURE')";
    let unfinished = query::<(FlowId, Text)>(&admin.view(), statement, &[volume.into()])?.pop();
    let Some((flow, state)) = unfinished else {
        return Ok(());
    };
    let message = format!(
        "volume `{volume}` was made by flow {flow}, which has not ended ({state}): `cairn flow rollback {flow}` takes the \
         volume away, `cairn flow resume {flow}` finishes it"
    );
    Err(TaskError::new("FlowUnfinished", message)
        .with("flow", flow.to_string())
        .with("state", &*state)
        .into())
}
