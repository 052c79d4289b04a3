//! Ids are checked: a row of another project gives the same answer as a missing one, and is journalled.

use cairn_volumes::{KeyCopy, KeyCreate, KeyDelete, QuotaRollback};

use super::*;

/// A requester who names rows of another project.
fn mallory() -> Identity {
    Identity::new("mallory", "umbrella")
}

/// The rows of Ann's project: one of each kind.
struct Owned {
    volume: String,
    snapshot: String,
    key: String,
    reservation: String,
    image: String,
}

fn owned(store: &Sqlite) -> Owned {
    let call = begin(store, &ann());
    let (volume, _) = made(apply(store, call, &ann(), create()));
    let Answer::Key(key) = apply(store, call, &ann(), Effect::KeyCreate(KeyCreate))
        .unwrap()
        .0
    else {
        panic!("a key")
    };
    let Answer::Reservations(mut reservations) = apply(store, call, &ann(), reserve(1)).unwrap().0
    else {
        panic!("reservations")
    };
    let snapshot = store
        .admin(&ann(), |admin| {
            admin.create_snapshot(&volume, None, "available")
        })
        .unwrap();
    let image = json!({"id": "theirs", "project_id": "acme", "size": 1, "created_at": 1});
    let images = [(
        "images".to_owned(),
        vec![image.as_object().cloned().unwrap()],
    )];
    store
        .admin(&ann(), |admin| admin.import(&images.into()))
        .unwrap();
    Owned {
        volume,
        snapshot: snapshot["id"].as_str().unwrap().to_owned(),
        key,
        reservation: reservations.remove(0),
        image: "theirs".to_owned(),
    }
}

/// Returns the answer to one call, without the id that it named.
fn answer(store: &Sqlite, call: CallId, ask: &Ask, id: &str) -> String {
    let caller = Caller {
        call: Some(call),
        requester: &mallory(),
    };
    let told = match ask(id) {
        Ok(effect) => effect
            .apply_in(store, caller)
            .map(|(answer, _)| match answer {
                // A new volume gets a new id.
                Answer::Volume(mut volume) => {
                    volume["id"] = Value::Null;
                    volume["created_at"] = Value::Null;
                    format!("{volume}")
                }
                answer => format!("{answer:?}"),
            }),
        Err(query) => query.ask_in(store, caller).map(|value| value.to_string()),
    };
    let told = told.unwrap_or_else(|error| match error {
        StoreError::Refused(error) => format!("{} {error:?}", error.kind),
        error => panic!("{error}"),
    });
    told.replace(id, "ID")
}

/// An effect, or a query, that names an id.
type Ask = dyn Fn(&str) -> Result<Effect, Query>;

fn made_from(column: &'static str) -> Box<Ask> {
    Box::new(move |id| {
        let properties = json!({"size": 1, column: id});
        Ok(Effect::VolumeCreate(VolumeCreate {
            properties: properties.as_object().cloned().unwrap(),
        }))
    })
}

fn asks(owned: &Owned) -> Vec<(&'static str, String, Box<Ask>)> {
    let Owned {
        volume,
        snapshot,
        key,
        reservation,
        image,
    } = owned;
    let ids = |id: &str| vec![id.to_owned()];
    vec![
        (
            "volume",
            volume.clone(),
            Box::new(|id| Err(Query::Volume(id.to_owned()))),
        ),
        (
            "volume",
            volume.clone(),
            Box::new(|id| Ok(update(id, "error"))),
        ),
        (
            "volume",
            volume.clone(),
            Box::new(|id| Ok(Effect::VolumeDestroy(VolumeDestroy { id: id.to_owned() }))),
        ),
        ("volume", volume.clone(), made_from("source_volid")),
        (
            "snapshot",
            snapshot.clone(),
            Box::new(|id| Err(Query::Snapshot(id.to_owned()))),
        ),
        ("snapshot", snapshot.clone(), made_from("snapshot_id")),
        (
            "image",
            image.clone(),
            Box::new(|id| Err(Query::Image(id.to_owned()))),
        ),
        (
            "key",
            key.clone(),
            Box::new(|id| Ok(Effect::KeyCopy(KeyCopy { id: id.to_owned() }))),
        ),
        (
            "key",
            key.clone(),
            Box::new(|id| Ok(Effect::KeyDelete(KeyDelete { id: id.to_owned() }))),
        ),
        ("key", key.clone(), made_from("encryption_key_id")),
        (
            "reservation",
            reservation.clone(),
            Box::new(move |id| {
                let reservations = ids(id);
                Ok(Effect::QuotaCommit(QuotaCommit {
                    reservations,
                    project: None,
                }))
            }),
        ),
        (
            "reservation",
            reservation.clone(),
            Box::new(move |id| {
                let reservations = ids(id);
                Ok(Effect::QuotaRollback(QuotaRollback {
                    reservations,
                    project: None,
                }))
            }),
        ),
    ]
}

fn denied(store: &Sqlite, flow: FlowId) -> Vec<(String, String)> {
    let events = events(store, flow).into_iter();
    events
        .filter_map(|event| match event {
            Event::Denied { kind, id, .. } => Some((kind, id)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_forged_id_of_any_kind_is_answered_like_one_that_nobody_has_and_noted() {
    let store = memory();
    let owned = owned(&store);
    let before = [
        &kind::VOLUME,
        &kind::SNAPSHOT,
        &kind::RESERVATION,
        &kind::IMAGE,
    ]
    .map(|kind| rows(&store, kind));
    for (number, (kind, theirs, ask)) in asks(&owned).into_iter().enumerate() {
        // One flow for each, because a call journals a named row once.
        let (forges, guesses) = (begin(&store, &mallory()), begin(&store, &mallory()));
        let told = answer(&store, forges, &ask, &theirs);
        assert_eq!(told, answer(&store, guesses, &ask, "of-nobody"), "{number}");
        assert_eq!(
            denied(&store, forges.flow),
            [(kind.to_owned(), theirs)],
            "{number}"
        );
        assert_eq!(denied(&store, guesses.flow), [], "{number}");
    }
    let after = [
        &kind::VOLUME,
        &kind::SNAPSHOT,
        &kind::RESERVATION,
        &kind::IMAGE,
    ]
    .map(|kind| rows(&store, kind));
    for (before, after) in before.iter().zip(&after) {
        let kept = after
            .iter()
            .filter(|row| row.get("project_id") == Some(&json!("acme")));
        let had = before
            .iter()
            .filter(|row| row.get("project_id") == Some(&json!("acme")));
        assert!(had.eq(kept), "Ann's rows were changed");
    }
}

#[test]
fn what_is_noted_stays_when_the_call_is_undone() {
    let store = memory();
    let owned = owned(&store);
    let call = begin(&store, &mallory());
    let (_, forged) = made(apply(
        &store,
        call,
        &mallory(),
        made_from("source_volid")(&owned.volume).unwrap(),
    ));
    store.undo(&forged).unwrap();
    assert_eq!(
        denied(&store, call.flow),
        [("volume".to_owned(), owned.volume)]
    );
}

#[test]
fn what_is_named_again_and_again_is_noted_once_a_call() {
    let store = memory();
    let owned = owned(&store);
    let call = begin(&store, &mallory());
    let caller = Caller {
        call: Some(call),
        requester: &mallory(),
    };
    for _ in 0..1_000 {
        refusal(Query::Volume(owned.volume.clone()).ask_in(&store, caller));
    }
    assert_eq!(denied(&store, call.flow).len(), 1);
}

#[test]
fn ones_own_that_is_deleted_is_not_found_and_not_noted() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, _) = made(apply(&store, call, &ann(), create()));
    let destroy = Effect::VolumeDestroy(VolumeDestroy { id: id.clone() });
    apply(&store, call, &ann(), destroy).unwrap();
    let caller = Caller {
        call: Some(call),
        requester: &ann(),
    };
    assert_eq!(
        refusal(Query::Volume(id).ask_in(&store, caller)),
        "VolumeNotFound"
    );
    assert_eq!(denied(&store, call.flow), []);
}

#[test]
fn a_volume_that_another_project_says_it_is_made_from_can_be_undone() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, created) = made(apply(&store, call, &ann(), create()));
    let theirs = begin(&store, &mallory());
    let forged = made_from("source_volid")(&id).unwrap();
    apply(&store, theirs, &mallory(), forged).unwrap();
    store.undo(&created).unwrap();
    // A volume of the same project prevents the undo.
    let (id, created) = made(apply(&store, call, &ann(), create()));
    let own = made_from("source_volid")(&id).unwrap();
    apply(&store, call, &ann(), own).unwrap();
    assert_eq!(refusal(store.undo(&created)), "UndoRefused");
}

#[test]
fn a_flow_does_not_destroy_a_volume_that_something_depends_on() {
    let store = memory();
    let call = begin(&store, &ann());
    let (id, _) = made(apply(&store, call, &ann(), create()));
    let destroy = Effect::VolumeDestroy(VolumeDestroy { id: id.clone() });
    let snapshot = store
        .admin(&ann(), |admin| {
            admin.create_snapshot(&id, None, "available")
        })
        .unwrap();
    assert_eq!(
        refusal(apply(&store, call, &ann(), destroy.clone())),
        "VolumeInUse"
    );
    let snapshot = snapshot["id"].as_str().unwrap().to_owned();
    store
        .admin(&ann(), |admin| admin.delete_snapshot(&snapshot))
        .unwrap();
    apply(&store, call, &ann(), destroy).unwrap();
}

#[test]
fn the_batch_is_opened_for_a_forged_id_and_for_one_that_nobody_has() {
    let store = memory();
    let owned = owned(&store);
    for id in [owned.volume.as_str(), "of-nobody"] {
        let call = begin(&store, &mallory());
        store.barrier(call.flow).unwrap();
        let caller = Caller {
            call: Some(call),
            requester: &mallory(),
        };
        refusal(Query::Volume(id.to_owned()).ask_in(&store, caller));
        assert!(store.write(|writer| writer.ledger.batch.is_some()), "{id}");
    }
}
