//! Minimal sequences of earlier defects, which the properties must be able to generate as well.

use crate::plan::{Asked, Fault, Moment, Op, Settings, Source, What};
use crate::world::{Tally, World};

#[track_caller]
fn run(ops: &[Op]) -> Tally {
    let mut world = World::new(false);
    world.run(ops).unwrap_or_else(|what| panic!("{what}"));
    world.tally
}

fn flow(volume_type: Option<usize>, fault: Option<Fault>) -> Op {
    Op::Run {
        project: 0,
        size: 2,
        volume_type,
        source: Source::Nothing,
        fault,
    }
}

fn operate(operation: Asked) -> Op {
    Op::Operate {
        pick: 0,
        operation,
        fault: None,
    }
}

fn delete_volume() -> Op {
    Op::DeleteVolume {
        pick: 0,
        admin: false,
    }
}

/// The defect: the usage became -1, and the report named a deleted volume.
#[test]
fn a_flow_is_rolled_back_after_its_volume_was_deleted() {
    let tally = run(&[
        flow(Some(0), None),
        delete_volume(),
        operate(Asked::Rollback),
    ]);
    assert_eq!(tally["verdict: Clean"], 1, "{tally:?}");
}

/// The defect: a deleted volume was booked.
#[test]
fn a_volume_is_deleted_before_its_flow_goes_on() {
    let fault = Fault {
        task: 3,
        reverting: false,
        moment: Moment::After,
        what: What::Interrupt,
    };
    let tally = run(&[
        flow(None, Some(fault)),
        delete_volume(),
        operate(Asked::Resume),
        delete_volume(),
    ]);
    assert_eq!(tally["delete volume: FlowUnfinished"], 1, "{tally:?}");
    assert_eq!(tally["resume: SUCCESS"], 1, "{tally:?}");
    assert_eq!(tally["delete volume"], 1, "{tally:?}");
}

/// A failed revert is retried after the volume was deleted.
#[test]
fn a_rollback_that_is_incomplete_is_ended_after_the_volume_was_deleted() {
    for task in [3, 4, 5] {
        let fault = Fault {
            task,
            reverting: true,
            moment: Moment::Before,
            what: What::Fail,
        };
        let incomplete = Op::Operate {
            pick: 0,
            operation: Asked::Rollback,
            fault: Some(fault),
        };
        let tally = run(&[
            flow(None, None),
            incomplete,
            delete_volume(),
            operate(Asked::Rollback),
        ]);
        assert_eq!(tally["verdict: Incomplete"], 1, "{tally:?}");
        assert_eq!(tally["rollback: FAILURE"], 2, "{tally:?}");
    }
}

/// The defect: a reservation held by a flow with an incomplete rollback expired, but the flow's reports listed it
/// forever.
#[test]
fn a_reservation_lapses_between_two_attempts_of_a_rollback() {
    let fault = |task, reverting, what| {
        Some(Fault {
            task,
            reverting,
            moment: if reverting {
                Moment::Before
            } else {
                Moment::After
            },
            what,
        })
    };
    let until_lapsed = [
        flow(None, fault(3, false, What::Interrupt)),
        Op::Operate {
            pick: 0,
            operation: Asked::Rollback,
            fault: fault(2, true, What::Fail),
        },
        Op::Expire,
    ];
    let and = |operation| [&until_lapsed[..], &[operate(operation)]].concat();
    let tally = run(&and(Asked::Rollback));
    assert_eq!(tally["reservations lapsed"], 1, "{tally:?}");
    assert_eq!(tally["verdict: Incomplete"], 1, "{tally:?}");
    assert_eq!(tally["verdict: Clean"], 1, "{tally:?}");
    let tally = run(&and(Asked::Accept));
    assert_eq!(tally["accept: FAILURE"], 1, "{tally:?}");
}

/// The defect: the usages of both projects drifted.
#[test]
fn an_admin_makes_a_snapshot_of_another_projects_volume() {
    let snapshot = |admin| Op::CreateSnapshot { pick: 0, admin };
    run(&[
        flow(Some(0), None),
        snapshot(true),
        snapshot(false),
        Op::DeleteSnapshot {
            pick: 0,
            admin: false,
        },
        Op::DeleteSnapshot {
            pick: 0,
            admin: true,
        },
    ]);
}

/// The defect: another amount was returned than had been booked.
#[test]
fn snapshots_are_deleted_under_another_setting() {
    let setting = |no_snapshot_gigabytes, until_refresh| {
        Op::Settings(Settings {
            no_snapshot_gigabytes,
            until_refresh,
            max_age: 0,
        })
    };
    let snapshot = || Op::CreateSnapshot {
        pick: 0,
        admin: false,
    };
    let delete = || Op::DeleteSnapshot {
        pick: 0,
        admin: false,
    };
    for until_refresh in [0, 1] {
        run(&[
            setting(false, until_refresh),
            flow(None, None),
            snapshot(),
            setting(true, until_refresh),
            snapshot(),
            delete(),
            setting(false, until_refresh),
            delete(),
        ]);
    }
}

/// The defect: the refresh counted by the type's id, but the check by its name.
#[test]
fn a_type_is_made_again_while_volumes_have_the_first() {
    run(&[
        Op::Settings(Settings {
            until_refresh: 1,
            ..Settings::default()
        }),
        flow(Some(0), None),
        Op::DeleteType {
            pick: 0,
            force: true,
        },
        Op::CreateType { name: 0 },
        flow(Some(0), None),
        delete_volume(),
    ]);
}
