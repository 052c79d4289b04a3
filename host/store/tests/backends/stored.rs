//! What a database keeps beside flows: plans, components, the fingerprint of the master key.

use cairn_effects::keyring::MasterKey;
use cairn_effects::rows::Cell;
use cairn_model::value::Digest;
use cairn_store::{Component, HostStore};

use crate::place::Place;
use crate::scene::ann;

pub(super) fn a_plan_that_was_kept_is_there_with_its_components_for_every_process(
    place: &dyn Place,
) {
    let (first, second) = (place.open(), place.open());
    let digest = Digest::of(b"{}");
    assert_eq!(second.plan(digest).unwrap(), None);
    let bytes = [&b"one"[..], b"two", b""];
    let [one, two, none] = bytes.map(|bytes| Component {
        digest: Digest::of(bytes),
        bytes,
    });
    first.keep_plan(digest, "{}", &[one, none]).unwrap();
    first
        .keep_plan(digest, "kept as it was", &[one, two])
        .unwrap();
    assert_eq!(second.plan(digest).unwrap().as_deref(), Some("{}"));
    for component in [one, two, none] {
        let found = second.component(component.digest).unwrap();
        assert_eq!(found.as_deref(), Some(component.bytes));
    }
    assert_eq!(second.component(digest).unwrap(), None);
}

pub(super) fn a_damaged_component_is_an_error_until_it_is_stored_again(place: &dyn Place) {
    let store = place.open();
    if store.operators().is_none() {
        return;
    }
    let (plan, bytes) = (Digest::of(b"{}"), &b"one"[..]);
    let digest = Digest::of(bytes);
    let keep = || store.keep_plan(plan, "{}", &[Component { digest, bytes }]);
    keep().unwrap();
    let damage = |body: &[u8]| {
        let statement = "UPDATE components SET body = $1";
        let changed = store.admin(&ann(), |admin| {
            admin.execute(statement, &[Cell::Blob(body.into())])
        });
        assert_eq!(changed.unwrap(), 1);
    };
    for body in [&b"two"[..], b""] {
        damage(body);
        let error = store.component(digest).unwrap_err().to_string();
        assert!(error.contains(&digest.to_string()), "{error}");
        keep().unwrap();
        assert_eq!(store.component(digest).unwrap().as_deref(), Some(bytes));
    }
}

pub(super) fn the_fingerprint_of_a_master_key_is_recorded_once(place: &dyn Place) {
    let (first, second) = (place.open(), place.open());
    if first.operators().is_none() {
        return;
    }
    let recorded = |store: &dyn HostStore| store.read(&ann(), |view| view.key_fingerprint());
    assert_eq!(recorded(&*first).unwrap(), None);
    let keys = [(); 2].map(|()| MasterKey::generate().unwrap().fingerprint());
    for (store, own) in [&*first, &*second].into_iter().zip(keys) {
        let found = store.admin(&ann(), |admin| admin.record_key_fingerprint(own));
        assert_eq!(found.unwrap(), keys[0]);
        assert_eq!(recorded(store).unwrap(), Some(keys[0]));
    }
}
