/// The quantity that a resource counts.
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
    /// All measures.
    pub const ALL: [Self; 3] = [Self::Volumes, Self::Snapshots, Self::Gigabytes];

    /// Returns the name of its resource; the resource of a volume type adds `_<type>`.
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
    /// The quantity that it counts.
    pub measure: Measure,
    /// The volume type that it is limited to: id and name.
    pub volume_type: Option<(String, String)>,
}

impl Resource {
    /// Returns its name, such as `volumes` or `gigabytes_gold`.
    pub fn name(&self) -> String {
        match &self.volume_type {
            None => self.measure.as_str().to_owned(),
            Some((_, name)) => type_resource(self.measure.as_str(), name),
        }
    }
}

/// Returns the name of `resource` limited to one volume type.
pub fn type_resource(resource: &str, volume_type: &str) -> String {
    format!("{resource}_{volume_type}")
}
