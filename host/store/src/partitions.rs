//! Which host owns which projects, where several write at the same time. Projects hash to partitions; a partition belongs to one live host, whose rows in memory are right.

use cairn_model::value::Digest;

/// How many partitions there are. It never changes, as the database keeps them.
pub const PARTITIONS: usize = 256;

/// Returns the partition of a project: the first byte of the SHA-256 of its name.
pub fn partition_of(project_id: &str) -> u8 {
    Digest::of(project_id.as_bytes()).0[0]
}

/// A set of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions([u64; PARTITIONS / 64]);

impl Default for Partitions {
    fn default() -> Self {
        Self([0; PARTITIONS / 64])
    }
}

impl Partitions {
    /// Returns whether a project is in one of these partitions.
    pub fn own(&self, project_id: &str) -> bool {
        self.contains(partition_of(project_id))
    }

    /// Returns all partitions.
    pub fn all() -> Self {
        Self([u64::MAX; PARTITIONS / 64])
    }

    /// Returns whether a partition is in this set.
    pub fn contains(&self, part: u8) -> bool {
        self.0[usize::from(part / 64)] & (1 << (part % 64)) != 0
    }

    /// Adds a partition.
    pub fn insert(&mut self, part: u8) {
        self.0[usize::from(part / 64)] |= 1 << (part % 64);
    }

    /// Removes a partition.
    pub fn remove(&mut self, part: u8) {
        self.0[usize::from(part / 64)] &= !(1 << (part % 64));
    }

    /// Returns how many partitions are in this set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; PARTITIONS / 64]
    }

    /// Returns the partitions, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let set = *self;
        (0..=u8::MAX).filter(move |part| set.contains(*part))
    }

    /// Returns the partitions that are in this set or in another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Returns the partitions of this set that are not in another.
    pub fn without(&self, other: &Self) -> Vec<u8> {
        self.iter().filter(|part| !other.contains(*part)).collect()
    }
}

impl FromIterator<u8> for Partitions {
    fn from_iter<I: IntoIterator<Item = u8>>(parts: I) -> Self {
        let mut set = Self::default();
        parts.into_iter().for_each(|part| set.insert(part));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_keeps_its_partition() {
        // Other hosts, and rows in the database, rely on these.
        let parts = ["acme", "globex", ""].map(partition_of);
        assert_eq!(parts, PINNED);
    }

    const PINNED: [u8; 3] = [0x82, 0x5b, 0xe3];

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut some = Partitions::default();
        assert_eq!(Partitions::all().without(&some).len(), PARTITIONS);
        for part in [0, 63, 64, 255] {
            some.insert(part);
            assert!(some.contains(part));
        }
        assert_eq!(some.without(&Partitions::default()), [0, 63, 64, 255]);
        assert_eq!(Partitions::all().without(&some).len(), PARTITIONS - 4);
        some.remove(64);
        assert_eq!((some.len(), some.iter().collect()), (3, vec![0, 63, 255]));
        assert_eq!(some, [0, 63, 255].into_iter().collect());
    }
}
