/// What a resource counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Volumes.
    Volumes,
    /// Snapshots.
    Snapshots,
    /// GiB, of volumes and snapshots.
    Gigabytes,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Volumes, Self::Snapshots, Self::Gigabytes];

    /// The resource's name; that of a volume type's own adds `_<type>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Snapshots => "snapshots",
            Self::Gigabytes => "gigabytes",
        }
    }
}

/// A resource that a project has a quota of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// What it counts.
    pub measure: Measure,
    /// The volume type it is confined to: id and name.
    pub volume_type: Option<(String, String)>,
}

impl Resource {
    /// Its name, such as `volumes` or `gigabytes_gold`.
    pub fn name(&self) -> String {
        match &self.volume_type {
            None => self.measure.as_str().to_owned(),
            Some((_, name)) => type_resource(self.measure.as_str(), name),
        }
    }
}

/// The name of the resource that is `resource` confined to one volume type.
pub fn type_resource(resource: &str, volume_type: &str) -> String {
    format!("{resource}_{volume_type}")
}
