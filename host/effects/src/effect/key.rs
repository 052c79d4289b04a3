/// Make a random 256-bit key for the caller's project.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCreate;

/// Make a key with the bits of `id`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCopy {
    /// A key of the caller's project.
    pub id: String,
}

/// Remove a key that this flow made.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDelete {
    /// The key.
    pub id: String,
}
