/// What a task asks the host to look up. A volume or snapshot is seen with what this flow did to it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// A volume type that is not deleted, by id or by name.
    VolumeType(String),
    /// The type of volumes for which none is asked; null when the operator set none, and its name alone when there is no such
    /// type.
    DefaultVolumeType,
    /// The QoS specs of a volume type; null when it has none.
    QosSpecs(String),
    /// Whether volumes of a type are encrypted.
    Encrypted(String),
    /// A snapshot of the caller's project.
    Snapshot(String),
    /// A volume of the caller's project.
    Volume(String),
    /// An image.
    Image(String),
    /// Whether volumes may be placed in a zone.
    ZoneIsValid(String),
    /// Name of a volume type, deleted or not, for the quota resources that are its own.
    VolumeTypeName(String),
    /// The resources of those of these reservations that are open and this flow's, as a list of names.
    ReservedResources(Vec<String>),
}
