//! Hosts that divide the projects of a database, and the requests that they forward to each other.

use std::thread;
use std::time::{Duration, Instant};

use cairn_effects::effect::Caller;
use cairn_effects::event::FlowState;
use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;
use cairn_model::value::Value;
use cairn_store::admin::Admin;
use cairn_store::shared::{Fate, Forwarded, INBOX_MOST, Partitions, Shared, Wishes, partition_of};
use cairn_store::{HostStore, Store, StoreError};
use cairn_volumes::IsZoneValid;
use serde_json::json;

use crate::place::Place;
use crate::scene::{
    admin, ann, apply, begin, create, created, end, id_of, refusal, reserve, state, update,
};

fn of(store: &dyn HostStore) -> &dyn Shared {
    store.shared().expect("hosts share it")
}

fn request(flow: FlowId) -> Forwarded {
    Forwarded {
        flow,
        project_id: "acme".to_owned(),
        request: r#"{"size":1}"#.to_owned(),
    }
}

pub(super) fn a_project_belongs_to_one_host_until_that_ends(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    apply(&*first, call, reserve(3)).unwrap();
    first.barrier(call.flow).unwrap();
    let create = || second.append(FlowId::new(), &[created(None, Value::Null)]);
    match create() {
        Err(StoreError::Elsewhere { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("the project belongs to the other host: {other:?}"),
    }
    end(&*first, call);
    first.barrier(call.flow).unwrap();
    drop(first);
    create().unwrap();
    // It decides by what the first one left.
    let call = begin(&*second);
    assert_eq!(refusal(apply(&*second, call, reserve(11))), "OverQuota");
    apply(&*second, call, reserve(4)).unwrap();
    second.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 7));
}

pub(super) fn an_operator_changes_what_its_host_owns(place: &dyn Place) {
    let store = place.open();
    let limit = |store: &dyn HostStore, most: i64| {
        store.admin(&ann(), |admin| {
            let statement = "INSERT INTO quotas (project_id, resource, hard_limit) VALUES ($1, $2, $3)
                             ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit";
            admin.execute(statement, &["acme".into(), "volumes".into(), most.into()])
        })
    };
    let call = begin(&*store);
    apply(&*store, call, reserve(1)).unwrap();
    limit(&*store, 2).unwrap();
    assert_eq!(refusal(apply(&*store, call, reserve(2))), "OverQuota");
    // A refused change leaves nothing, and the store goes on.
    let refused = store.admin(&ann(), |admin| {
        admin.execute("DELETE FROM quotas", &[])?;
        admin.require_admin("delete limits")
    });
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(refusal(apply(&*store, call, reserve(2))), "OverQuota");
    limit(&*store, 20).unwrap();
    apply(&*store, call, reserve(2)).unwrap();
    store.barrier(call.flow).unwrap();
    assert_eq!(place.usage("volumes"), (0, 3));
}

pub(super) fn every_host_decides_by_the_catalogue_that_one_has_changed(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let call = begin(&*first);
    let is_valid = |store: &dyn Store, zone: &str| {
        let who = ann();
        let by = Caller {
            call: None,
            requester: &who,
        };
        let answer = store
            .look_up_dyn(by, &IsZoneValid(zone.to_owned()))
            .unwrap();
        *answer.downcast::<bool>().unwrap()
    };
    assert!(is_valid(&*first, "north"), "there are no zones");
    first.barrier(call.flow).unwrap();
    let statement = "INSERT INTO zones (name) VALUES ($1)";
    for zone in ["south", "west"] {
        assert!(zone == "south" || !is_valid(&*first, zone));
        let added = second.admin(&ann(), |admin| admin.execute(statement, &[zone.into()]));
        assert_eq!(added.unwrap(), 1);
        assert!(!is_valid(&*first, "north"), "{zone}");
        assert!(is_valid(&*first, zone));
    }
    // In the middle of a batch, too: it is the next batch that decides by the change.
    let other = begin(&*first);
    let added = second.admin(&ann(), |admin| admin.execute(statement, &["north".into()]));
    assert_eq!(added.unwrap(), 1);
    assert!(is_valid(&*first, "north"));
    first.barrier(other.flow).unwrap();
}

pub(super) fn the_owner_of_a_project_takes_a_request_once(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    of(&*owner).claim("acme").unwrap();
    assert!(matches!(
        of(&*other).claim("acme"),
        Err(StoreError::Elsewhere { .. })
    ));
    let mut theirs = of(&*other).inbox().unwrap();
    let (first, second) = (FlowId::new(), FlowId::new());
    let both = [request(first), request(second)];
    // Repeated, as after an answer that was lost.
    for _ in 0..2 {
        assert_eq!(theirs.put(&both).unwrap(), []);
    }
    let mut ours = of(&*owner).inbox().unwrap();
    let none = Partitions::default();
    assert_eq!(ours.open(&[], &none, 10).unwrap(), both);
    assert_eq!(ours.open(&[first], &none, 10).unwrap(), both[1..]);
    assert_eq!(ours.open(&[], &none, 1).unwrap(), both[..1]);
    let leaving = [partition_of("acme")].into_iter().collect();
    assert_eq!(ours.open(&[], &leaving, 10).unwrap(), []);
    // Of projects of others nothing is seen.
    assert_eq!(theirs.open(&[], &none, 10).unwrap(), []);
    assert_eq!(theirs.fates(&[first, second]).unwrap(), []);

    of(&*owner).expect(&[first]);
    owner.append(first, &[created(None, Value::Null)]).unwrap();
    owner.barrier(first).unwrap();
    assert_eq!(ours.open(&[], &none, 10).unwrap(), both[1..]);
    assert_eq!(
        theirs.fates(&[first, second]).unwrap(),
        [(first, Fate::Settled)]
    );
    // Written again after its flow was created it would run twice.
    theirs.put(&both).unwrap();
    assert_eq!(ours.open(&[], &none, 10).unwrap(), both[1..]);
    of(&*owner)
        .give_back(&leaving, &[])
        .expect("nothing of it runs");
    assert_eq!(theirs.withdraw(&[first, second]).unwrap(), [second]);
    assert_eq!(ours.open(&[], &none, 10).unwrap(), []);
}

pub(super) fn a_request_that_its_owner_has_read_is_not_withdrawn(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    of(&*owner).claim("acme").unwrap();
    let mut theirs = of(&*other).inbox().unwrap();
    let flows = [FlowId::new(), FlowId::new(), FlowId::new()];
    let [created_by_now, read, unread] = flows;
    theirs
        .put(&[request(created_by_now), request(read)])
        .unwrap();
    let none = Partitions::default();
    let mut ours = of(&*owner).inbox().unwrap();
    assert_eq!(ours.open(&[], &none, 10).unwrap().len(), 2);
    theirs.put(&[request(unread)]).unwrap();
    // The flow is in the open batch, which removes its request.
    of(&*owner).expect(&[created_by_now]);
    owner
        .append(created_by_now, &[created(None, Value::Null)])
        .unwrap();
    assert_eq!(theirs.withdraw(&flows).unwrap(), [unread]);
    owner.barrier(created_by_now).unwrap();
    // Nobody reads it any more.
    let part = [partition_of("acme")].into_iter().collect();
    of(&*owner).give_back(&part, &[]).unwrap();
    assert_eq!(theirs.withdraw(&flows).unwrap(), [read]);
    of(&*other).claim("acme").unwrap();
    assert_eq!(theirs.open(&[], &none, 10).unwrap(), []);
}

pub(super) fn a_host_hears_that_others_ask_something_of_it(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    of(&*owner).claim("acme").unwrap();
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(20));
    let mut hints = of(&*owner).hints();
    assert!(hints.wait(long).unwrap(), "what came before is not told");
    assert!(!hints.wait(short).unwrap());
    let mut inbox = of(&*other).inbox().unwrap();
    inbox.put(&[request(FlowId::new())]).unwrap();
    assert!(hints.wait(long).unwrap());
    assert!(!hints.wait(short).unwrap());
    let of_nobody = Forwarded {
        project_id: "globex".to_owned(),
        ..request(FlowId::new())
    };
    inbox.put(&[of_nobody]).unwrap();
    assert!(!hints.wait(short).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| other.admin(&ann(), |admin| admin.own("acme")));
        assert!(hints.wait(long).unwrap());
        drop(owner);
    });
}

/// Runs `ask` while `owner` works: it gives the partition of `acme` back when that is asked for.
fn hands_over<T: Send>(owner: &dyn HostStore, ask: impl FnOnce() -> T + Send) -> T {
    let parts = [partition_of("acme")].into_iter().collect();
    thread::scope(|scope| {
        let asked = scope.spawn(ask);
        let until = Instant::now() + Duration::from_secs(5);
        while of(owner).tend(&Wishes::default()).unwrap().wanted != parts {
            assert!(Instant::now() < until, "nobody waits");
            thread::sleep(Duration::from_millis(10));
        }
        of(owner).give_back(&parts, &[]).unwrap();
        asked.join().unwrap()
    })
}

pub(super) fn operators_change_a_project_one_after_another(place: &dyn Place) {
    const OPERATORS: usize = 6;
    thread::scope(|scope| {
        for _ in 0..OPERATORS {
            let store = place.open();
            scope.spawn(move || {
                let change = |admin: &mut Admin<'_>| {
                    admin.own("acme")?;
                    let statement = "SELECT coalesce(max(hard_limit), 0) FROM quotas WHERE project_id = 'acme'";
                    let most = admin.view().query(statement, &[])?;
                    thread::sleep(Duration::from_millis(20));
                    let [Cell::Int(most)] = most[0][..] else {
                        panic!("{most:?}")
                    };
                    admin.execute(
                        "INSERT INTO quotas (project_id, resource, hard_limit) VALUES ('acme', 'volumes', $1)
                         ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit",
                        &[(most + 1).into()],
                    )
                };
                store.admin(&ann(), change).unwrap();
            });
        }
    });
    let store = place.open();
    let call = begin(&*store);
    apply(&*store, call, reserve(6)).unwrap();
    assert_eq!(refusal(apply(&*store, call, reserve(1))), "OverQuota");
}

pub(super) fn flows_are_pruned_beside_the_host_that_owns_their_project(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    let call = begin(&*owner);
    let (volume, _) = apply(&*owner, call, create()).unwrap();
    end(&*owner, call);
    owner.barrier(call.flow).unwrap();
    owner.release(call.flow);
    let prune = || other.prune_flows(&admin(), Duration::ZERO).unwrap();
    let pruned = hands_over(&*owner, prune);
    assert_eq!((pruned.flows, pruned.busy), (1, 0));
    // The process that pruned lives on, and has given the project back. The volume's flow is gone from its row.
    let call = begin(&*owner);
    apply(&*owner, call, update(&id_of(&volume), "available")).unwrap();
    end(&*owner, call);
    owner.barrier(call.flow).unwrap();
    // Nobody hands it over.
    let pruned = other.prune_flows(&admin(), Duration::ZERO).unwrap();
    assert_eq!((pruned.flows, pruned.busy), (0, 1));
}

fn message(store: &dyn HostStore, id: &str, state: &str) {
    let statement =
        "INSERT INTO outbox (id, state, topic, method, arguments, created_at, project_id)
                     VALUES ($1, $2, 'topic', 'method', '{}', 0, 'acme')";
    let insert = |admin: &mut Admin<'_>| admin.execute(statement, &[id.into(), state.into()]);
    assert_eq!(store.admin(&admin(), insert).unwrap(), 1);
}

/// An operator's change.
type Change = fn(&mut Admin<'_>) -> Result<(), StoreError>;

pub(super) fn an_operator_changes_messages_of_owned_projects_alone(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    for (id, state) in [("a", "ready"), ("b", "failed"), ("c", "failed")] {
        message(&*other, id, state);
    }
    of(&*owner).claim("acme").unwrap();
    let changes: [Change; 3] = [
        |admin| admin.ack_cast("a"),
        |admin| admin.retry_cast("b"),
        |admin| admin.discard_cast("c"),
    ];
    // Nobody hands the project over.
    thread::scope(|scope| {
        for change in changes {
            let other = place.open();
            scope.spawn(move || {
                let refused = other.admin(&admin(), change);
                assert!(matches!(refused, Err(StoreError::Elsewhere { .. })));
            });
        }
    });
    let none = Partitions::default();
    assert_eq!(of(&*owner).tend(&Wishes::default()).unwrap().wanted, none);
    for change in changes {
        owner.admin(&admin(), change).unwrap();
    }
}

pub(super) fn an_owner_hands_a_project_over_to_an_operator_who_waits(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    let call = begin(&*owner);
    apply(&*owner, call, reserve(3)).unwrap();
    end(&*owner, call);
    owner.barrier(call.flow).unwrap();
    let change = || other.admin(&ann(), |admin| admin.own("acme"));
    let is_new = hands_over(&*owner, change).unwrap();
    assert!(is_new, "what it read before may be old");
    // The change is made, so the project has no owner.
    of(&*owner).claim("acme").unwrap();
    let seen = of(&*owner).tend(&Wishes::default()).unwrap();
    let parts = [partition_of("acme")].into_iter().collect();
    assert_eq!((seen.owned, seen.wanted), (parts, Partitions::default()));
}

pub(super) fn messages_in_projects_without_an_owner_are_taken_over(place: &dyn Place) {
    let (store, other) = (place.open(), place.open());
    message(&*store, "a", "ready");
    assert_eq!(other.take_over(false).unwrap(), []);
    let owned = |store: &dyn HostStore| of(store).tend(&Wishes::default()).unwrap().owned;
    assert!(!owned(&*other).own("acme"), "nothing is to be delivered");
    message(&*store, "b", "sending");
    assert_eq!(other.take_over(false).unwrap(), []);
    assert!(owned(&*other).own("acme"));
}

pub(super) fn a_request_that_was_refused_creates_no_flow(place: &dyn Place) {
    let (owner, other) = (place.open(), place.open());
    of(&*owner).claim("acme").unwrap();
    let mut inbox = of(&*other).inbox().unwrap();
    let flow = FlowId::new();
    inbox.put(&[request(flow)]).unwrap();
    of(&*owner).expect(&[flow]);
    of(&*owner).refuse(flow, &json!({"no": 1})).unwrap();
    let answered = [(flow, Fate::Answered(json!({"no": 1})))];
    assert_eq!(inbox.fates(&[flow]).unwrap(), answered);
    // Whoever read the request before loses the batch that creates the flow.
    of(&*owner).expect(&[flow]);
    owner.append(flow, &[created(None, Value::Null)]).unwrap();
    assert!(matches!(owner.barrier(flow), Err(StoreError::Lost(_))));
    owner.release(flow);
    assert_eq!(inbox.fates(&[flow]).unwrap(), answered);
    // A second answer changes nothing.
    of(&*owner).refuse(flow, &json!({"no": 2})).unwrap();
    assert_eq!(inbox.fates(&[flow]).unwrap(), answered);
    assert_eq!(inbox.withdraw(&[flow]).unwrap(), []);
    assert_eq!(inbox.fates(&[flow]).unwrap(), [(flow, Fate::Settled)]);
}

pub(super) fn so_many_requests_of_a_project_wait_and_no_more(place: &dyn Place) {
    let store = place.open();
    let mut inbox = of(&*store).inbox().unwrap();
    let most = usize::try_from(INBOX_MOST).unwrap();
    let mut requests: Vec<Forwarded> = (0..=most).map(|_| request(FlowId::new())).collect();
    requests.sort_by_key(|request| request.flow);
    let last = requests[most].flow;
    assert_eq!(inbox.put(&requests).unwrap(), [last]);
    let elsewhere = Forwarded {
        project_id: "globex".to_owned(),
        ..request(FlowId::new())
    };
    assert_eq!(inbox.put(&[elsewhere]).unwrap(), []);
    let next = request(FlowId::new());
    let refused = inbox.put(&[requests[0].clone(), next.clone()]).unwrap();
    assert_eq!(refused, [next.flow], "the first one is there already");
    inbox.withdraw(&[requests[0].flow]).unwrap();
    assert_eq!(inbox.put(&[next]).unwrap(), []);
}

pub(super) fn a_project_that_is_given_back_goes_on_at_the_next_host(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    let (call, resting) = (begin(&*first), FlowId::new());
    let interrupted = state(FlowState::Pending, FlowState::Interrupted);
    first
        .append(resting, &[created(None, Value::Null), interrupted])
        .unwrap();
    first.barrier(resting).unwrap();
    let part: Partitions = [partition_of("acme")].into_iter().collect();
    of(&*first).give_back(&part, &[call.flow]).unwrap();

    // The first host does not write to it any more, neither to a flow that runs nor to one that rests.
    of(&*second).claim("acme").unwrap();
    let on = [state(FlowState::Running, FlowState::Reverting)];
    assert!(matches!(
        first.append(call.flow, &on),
        Err(StoreError::WentOn(flow)) if flow == call.flow
    ));
    assert!(matches!(
        first.append(resting, &on),
        Err(StoreError::Elsewhere { .. })
    ));
    assert_eq!(of(&*second).take_up().unwrap(), [call.flow]);
    assert_eq!(of(&*second).moved(&[call.flow]).unwrap(), [call.flow]);
    assert_eq!(second.load(call.flow).unwrap().len(), 3);
    second.append(call.flow, &on).unwrap();
    second.barrier(call.flow).unwrap();
    assert_eq!(of(&*second).moved(&[call.flow]).unwrap(), []);
}

pub(super) fn a_flow_that_was_given_back_is_taken_up_by_the_same_host(place: &dyn Place) {
    let store = place.open();
    // Its handle stays.
    let call = begin(&*store);
    store.barrier(call.flow).unwrap();
    let part: Partitions = [partition_of("acme")].into_iter().collect();
    of(&*store).give_back(&part, &[call.flow]).unwrap();
    of(&*store).claim("acme").unwrap();
    let on = [state(FlowState::Running, FlowState::Reverting)];
    assert!(matches!(
        store.append(call.flow, &on),
        Err(StoreError::WentOn(_))
    ));
    assert_eq!(of(&*store).take_up().unwrap(), [call.flow]);
    store.load(call.flow).unwrap();
    store.append(call.flow, &on).unwrap();
    store.barrier(call.flow).unwrap();
    assert_eq!(of(&*store).take_up().unwrap(), []);
}

pub(super) fn hosts_that_share_take_the_same_number_of_partitions(place: &dyn Place) {
    let shares = Wishes {
        shares: true,
        ..Wishes::default()
    };
    let hosts = [place.open(), place.open()];
    let seen = of(&*hosts[0]).tend(&shares).unwrap();
    assert_eq!((seen.owned, seen.share), (Partitions::all(), 256));
    assert!(seen.has_left_over);
    // The second host makes the first one's share smaller, and gets what that one gives back.
    let seen = of(&*hosts[1]).tend(&shares).unwrap();
    assert_eq!(
        (seen.owned.len(), seen.elsewhere.len(), seen.share),
        (0, 256, 128)
    );
    let seen = of(&*hosts[0]).tend(&shares).unwrap();
    assert_eq!((seen.owned.len(), seen.share, seen.sharing), (256, 128, 2));
    let surplus: Partitions = (0..100).collect();
    of(&*hosts[0]).give_back(&surplus, &[]).unwrap();
    let seen = of(&*hosts[1]).tend(&shares).unwrap();
    assert_eq!(seen.owned, surplus);
    // A host that takes no share claims what it needs alone.
    let third = place.open();
    let [one, other] = hosts;
    drop(one);
    let seen = of(&*third).tend(&Wishes {
        shares: false,
        needed: [99, 200].into_iter().collect(),
    });
    let seen = seen.unwrap();
    assert_eq!(seen.owned, [200].into_iter().collect());
    assert_eq!((seen.elsewhere, seen.sharing), (surplus, 1));
    let seen = of(&*other).tend(&shares).unwrap();
    assert_eq!(seen.owned.len(), 255);
}
