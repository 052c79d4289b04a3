//! Flows that are interrupted and reset.

use super::*;

#[test]
fn an_interrupted_flow_goes_on_where_it_left_off() {
    let ran = Arc::new(Mutex::new(VecDeque::new()));
    let step = |name: &'static str| {
        let ran = Arc::clone(&ran);
        Step::new(TaskSpec::new(name), move |_, _| {
            ran.lock().unwrap().push_back(name);
            Ok(Value::Null)
        })
    };
    let flow = flow(&store(), [step("a"), step("b"), step("c")]);
    let interrupt = |notice: &TaskNotice| {
        if &*notice.name == "a" {
            notice.flow.interrupt()?;
        }
        Ok(())
    };
    flow.task_notifier()
        .register(TaskState::Success, Arc::new(interrupt))
        .unwrap();
    flow.run().unwrap();
    assert_eq!(flow.state(), FlowState::Interrupted);
    assert!(matches!(flow.run(), Err(FlowError::InvalidState { .. })));
    let extra = flow.add(Arc::new(step("d"))).unwrap();
    flow.remove(flow.tasks()[1].0).unwrap();
    flow.soft_reset().unwrap();
    flow.run().unwrap();
    assert_eq!(*ran.lock().unwrap(), ["a", "c", "d"]);
    assert!(flow.result(extra).is_some());
}

#[test]
fn an_interrupted_flow_with_effects_is_not_reset() {
    let store = store();
    let flow = flow(&store, [holds("holds", 1), holds("next", 1)]);
    let interrupt = |notice: &TaskNotice| Ok(notice.flow.interrupt()?);
    flow.task_notifier()
        .register(TaskState::Started, Arc::new(interrupt))
        .unwrap();
    flow.run().unwrap();
    assert!(matches!(flow.reset(), Err(FlowError::EffectsStand)));
    flow.rollback(&Cause::requested("enough")).unwrap();
    assert_eq!(reserved(&store), 0);
    flow.reset().unwrap();
    flow.run().unwrap();
    assert_eq!((flow.state(), reserved(&store)), (FlowState::Success, 2));
}

#[test]
fn what_a_flow_left_before_a_reset_is_named_by_every_later_verdict() {
    let sends = Step::new(TaskSpec::new("sends"), |context, _| {
        let cast = Cast {
            topic: "t".to_owned(),
            method: "m".to_owned(),
            arguments: Value::Null,
        };
        context.apply(&cast).map(|()| Value::Null)
    });
    let store = store();
    let flow = flow(&store, [holds("holds", 1), sends]);
    flow.run().unwrap();
    assert!(matches!(flow.reset_clean(), Err(FlowError::EffectsStand)));
    flow.reset().unwrap();
    assert!(matches!(flow.reset_clean(), Err(FlowError::Left(left)) if left.len() == 3));
    assert!(!flow.fact(QUOTA_COMMITTED));
    let left = ["reservation", "usage", "cast"].map(str::to_owned);
    assert_eq!(
        rolled_back(&store, &flow),
        (Verdict::Residue, left.to_vec())
    );
    assert_eq!(reserved(&store), 1);
}

#[test]
fn what_a_rollback_left_or_could_not_revert_is_not_forgotten_by_a_reset() {
    let store = store();
    let keeps = holds("keeps", 1).revert(|_, _| Ok(Disposition::Keep));
    let kept = flow(&store, [keeps, fails("fails")]);
    assert!(kept.run().is_err());
    assert!(
        matches!(kept.reset_clean(), Err(FlowError::Left(left)) if left[0].kind == "reservation")
    );

    let broken = Step::new(TaskSpec::new("broken"), |_, _| Ok(Value::Null))
        .revert(|_, _| Err(TaskError::new("Broken", "it broke")));
    let incomplete = flow(&store, [broken, fails("fails")]);
    assert!(incomplete.run().is_err());
    assert!(matches!(
        incomplete.reset_clean(),
        Err(FlowError::Unreverted)
    ));
    incomplete.accept("ann", "it is nothing").unwrap();
    incomplete.reset_clean().unwrap();

    let clean = flow(&store, [holds("holds", 1), fails("fails")]);
    assert!(clean.run().is_err());
    clean.reset_clean().unwrap();
    assert_eq!(rolled_back(&store, &clean), (Verdict::Clean, vec![]));
}
