//! Generates sequences of operations by operators and flows.

use proptest::prelude::*;

/// Projects in which volumes are created.
pub const PROJECTS: [&str; 2] = ["acme", "umbrella"];

/// Names of volume types.
pub const TYPES: [&str; 2] = ["gold", "silver"];

/// Statuses set by an operator.
pub const STATUSES: [&str; 3] = ["available", "error", "in-use"];

/// One operation. Its subject is chosen by a number: the index, modulo the length, in the list of existing rows.
#[derive(Clone, Debug)]
pub enum Op {
    CreateVolume {
        project: usize,
        size: i64,
        volume_type: Option<usize>,
    },
    DeleteVolume {
        pick: usize,
        admin: bool,
    },
    SetVolume {
        pick: usize,
        status: usize,
    },
    CreateSnapshot {
        pick: usize,
        admin: bool,
    },
    DeleteSnapshot {
        pick: usize,
        admin: bool,
    },
    CreateType {
        name: usize,
    },
    DeleteType {
        pick: usize,
        force: bool,
    },
    SetLimit {
        project: usize,
        resource: usize,
        limit: i64,
    },
    /// Stops the process regularly, and starts another one with these settings.
    Settings(Settings),
    Sync,
    /// Advances the clock until reservations expire.
    Expire,
    Prune,
    AckAll,
    /// Advances the clock by seconds.
    Wait(u64),
    Run {
        project: usize,
        size: i64,
        volume_type: Option<usize>,
        source: Source,
        fault: Option<Fault>,
    },
    Operate {
        pick: usize,
        operation: Asked,
        fault: Option<Fault>,
    },
    Recover {
        fault: Option<Fault>,
    },
}

/// The source of a volume.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Nothing,
    Volume(usize),
    Snapshot(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Interrupt,
    Resume,
    Reset,
    Rollback,
    Accept,
}

/// Settings of a process that affect quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    pub no_snapshot_gigabytes: bool,
    pub until_refresh: i64,
    pub max_age: u64,
}

/// An event that happens once in the middle of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The task of the flow.
    pub task: usize,
    pub reverting: bool,
    pub moment: Moment,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    /// After this many effects of the call, counted from 0.
    Effect(usize),
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The call fails.
    Fail,
    /// The flow is interrupted.
    Interrupt,
    /// The process is killed: the next operation is done by another one, on the present state of the disk.
    Die,
}

/// Generates a fault. `reverting` is the probability that it happens in a revert.
fn fault(reverting: f64) -> impl Strategy<Value = Option<Fault>> {
    let moment = prop_oneof![
        1 => Just(Moment::Before),
        2 => (0..3_usize).prop_map(Moment::Effect),
        2 => Just(Moment::After),
    ];
    let what = prop_oneof![
        3 => Just(What::Fail),
        2 => Just(What::Interrupt),
        2 => Just(What::Die),
    ];
    let fault = (1..7_usize, prop::bool::weighted(reverting), moment, what);
    let fault = fault.prop_map(|(task, reverting, moment, what)| Fault {
        task,
        reverting,
        moment,
        what,
    });
    prop::option::weighted(0.6, fault)
}

fn settings() -> impl Strategy<Value = Settings> {
    let until_refresh = prop_oneof![Just(0), Just(1), Just(3)];
    let max_age = prop_oneof![Just(0), Just(50)];
    let settings = (any::<bool>(), until_refresh, max_age);
    settings.prop_map(|(no_snapshot_gigabytes, until_refresh, max_age)| Settings {
        no_snapshot_gigabytes,
        until_refresh,
        max_age,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let pick = 0..6_usize;
    let project = 0..PROJECTS.len();
    let size = 1..4_i64;
    let volume_type = || prop::option::of(0..TYPES.len());
    let source = prop_oneof![
        4 => Just(Source::Nothing),
        1 => (0..6_usize).prop_map(Source::Volume),
        1 => (0..6_usize).prop_map(Source::Snapshot),
    ];
    let asked = prop_oneof![
        1 => Just(Asked::Interrupt),
        3 => Just(Asked::Resume),
        1 => Just(Asked::Reset),
        5 => Just(Asked::Rollback),
        2 => Just(Asked::Accept),
    ];
    prop_oneof![
        3 => (project.clone(), size.clone(), volume_type())
            .prop_map(|(project, size, volume_type)| Op::CreateVolume { project, size, volume_type }),
        4 => (pick.clone(), any::<bool>()).prop_map(|(pick, admin)| Op::DeleteVolume { pick, admin }),
        1 => (pick.clone(), 0..STATUSES.len()).prop_map(|(pick, status)| Op::SetVolume { pick, status }),
        3 => (pick.clone(), any::<bool>()).prop_map(|(pick, admin)| Op::CreateSnapshot { pick, admin }),
        3 => (pick.clone(), any::<bool>()).prop_map(|(pick, admin)| Op::DeleteSnapshot { pick, admin }),
        2 => (0..TYPES.len()).prop_map(|name| Op::CreateType { name }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(pick, force)| Op::DeleteType { pick, force }),
        1 => (project.clone(), 0..4_usize, 0..9_i64)
            .prop_map(|(project, resource, limit)| Op::SetLimit { project, resource, limit }),
        3 => settings().prop_map(Op::Settings),
        1 => Just(Op::Sync),
        1 => Just(Op::Expire),
        1 => Just(Op::Prune),
        1 => Just(Op::AckAll),
        2 => prop_oneof![Just(20_u64), Just(60)].prop_map(Op::Wait),
        8 => (project, size, volume_type(), source, fault(0.3))
            .prop_map(|(project, size, volume_type, source, fault)| Op::Run { project, size, volume_type, source, fault }),
        7 => (pick, asked, fault(0.8)).prop_map(|(pick, operation, fault)| Op::Operate { pick, operation, fault }),
        4 => fault(0.5).prop_map(|fault| Op::Recover { fault }),
    ]
}

/// Generates a sequence of operations, and whether flows of a dead process are resumed.
pub fn sequence() -> impl Strategy<Value = (Vec<Op>, bool)> {
    (prop::collection::vec(op(), 4..16), any::<bool>())
}
