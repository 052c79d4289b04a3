//! Generated cases, as plain data, so that a failing case can be shrunk and read.

use proptest::prelude::*;

/// One action. Small numbers choose among existing objects.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Effect(u8, Wish, Race),
    Query(u8, Look, Race),
    Undo(u8, Race),
    /// Commits the open batch.
    Commit,
    /// Clears the row cache, as after a write of another process.
    Forget,
    Operator(Meddling),
    Later(u16),
}

/// An effect to apply.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Reserve(Vec<(u8, i8)>, bool),
    Close(u8, bool, bool),
    Create(u8, u8),
    Update(u8, u8),
    Destroy(u8),
    Key(u8, u8),
    Cast,
}

#[derive(Clone, Debug)]
pub(super) enum Look {
    Volume(u8),
    Snapshot(u8),
    Type(u8),
    Image(u8),
    Zone(u8),
    Reserved(u8),
}

/// An operator's change that bypasses the rules.
#[derive(Clone, Debug)]
pub(super) enum Meddling {
    Delete(u8),
    Snapshot(u8, bool),
    Lapse(u8),
    ForgetUsages,
    Limit(u8, i8),
    DeleteType(u8),
    MoveUsage(u8, i8),
    Zone(u8),
    TakeMessage,
}

/// When the open batch is committed during a fetch of rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Race {
    Never,
    BeforeTheLook,
    AfterTheLook,
}

pub(super) const RESOURCES: [&str; 6] = [
    "volumes",
    "gigabytes",
    "snapshots",
    "volumes_gold",
    "gigabytes_gold",
    "nothing",
];
pub(super) const TYPES: [&str; 3] = ["type-gold", "type-old", "type-none"];

pub(super) fn act() -> impl Strategy<Value = Act> {
    let race = prop_oneof![
        4 => Just(Race::Never),
        1 => Just(Race::BeforeTheLook),
        1 => Just(Race::AfterTheLook),
    ];
    let wish = prop_oneof![
        4 => (prop::collection::vec((0..6_u8, -3..6_i8), 1..3), prop::bool::weighted(0.1)).prop_map(|(deltas, other)| Wish::Reserve(deltas, other)),
        4 => (any::<u8>(), prop::bool::weighted(0.7), prop::bool::weighted(0.1)).prop_map(|(which, commit, other)| Wish::Close(which, commit, other)),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(from, kind)| Wish::Create(from, kind)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(which, to)| Wish::Update(which, to)),
        3 => any::<u8>().prop_map(Wish::Destroy),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(which, kind)| Wish::Key(which, kind)),
        1 => Just(Wish::Cast),
    ];
    let look = prop_oneof![
        any::<u8>().prop_map(Look::Volume),
        any::<u8>().prop_map(Look::Snapshot),
        any::<u8>().prop_map(Look::Type),
        any::<u8>().prop_map(Look::Image),
        any::<u8>().prop_map(Look::Zone),
        any::<u8>().prop_map(Look::Reserved),
    ];
    let operator = prop_oneof![
        any::<u8>().prop_map(Meddling::Delete),
        (any::<u8>(), any::<bool>()).prop_map(|(which, known)| Meddling::Snapshot(which, known)),
        any::<u8>().prop_map(Meddling::Lapse),
        Just(Meddling::ForgetUsages),
        (any::<u8>(), -1..9_i8).prop_map(|(which, limit)| Meddling::Limit(which, limit)),
        any::<u8>().prop_map(Meddling::DeleteType),
        (any::<u8>(), any::<i8>()).prop_map(|(which, by)| Meddling::MoveUsage(which, by)),
        any::<u8>().prop_map(Meddling::Zone),
        Just(Meddling::TakeMessage),
    ];
    prop_oneof![
        12 => (0..5_u8, wish, race.clone()).prop_map(|(flow, wish, race)| Act::Effect(flow, wish, race)),
        2 => (0..5_u8, look, race.clone()).prop_map(|(flow, look, race)| Act::Query(flow, look, race)),
        5 => (any::<u8>(), race).prop_map(|(which, race)| Act::Undo(which, race)),
        3 => Just(Act::Commit),
        1 => Just(Act::Forget),
        2 => operator.prop_map(Act::Operator),
        1 => any::<u16>().prop_map(Act::Later),
    ]
}
