use cairn_model::value::Object;

/// Add a volume that the caller's project owns.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeCreate {
    /// Columns of the volume; names that are no column are passed over.
    pub properties: Object,
}

/// Change `status`, `host` or `scheduled_at` of a volume of the caller's project.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeUpdate {
    /// The volume.
    pub id: String,
    /// The new values; `scheduled_at` takes `"now"`.
    pub changes: Object,
}

/// Soft-delete a volume that this flow made.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeDestroy {
    /// The volume.
    pub id: String,
}
