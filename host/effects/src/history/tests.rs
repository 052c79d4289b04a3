use cairn_model::audit::Asker;

use super::*;

fn operated(user_id: &str) -> Event {
    Event::Operated {
        operation: "rollback".to_owned(),
        by: Asker::new(user_id, "command line"),
        reason: None,
    }
}

#[test]
fn an_operation_is_under_way_until_the_flow_rests_or_has_ended() {
    let requester = Arc::new(Identity::new("ann", "acme"));
    let request = Arc::new(Value::Null);
    let mut history = History::new(
        "greet".to_owned(),
        requester,
        request,
        None,
        None,
        Domains::default(),
    );
    let state = |to| Event::State {
        from: FlowState::Interrupted,
        to,
    };
    assert!(!history.is_under_way(&operated("ann")));
    for end in [
        FlowState::Interrupted,
        FlowState::Failure,
        FlowState::Success,
    ] {
        history.apply(Timestamp(1), &operated("ann"));
        history.apply(Timestamp(2), &state(FlowState::Reverting));
        assert!(history.is_under_way(&operated("ann")));
        // Somebody else's operation is another one.
        assert!(!history.is_under_way(&operated("bob")));
        history.apply(Timestamp(3), &state(end));
        assert!(!history.is_under_way(&operated("ann")), "{end}");
    }
}
