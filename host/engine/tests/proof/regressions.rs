//! What the properties found, small.

use cairn::effect::{Cast, Effect};
use cairn::error::{Cause, TaskError};
use cairn::event::Disposition;
use cairn::report::Verdict;
use cairn::store::SqliteConfig;
use cairn::store::view::Kind;
use cairn::value::Value;

use crate::step::{Step, ann, create, flow, list, memory, once, rollback_of};

fn cast() -> Effect {
    Effect::Cast(Cast {
        topic: "scheduler".to_owned(),
        method: "create".to_owned(),
        arguments: Value::Null,
    })
}

#[test]
fn what_a_flow_had_sent_is_withdrawn_when_it_is_rolled_back_after_its_success() {
    let store = memory(SqliteConfig::default());
    let sends = |name| Step::new(name, |context| context.apply(&cast()).map(drop));
    let keeps = sends("keeps").revert(|_| Ok(Disposition::Keep));
    let fails = sends("fails").revert(|_| Err(TaskError::new("Stuck", "cannot")));
    let flow = flow(&store, [once(keeps), once(fails)]);
    flow.run().unwrap();
    assert_eq!(list(&store, Kind::Cast).len(), 2);
    flow.rollback(&Cause::requested("enough")).unwrap();
    assert_eq!(list(&store, Kind::Cast), []);
    assert_eq!(rollback_of(&flow).verdict, Verdict::Incomplete);
    assert_eq!(rollback_of(&flow).residue, []);
}

#[test]
fn a_message_that_was_taken_is_not_withdrawn_and_the_report_says_so() {
    let run = |answer: Disposition| {
        let store = memory(SqliteConfig::default());
        let sends = Step::new("sends", |context| context.apply(&cast()).map(drop));
        let flow = flow(&store, [once(sends.revert(move |_| Ok(answer)))]);
        flow.run().unwrap();
        let id = list(&store, Kind::Cast)[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        store.admin(&ann(), |admin| admin.ack_cast(&id)).unwrap();
        flow.rollback(&Cause::requested("too late")).unwrap();
        assert_eq!(list(&store, Kind::Cast)[0]["state"], "acked");
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
