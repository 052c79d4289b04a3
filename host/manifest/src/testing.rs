//! The capabilities in the tests of this crate.

use std::sync::Arc;

use crate::manifest::{GrantKind, GrantKinds, SimpleGrantKind};

const KINDS: [SimpleGrantKind; 9] = [
    SimpleGrantKind::new("results", &["cairn:plugin/results"], &[]),
    SimpleGrantKind::new("policy", &["cairn:plugin/policy"], &[]),
    SimpleGrantKind::new("zones", &["cairn:plugin/zones"], &[]),
    SimpleGrantKind::new("catalog", &["cairn:plugin/catalog"], &[]),
    SimpleGrantKind::new("images", &["cairn:plugin/images"], &[]),
    SimpleGrantKind::new("keys", &["cairn:plugin/keys"], &[]),
    SimpleGrantKind::new("quota", &["cairn:plugin/quota"], &[]).narrowed_by("resources"),
    SimpleGrantKind::new("volumes", &["cairn:plugin/volumes"], &[]),
    SimpleGrantKind::new("rpc", &["cairn:plugin/rpc"], &[]).narrowed_by("topics"),
];

/// Registers the capabilities.
pub(crate) fn kinds() -> GrantKinds {
    let kinds = KINDS.map(|kind| Arc::new(kind) as Arc<dyn GrantKind>);
    GrantKinds::new(kinds).expect("their names differ")
}
