//! The provider against a small stand-in for PowerDNS. The example's README runs it against the real one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cairn_plugin::testing::FakeHost;
use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, SERVER};

/// The sets of records by name and type.
type Sets = Rc<RefCell<BTreeMap<(String, String), Value>>>;

/// Starts a stand-in, whose answers to changes have this status.
fn server(status: u16) -> Sets {
    let sets = Sets::default();
    let own = Rc::clone(&sets);
    SERVER.set(Some(Box::new(move |method, url, body| {
        let mut sets = own.borrow_mut();
        let found = |body: Value| Answer {
            status: 200,
            body: body.to_string(),
        };
        if method == "PATCH" {
            if status < 500 {
                let set = body.expect("a change")["rrsets"][0].clone();
                let key = (text(&set["name"]), text(&set["type"]));
                match set["changetype"] == "DELETE" {
                    true => drop(sets.remove(&key)),
                    false => drop(sets.insert(key, set)),
                }
            }
            return Ok(Answer {
                status,
                ..Answer::default()
            });
        }
        if let Some((_, rest)) = url.split_once("search-data?q=") {
            let id = rest.split('&').next();
            let with = sets
                .values()
                .filter(|set| set["comments"][0]["content"].as_str() == id);
            return Ok(found(
                with.map(|set| json!({"name": set["name"], "zone": "example.org."}))
                    .collect(),
            ));
        }
        let name = url.split_once("rrset_name=").map(|(_, name)| name);
        let of = sets
            .values()
            .filter(|set| name.is_none() || set["name"].as_str() == name);
        Ok(found(json!({"rrsets": of.collect::<Vec<_>>()})))
    })));
    sets
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn host() -> FakeHost {
    FakeHost::new().settings(
        json!({"url": "http://h/api/v1/servers/localhost", "zone": "example.org.", "settle": 0}),
    )
}

fn object(last: u8) -> ExternalObject {
    ExternalObject {
        kind: "record".to_owned(),
        id: format!("6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a{last:02}"),
        token: 1,
    }
}

#[test]
fn a_record_is_made_found_by_its_id_and_removed() {
    let sets = server(204);
    let (host, one) = (host(), object(1));
    assert_eq!(host.look::<Pdns>(&one), Ok(Presence::Absent));
    for (name, address, kind) in [
        ("web-1", "192.0.2.1", "A"),
        ("web-6", "2001:db8::1", "AAAA"),
    ] {
        let made =
            json!({"id": one.id, "fqdn": format!("{name}.example.org."), "address": address});
        let spec = json!({"name": name, "address": address});
        // Twice has the effect of once.
        for _ in 0..2 {
            assert_eq!(host.make::<Pdns>(&one, spec.clone()), Ok(made.clone()));
        }
        assert_eq!(
            sets.borrow()
                .keys()
                .map(|(_, kind)| kind.as_str())
                .collect::<Vec<_>>(),
            [kind]
        );
        assert_eq!(host.look::<Pdns>(&one), Ok(Presence::Whole(made)));
        assert_eq!(host.list::<Pdns>("record", None), Ok(vec![one.id.clone()]));
        for _ in 0..2 {
            host.remove::<Pdns>(&one).unwrap();
        }
        assert!(sets.borrow().is_empty());
    }
}

#[test]
fn the_record_of_another_object_is_not_replaced() {
    server(204);
    let (host, spec) = (host(), json!({"name": "web-1", "address": "192.0.2.1"}));
    host.make::<Pdns>(&object(1), spec.clone()).unwrap();
    let error = host.make::<Pdns>(&object(2), spec).unwrap_err();
    assert!(
        error.is_refused() && error.error().is("NameTaken"),
        "{error}"
    );
}

#[test]
fn what_is_no_host_is_refused_and_nothing_is_sent() {
    SERVER.set(None);
    for (kind, name) in [
        ("zone", "web-1"),
        ("record", ""),
        ("record", "a.b"),
        ("record", "-a"),
        ("record", "Ä"),
    ] {
        let object = ExternalObject {
            kind: kind.to_owned(),
            ..object(1)
        };
        let error = host()
            .make::<Pdns>(&object, json!({"name": name, "address": "192.0.2.1"}))
            .unwrap_err();
        assert!(
            error.is_refused() && error.error().is("InvalidInput"),
            "{error}"
        );
    }
}

#[test]
fn only_an_answer_that_something_is_wrong_with_the_request_is_a_refusal() {
    let spec = json!({"name": "web-1", "address": "192.0.2.1"});
    for (status, is_refused) in [
        (422, true),
        (401, true),
        (500, false),
        (503, false),
        (302, false),
    ] {
        server(status);
        let error = host().make::<Pdns>(&object(1), spec.clone()).unwrap_err();
        assert_eq!(error.is_refused(), is_refused, "{error}");
    }
}

#[test]
fn a_record_that_comes_late_is_removed() {
    let sets = server(204);
    let (host, one) = (host(), object(1));
    let spec = json!({"name": "web-1", "address": "192.0.2.1"});
    host.make::<Pdns>(&one, spec).unwrap();
    // It appears after the first search for it.
    let late = std::mem::take(&mut *sets.borrow_mut());
    let inner = SERVER.take();
    let mut inner = inner.expect("a server");
    let mut late = Some(late);
    let own = Rc::clone(&sets);
    SERVER.set(Some(Box::new(move |method, url, body| {
        let answer = inner(method, url, body);
        if let Some(late) = late.take() {
            *own.borrow_mut() = late;
        }
        answer
    })));
    host.remove::<Pdns>(&one).unwrap();
    assert!(sets.borrow().is_empty());
}
