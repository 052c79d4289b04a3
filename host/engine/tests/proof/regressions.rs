//! Small cases of failures that the properties found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::any::Effect;
use cairn::clock::SystemClock;
use cairn::effect::Caller;
use cairn::error::Cause;
use cairn::event::{Disposition, FlowState, TaskState};
use cairn::flow::{Recovery, TaskNotice, TaskOptions};
use cairn::outbox::Cast;
use cairn::report::RollbackReport;
use cairn::store::view::CAST;
use cairn::volumes::operator::{OperateVolumes as _, kind};
use cairn::volumes::quota::QuotaConfig;
use cairn::volumes::{Expiry, QuotaReserve, Settings, VolumeDestroy};
use cairn::{Context, Flow, FlowError, Sqlite, Store, Task as _, TaskError, Value, Verdict};

use crate::known::Known;
use crate::place::Place;
use crate::plan::{self, Case, FlowPlan};
use crate::recorder::Recorder;
use crate::step::{
    Step, ann, commit, create, fail, flow, list, memory, once, reserve, rollback_of, usage,
};

fn cast() -> Effect {
    Effect::Cast(Cast {
        topic: "scheduler".to_owned(),
        method: "create".to_owned(),
        arguments: Value::Null,
    })
}

#[test]
fn what_a_flow_had_sent_is_withdrawn_when_it_is_rolled_back_after_its_success() {
    let store = memory(crate::any::config(Default::default()));
    let sends = |name| Step::new(name, |context| cast().apply(context).map(drop));
    let keeps = sends("keeps").revert(|_| Ok(Disposition::Keep));
    let fails = sends("fails").revert(|_| Err(TaskError::new("Stuck", "cannot")));
    let flow = flow(&store, [once(keeps), once(fails)]);
    flow.run().unwrap();
    assert_eq!(list(&store, &CAST).len(), 2);
    flow.rollback(&Cause::requested("enough")).unwrap();
    assert_eq!(list(&store, &CAST), []);
    assert_eq!(rollback_of(&flow).verdict, Verdict::Incomplete);
    assert_eq!(rollback_of(&flow).residue, []);
}

#[test]
fn a_message_that_was_taken_is_not_withdrawn_and_the_report_says_so() {
    let run = |answer: Disposition| {
        let store = memory(crate::any::config(Default::default()));
        let sends = Step::new("sends", |context| cast().apply(context).map(drop));
        let flow = flow(&store, [once(sends.revert(move |_| Ok(answer)))]);
        flow.run().unwrap();
        let id = list(&store, &CAST)[0]["id"].as_str().unwrap().to_owned();
        store.admin(&ann(), |admin| admin.ack_cast(&id)).unwrap();
        flow.rollback(&Cause::requested("too late")).unwrap();
        assert_eq!(list(&store, &CAST)[0]["state"], "acked");
        let rollback = rollback_of(&flow);
        let left: Vec<_> = rollback
            .residue
            .iter()
            .map(|left| (left.kind.as_str(), left.id == id))
            .collect();
        assert_eq!(left, [("cast", true)]);
        rollback.verdict
    };
    assert_eq!(run(Disposition::Undo), Verdict::Incomplete);
    assert_eq!(run(Disposition::Keep), Verdict::Residue);
}

/// Opens a store in a file, which is copied after each operation whose number is in `crash_after`.
fn recorder(folder: &tempfile::TempDir, crash_after: Vec<usize>) -> Arc<Recorder> {
    Recorder::open(
        &Place::File(folder.path().join("live")),
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
        (Vec::new(), Known::default()),
        crash_after,
    )
}

/// Restores a flow from a copy, with `step` as its only task.
fn restored(place: &Place, live: &Flow, step: Step) -> Option<(Arc<Sqlite>, Flow)> {
    let store = Sqlite::open(
        place.file(),
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
    )
    .unwrap();
    let store = Arc::new(store);
    let journal = store.load(live.id()).ok()?;
    let flow = Flow::restore(live.id(), Arc::clone(&store) as _, &journal).unwrap();
    let options = TaskOptions {
        id: flow.history().tasks.first().map(|task| task.id),
        ..TaskOptions::default()
    };
    flow.add_with(Arc::new(step), options).unwrap();
    Some((store, flow))
}

/// Returns a task that makes a volume which an operator changes at once, so that its creation cannot be undone.
fn makes_what_others_change(store: &Arc<Recorder>) -> Step {
    let operator = Arc::clone(store);
    Step::new("makes", move |context| {
        let id = create(context)?;
        let changes = [("host".to_owned(), "far".into())].into_iter().collect();
        let admin = &operator.inner;
        admin
            .admin(&ann(), |admin| admin.update_volume(&id, changes))
            .unwrap();
        reserve(context, 1).map(drop)
    })
}

#[test]
fn a_call_is_not_made_again_over_what_the_one_before_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = recorder(&folder, (1..20).collect());
    let live = flow(&store, [once(makes_what_others_change(&store))]);
    live.run().unwrap();
    let mut seen = 0;
    for crash in store.take_crashes() {
        let step = Step::new("makes", |context| create(context).map(drop));
        let Some((copy, flow)) = restored(&crash.place, &live, step) else {
            continue;
        };
        // The reservation is the call's last effect: the volume was changed by then, and the call has not returned.
        let tasks = flow.history().tasks;
        let in_hand = tasks.first().is_some_and(|task| task.result.is_none());
        if !in_hand || usage(&copy).1 == 0 {
            continue;
        }
        seen += 1;
        let result = flow.recover(Recovery::Resume);
        assert!(matches!(result, Err(FlowError::Failed(_))), "{result:?}");
        assert_eq!(list(&copy, &kind::VOLUME).len(), 1, "not a second one");
        assert_eq!(rollback_of(&flow).verdict, Verdict::Incomplete);
        assert_eq!(usage(&copy), (0, 0));
    }
    assert!(seen > 0, "the call was interrupted there");
}

#[test]
fn a_rollback_that_was_asked_for_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = recorder(&folder, (1..40).collect());
    let holds = || Step::new("holds", |context| reserve(context, 1).map(drop));
    let live = flow(&store, [once(holds()), once(holds())]);
    let interrupt = |notice: &TaskNotice| Ok(notice.flow.interrupt()?);
    live.task_notifier()
        .register(TaskState::Success, Arc::new(interrupt))
        .unwrap();
    live.run().unwrap();
    live.rollback(&Cause::requested("enough")).unwrap();
    let mut states = Vec::new();
    for crash in store.take_crashes() {
        let Some((_, flow)) = restored(&crash.place, &live, holds()) else {
            continue;
        };
        let history = flow.history();
        states.push(history.state);
        let asked_for = matches!(history.state, FlowState::Reverting | FlowState::Failure);
        assert_eq!(history.failure.is_some(), asked_for, "{}", history.state);
    }
    assert!(states.contains(&FlowState::Interrupted) && states.contains(&FlowState::Reverting));
}

#[test]
fn a_task_that_failed_while_its_flow_was_interrupted_is_not_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = recorder(&folder, (1..40).collect());
    let fails = Step::new("fails", |context| {
        reserve(context, 1)?;
        Err(TaskError::new("Broken", "it broke"))
    });
    let live = flow(&store, [once(fails)]);
    let interrupt = |notice: &TaskNotice| Ok(notice.flow.interrupt()?);
    live.task_notifier()
        .register(TaskState::Started, Arc::new(interrupt))
        .unwrap();
    fail(&live);
    let mut seen = 0;
    for crash in store.take_crashes() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let step = Step::new("fails", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let Some((copy, flow)) = restored(&crash.place, &live, step) else {
            continue;
        };
        let history = flow.history();
        if history.state != FlowState::Interrupted || history.failure.is_none() {
            continue;
        }
        seen += 1;
        flow.recover(Recovery::Resume).unwrap();
        assert_eq!(flow.state(), FlowState::Failure);
        assert_eq!((calls.load(Ordering::SeqCst), usage(&copy)), (0, (0, 0)));
        assert_eq!(rollback_of(&flow).verdict, Verdict::Clean);
    }
    assert!(seen > 0, "the flow was interrupted and failed there");
}

#[test]
fn a_flow_that_is_rolled_back_after_its_success_is_not_over_while_it_reverts() {
    let config = crate::any::config(Settings {
        quota: QuotaConfig {
            until_refresh: 1,
            ..QuotaConfig::default()
        },
        ..Settings::default()
    });
    let store = memory(config);
    let another = Arc::clone(&store);
    let made = Arc::new(Mutex::new(String::new()));
    let volume = Arc::clone(&made);
    let makes = Step::new("makes", move |context| {
        let held = reserve(context, 1)?;
        *made.lock().unwrap() = create(context)?;
        commit(context, held)
    })
    .revert(move |context| {
        let back = reserve(context, -1)?;
        commit(context, back)?;
        // Another caller's reservation triggers a recount while the volume still exists.
        let asks = Effect::QuotaReserve(QuotaReserve {
            project: None,
            deltas: [("volumes".to_owned(), 0)].into_iter().collect(),
            expiry: Expiry::Default,
        });
        let ann = ann();
        let caller = Caller {
            call: None,
            requester: &ann,
        };
        asks.apply_in(&*another, caller)?;
        let id = volume.lock().unwrap().clone();
        context.apply(&VolumeDestroy { id })?;
        Ok(Disposition::Keep)
    });
    let flow = flow(&store, [once(makes)]);
    flow.run().unwrap();
    assert_eq!(usage(&store), (1, 0));
    flow.rollback(&Cause::requested("enough")).unwrap();
    assert_eq!(rollback_of(&flow).verdict, Verdict::Clean);
    assert_eq!(usage(&store), (0, 0));
}

#[test]
fn what_was_given_back_by_hand_is_not_given_back_by_the_host_too() {
    let store = memory(crate::any::config(Default::default()));
    let books = Step::new("books", |context| {
        let held = reserve(context, 2)?;
        commit(context, held)
    })
    .revert(|context| {
        let back = reserve(context, -2)?;
        commit(context, back)?;
        Ok(Disposition::Undo)
    });
    let flow = flow(&store, [once(books)]);
    flow.run().unwrap();
    flow.rollback(&Cause::requested("enough")).unwrap();
    // The revert should have returned `keep`; the quota that it returned is taken again, and the report names that.
    assert_eq!(usage(&store), (2, 0));
    let rollback = rollback_of(&flow);
    let error = rollback.failed[0].error.as_ref().unwrap();
    assert_eq!(error.kind, "UndoRefused");
    assert!(error.message.contains("was returned since"), "{error}");
    assert_eq!(rollback.verdict, Verdict::Incomplete);
}

#[test]
fn what_is_committed_for_one_project_is_not_given_back_of_another() {
    let store = memory(crate::any::config(Default::default()));
    let reserve_of = |context: &Arc<dyn Context>, project: &str, amount| {
        let reserve = Effect::QuotaReserve(QuotaReserve {
            project: Some(project.to_owned()),
            deltas: [("volumes".to_owned(), amount)].into_iter().collect(),
            expiry: Expiry::Default,
        });
        reserve.apply(context)
    };
    let moves = Step::new("moves", move |context| {
        let held = reserve(context, 2)?;
        commit(context, held)?;
        let error = reserve_of(context, "bolt", -1).unwrap_err();
        assert_eq!(error.kind, "QuotaGiveBackExceeded");
        reserve_of(context, "acme", -1).map(drop)
    });
    let flow = Flow::builder("admin")
        .requester(ann().into_admin())
        .build(Arc::clone(&store) as _);
    flow.add(Arc::new(moves)).unwrap();
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Success);
}

#[test]
fn a_revert_does_not_begin_over_what_its_last_attempt_left() {
    let store = memory(crate::any::config(Default::default()));
    let operator = Arc::clone(&store);
    let tries = Arc::new(Mutex::new(0));
    let made = Arc::clone(&tries);
    // The first attempt makes a volume that gets a snapshot, so that it cannot be undone.
    let step = Step::new("steps", |context| reserve(context, 1).map(drop)).revert(move |context| {
        *made.lock().unwrap() += 1;
        let id = create(context)?;
        if *made.lock().unwrap() == 1 {
            operator
                .admin(&ann(), |admin| {
                    admin.create_snapshot(&id, None, "available")
                })
                .unwrap();
            return Err(TaskError::new("Stuck", "cannot"));
        }
        Ok(Disposition::Undo)
    });
    let flow = flow(&store, [once(step)]);
    flow.run().unwrap();
    flow.rollback(&Cause::requested("enough")).unwrap();
    flow.rollback(&Cause::requested("again")).unwrap();
    assert_eq!(*tries.lock().unwrap(), 1, "the first volume is still there");
    let error = rollback_of(&flow).failed[0].error.clone().unwrap();
    assert_eq!(error.kind, "UndoRefused");
    let snapshot = list(&store, &kind::SNAPSHOT)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    store
        .admin(&ann(), |admin| admin.delete_snapshot(&snapshot))
        .unwrap();
    flow.rollback(&Cause::requested("and again")).unwrap();
    assert_eq!(*tries.lock().unwrap(), 2);
    let rollback = rollback_of(&flow);
    assert_eq!(
        (rollback.verdict, rollback.residue.len()),
        (Verdict::Kept, 1)
    );
    assert_eq!(list(&store, &kind::VOLUME).len(), 1, "what the second made");
}

/// Runs a flow that makes a volume in one task, destroys it in the next, and fails in the third. The revert of task `name`
/// destroys the volume a second time.
fn destroyed_again_by(name: &str) -> (Vec<Value>, RollbackReport) {
    let store = memory(crate::any::config(Default::default()));
    let made = Arc::new(Mutex::new(String::new()));
    let destroyed = Arc::clone(&made);
    let destroys = move |context: &Arc<dyn Context>| {
        let id = destroyed.lock().unwrap().clone();
        context.apply(&VolumeDestroy { id })
    };
    let steps = [
        Step::new("makes", move |context| {
            *made.lock().unwrap() = create(context)?;
            Ok(())
        })
        .revert(|_| Ok(Disposition::Keep)),
        Step::new("destroys", destroys.clone()),
        Step::new("breaks", |_| Err(TaskError::new("Broken", "it broke"))),
    ];
    let steps = steps.map(|step| match step.spec().name == name {
        true => {
            let destroys = destroys.clone();
            step.revert(move |context| destroys(context).map(|()| Disposition::Undo))
        }
        false => step,
    });
    let flow = flow(&store, steps.map(once));
    fail(&flow);
    let volumes = list(&store, &kind::VOLUME);
    let left: Vec<_> = volumes.iter().map(|row| row["id"].clone()).collect();
    let report = rollback_of(&flow);
    let told = report.residue.iter().map(|left| left.id.clone().into());
    assert_eq!(told.collect::<Vec<Value>>(), left, "the report names it");
    (left, report)
}

#[test]
fn a_deletion_that_the_flow_counts_on_again_is_not_taken_back_behind_it() {
    // No revert destroys it again: the deletion is undone, and the volume stays, as the first task says.
    let (left, report) = destroyed_again_by("nobody");
    assert_eq!((left.len(), report.verdict), (1, Verdict::Kept));
    for name in ["destroys", "breaks"] {
        let (left, report) = destroyed_again_by(name);
        assert_eq!((left.len(), report.verdict), (0, Verdict::Incomplete));
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| (failed.task.as_str(), failed.error.as_ref().unwrap()))
            .collect();
        let [("destroys", error)] = failed[..] else {
            panic!("{failed:?}")
        };
        assert_eq!(error.kind, "UndoRefused");
    }
}

/// Plans a flow of one task that sets the host of a volume that exists from the start.
fn sets_host(host: Option<usize>, failures: Vec<Option<plan::Failure>>, attempts: u32) -> FlowPlan {
    // The first volume of the first project, which comes last.
    let volume = plan::Pick {
        whose: plan::Whose::Nobody,
        index: 2 * plan::PROJECTS.len() - 1,
    };
    let tries = |attempts| plan::Tries {
        attempts,
        only_busy: false,
    };
    let call = plan::Script {
        acts: vec![plan::Act {
            step: plan::Step::Update(volume, plan::Update::Host(host)),
            tolerant: false,
        }],
        failures,
    };
    let revert = plan::Script {
        acts: Vec::new(),
        failures: Vec::new(),
    };
    FlowPlan {
        project: 0,
        admin: false,
        tasks: vec![plan::TaskPlan {
            call,
            call_tries: tries(attempts),
            revert,
            revert_tries: tries(1),
            keep: false,
        }],
        interrupt: None,
        again: false,
        taken: false,
    }
}

#[test]
fn a_confirmation_from_which_others_went_on_stays_counted_in_the_version() {
    let broken = plan::Failure {
        after: 1,
        how: plan::How::Broken,
    };
    for attempts in [1, 2] {
        let case = Case {
            books: plan::Books::Free,
            quota: plan::QuotaPlan {
                spare: (0, 0),
                until_refresh: 0,
                max_age: 0,
            },
            flows: vec![
                sets_host(None, vec![Some(broken)], attempts),
                sets_host(Some(0), Vec::new(), 1),
            ],
            // The first flow finds no host and confirms that; the second sets one and ends; then the first one's attempt fails.
            turns: vec![0, 0, 0, 1, 1, 1, 1],
        };
        let tally = crate::run(&case).unwrap();
        assert_eq!(tally.succeeded, attempts as usize);
        assert_eq!(tally.refused_undos, 0);
    }
}
