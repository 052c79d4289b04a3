//! What operators do with objects outside the database: scans while flows change rows, adoption, removal.

mod shelf;

use std::sync::{Arc, Mutex};

use cairn::clock::SystemClock;
use cairn::external::{ActError, ExternalKey, Presence};
use cairn::externals::{self, Bounds, Compared, Found, HandleError, ScanError};
use cairn::flow::{Provider, Providers};
use cairn::id::HostId;
use cairn::store::HostStore;
use cairn::store::audit::AuditFilter;
use cairn::store::view::Reader;
use cairn::task::Wanted;
use cairn::value::Digest;
use cairn::{
    Context, Flow, Identity, Object, Sqlite, SqliteConfig, StoreError, Task, TaskError, TaskSpec,
    Value, Verdict,
};
use serde_json::json;

use shelf::{Point, Shelf, id};

fn key(number: u32) -> ExternalKey {
    ExternalKey::new("shelf", "book", &id(number))
}

fn admin() -> Identity {
    Identity::new("ann", "acme").into_admin()
}

/// A database with rows of a shelf's objects.
struct Scene {
    folder: tempfile::TempDir,
    store: Arc<dyn HostStore>,
    shelf: Arc<Shelf>,
}

impl Scene {
    fn new(shelf: Shelf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        let store = Sqlite::open(&path, SqliteConfig::default(), Arc::new(SystemClock)).unwrap();
        Self {
            folder,
            store: Arc::new(store),
            shelf: Arc::new(shelf),
        }
    }

    fn provider(&self) -> Provider {
        Provider {
            external: Arc::clone(&self.shelf) as _,
            digest: Digest::of(b"shelf"),
        }
    }

    /// Returns what operators have changed, newest first: the action, its subject, before and after.
    fn audit(&self) -> Vec<(String, String, Value, Value)> {
        let reader = self.reader();
        let found = reader.view(&admin()).audit(AuditFilter::default(), 9);
        let rows = found.unwrap().into_iter();
        rows.map(|row| (row.action, row.subject, row.before, row.after))
            .collect()
    }

    /// Writes a row, as flows have it.
    fn row(&self, number: u32, state: &str) {
        write_row(&*self.store, number, state);
    }

    fn reader(&self) -> Reader {
        let path = self.folder.path().join("cairn.db");
        Reader::open(&path, SqliteConfig::default(), Arc::new(SystemClock)).unwrap()
    }

    /// Returns the states of the rows, by their ids.
    fn rows(&self) -> Vec<(String, String)> {
        states(&self.reader())
    }

    fn scan_within(&self, bounds: Bounds) -> Result<Compared, ScanError> {
        let (reader, admin) = (self.reader(), admin());
        let view = reader.view(&admin);
        externals::scan(&view, &self.provider(), ("shelf", "book"), bounds)
    }

    /// Returns the differences: what, and which object.
    fn scan(&self) -> Vec<(Found, String)> {
        let compared = self.scan_within(Bounds::default()).unwrap();
        assert!(!compared.is_cut);
        let found = compared.differences.into_iter();
        found.map(|found| (found.found, found.id)).collect()
    }
}

fn write_row(store: &dyn HostStore, number: u32, state: &str) {
    let statement = "INSERT INTO externals
         (provider, kind, id, project_id, task, state, spec, result, digest, token, created_at, updated_at)
         VALUES ('shelf', 'book', $1, 'acme', 'makes', $2, 'null', 'null', $3, 1, 0, 0)";
    let digest = Digest::of(b"shelf").to_string();
    let (id, state) = (id(number), state.to_owned());
    let cells = [
        id.as_str().into(),
        state.as_str().into(),
        digest.as_str().into(),
    ];
    let written = store.admin(&admin(), |admin| admin.execute(statement, &cells));
    assert_eq!(written.unwrap(), 1);
}

fn states(reader: &Reader) -> Vec<(String, String)> {
    let admin = admin();
    let view = reader.view(&admin);
    let rows = view.standing_externals(("shelf", "book"), "", None, 100);
    let rows = rows.unwrap().into_iter();
    rows.map(|row| (row.id, row.state)).collect()
}

#[test]
fn a_scan_names_objects_without_rows_and_rows_without_objects_on_every_page() {
    for page in [1, 2, 7, 1_000] {
        let scene = Scene::new(Shelf {
            page,
            ..Shelf::default()
        });
        for number in 1..=9 {
            scene.shelf.put(number);
            scene.row(number, "made");
        }
        assert_eq!(scene.scan(), []);
        for orphan in [10, 15, 40] {
            scene.shelf.put(orphan);
        }
        for lost in [3, 4, 20, 50] {
            scene.shelf.take(lost);
            if lost > 9 {
                scene.row(lost, "made");
            }
        }
        // Neither: an act on each is open.
        scene.row(30, "making");
        scene.row(60, "removing");
        let mut found = scene.scan();
        found.sort_by(|one, other| one.1.cmp(&other.1));
        let expected = [3, 4, 10, 15, 20, 40, 50].map(|number| match number {
            10 | 15 | 40 => (Found::Orphan, id(number)),
            _ => (Found::Lost, id(number)),
        });
        assert_eq!(found, expected, "pages of {page}");
    }
}

#[test]
fn what_flows_make_and_remove_while_a_scan_goes_on_is_no_difference() {
    // Made before it is listed: its row is older than the object.
    let scene = Scene::new(Shelf::default());
    scene.shelf.put(1);
    scene.row(1, "making");
    assert_eq!(scene.scan(), []);

    // Removed after it was listed, with its row.
    let scene = Scene::new(Shelf {
        page: 10,
        ..Shelf::default()
    });
    scene.shelf.put(1);
    scene.row(1, "made");
    let store = Arc::clone(&scene.store);
    scene.shelf.meanwhile(move |shelf, point| {
        if point == Point::Listed {
            shelf.take(1);
            let statement = "DELETE FROM externals WHERE provider = 'shelf'";
            let removed = store.admin(&admin(), |admin| admin.execute(statement, &[]));
            removed.unwrap();
        }
    });
    assert_eq!(scene.scan(), []);

    // Made after its place in the list had passed.
    let scene = Scene::new(Shelf {
        page: 10,
        ..Shelf::default()
    });
    scene.shelf.put(2);
    scene.row(2, "made");
    let (store, mut is_made) = (Arc::clone(&scene.store), false);
    scene.shelf.meanwhile(move |shelf, point| {
        if point == Point::Listed && !std::mem::replace(&mut is_made, true) {
            write_row(&*store, 1, "made");
            shelf.put(1);
        }
    });
    assert_eq!(scene.scan(), []);

    // Lost at first sight, and then removed by its flow.
    let scene = Scene::new(Shelf::default());
    scene.row(1, "made");
    let store = Arc::clone(&scene.store);
    scene.shelf.meanwhile(move |_, point| {
        if point == Point::Looks {
            let statement = "UPDATE externals SET state = 'removing', token = 2 WHERE id = $1";
            let id = [id(1).as_str().into()];
            let changed = store.admin(&admin(), |admin| admin.execute(statement, &id));
            changed.unwrap();
        }
    });
    assert_eq!(scene.scan(), []);

    // Without a row at first sight, and then taken over by a flow that makes it again.
    let scene = Scene::new(Shelf::default());
    scene.shelf.put(1);
    let (store, mut is_made) = (Arc::clone(&scene.store), false);
    scene.shelf.meanwhile(move |_, point| {
        if point == Point::Looks && !std::mem::replace(&mut is_made, true) {
            write_row(&*store, 1, "making");
        }
    });
    assert_eq!(scene.scan(), []);
}

#[test]
fn a_provider_that_cannot_look_leaves_a_difference_unknown() {
    let scene = Scene::new(Shelf {
        is_blind: true,
        ..Shelf::default()
    });
    scene.shelf.put(1);
    scene.row(2, "made");
    let compared = scene.scan_within(Bounds::default()).unwrap();
    let looks = compared.differences.iter();
    let kinds = looks.map(|found| found.presence.as_ref().unwrap_err().kind.as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["NoAnswer"; 2]);
}

#[test]
fn a_list_without_an_end_is_refused_at_each_bound() {
    let scene = Scene::new(Shelf {
        endless: Some(1),
        ..Shelf::default()
    });
    let none = Bounds {
        ids: usize::MAX,
        pages: usize::MAX,
        looks: usize::MAX,
        differences: usize::MAX,
    };
    for (bounds, words) in [
        (Bounds { ids: 1_500, ..none }, "more than 1500 ids"),
        (Bounds { pages: 3, ..none }, "does not end within 3 pages"),
        (
            Bounds {
                looks: 1_200,
                ..none
            },
            "1200 were looked at",
        ),
        (Bounds::default(), "10000 were looked at"),
    ] {
        let refused = scene.scan_within(bounds).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    for step in [0, -1] {
        let scene = Scene::new(Shelf {
            endless: Some(step),
            ..Shelf::default()
        });
        let refused = scene.scan_within(Bounds::default()).unwrap_err();
        assert!(
            refused.to_string().contains("not sorted, or repeats"),
            "{refused}"
        );
    }
}

#[test]
fn a_scan_ends_after_so_many_differences_and_says_so() {
    let scene = Scene::new(Shelf {
        page: 2,
        ..Shelf::default()
    });
    for number in 1..=5 {
        scene.shelf.put(number);
        scene.row(10 + number, "made");
    }
    for differences in [1, 5, 9, 10] {
        let compared = scene.scan_within(Bounds {
            differences,
            ..Bounds::default()
        });
        let compared = compared.unwrap();
        assert_eq!(compared.differences.len(), differences);
        assert_eq!(compared.is_cut, differences < 10);
    }
}

#[test]
fn only_admins_compare_adopt_and_remove() {
    let scene = Scene::new(Shelf::default());
    scene.shelf.put(1);
    let (reader, ann) = (scene.reader(), Identity::new("ann", "acme"));
    let place = ("shelf", "book");
    let bounds = Bounds::default();
    let scanned = externals::scan(&reader.view(&ann), &scene.provider(), place, bounds);
    assert!(matches!(
        scanned,
        Err(ScanError::Store(StoreError::Refused(error))) if error.kind == "NotAuthorized"
    ));
    let store = &*scene.store;
    let adopted = externals::adopt(store, &ann, &scene.provider(), &key(1), "why");
    let removed = externals::remove(store, &ann, &scene.provider(), &key(1), None);
    for refused in [adopted.map(drop), removed] {
        assert!(matches!(
            refused,
            Err(HandleError::Store(StoreError::Refused(error))) if error.kind == "AdminRequired"
        ));
    }
    assert_eq!(scene.rows(), []);
}

#[test]
fn an_orphan_is_adopted_once_with_what_its_provider_tells_and_the_reason() {
    let scene = Scene::new(Shelf::default());
    let (store, admin) = (&*scene.store, admin());
    let adopt =
        |number| externals::adopt(store, &admin, &scene.provider(), &key(number), "found it");
    let absent = adopt(1).unwrap_err();
    assert!(
        matches!(&absent, HandleError::Absent(absent) if *absent == key(1)),
        "{absent}"
    );
    assert_eq!(scene.rows(), []);
    scene.shelf.put(1);
    scene
        .shelf
        .there
        .lock()
        .unwrap()
        .insert(id(2), Presence::Partial);
    assert_eq!(adopt(1).unwrap(), Presence::Whole(json!(1)));
    assert_eq!(adopt(2).unwrap(), Presence::Partial);
    let refused = adopt(1).unwrap_err().to_string();
    assert!(
        refused.contains("has a row, of the project `acme`"),
        "{refused}"
    );
    let reader = scene.reader();
    let view = reader.view(&admin);
    let row = view.external(&key(1)).unwrap().unwrap();
    assert_eq!(row["result"], json!(1));
    assert_eq!(
        row["spec"]["adopted"],
        json!({"by": "ann", "reason": "found it"})
    );
    assert_eq!(
        (&row["state"], &row["flow"]),
        (&json!("made"), &Value::Null)
    );
    assert_eq!(
        view.external(&key(2)).unwrap().unwrap()["result"],
        Value::Null
    );
    let adopted = |number, result| {
        let after = json!({"provider": "shelf", "kind": "book", "result": result});
        ("external.adopt".to_owned(), id(number), Value::Null, after)
    };
    assert_eq!(
        scene.audit(),
        [adopted(2, Value::Null), adopted(1, json!(1))],
        "a row for each that was adopted"
    );
    assert_eq!(scene.scan(), []);
}

#[test]
fn the_row_of_an_object_that_is_removed_is_there_before_the_act_and_until_it_is_absent() {
    let scene = Scene::new(Shelf::default());
    scene.shelf.put(1);
    scene.row(2, "made");
    let (path, seen) = (scene.folder.path().join("cairn.db"), Arc::default());
    let note: Arc<Mutex<Vec<_>>> = Arc::clone(&seen);
    scene.shelf.meanwhile(move |_, point| {
        let reader = Reader::open(&path, SqliteConfig::default(), Arc::new(SystemClock)).unwrap();
        note.lock().unwrap().push((point, states(&reader)));
    });
    for number in [1, 2] {
        let provider = scene.provider();
        externals::remove(&*scene.store, &admin(), &provider, &key(number), None).unwrap();
    }
    let removing = |number| vec![(id(number), "removing".to_owned())];
    let made = (id(2), "made".to_owned());
    let first = [removing(1), vec![made]].concat();
    let seen = seen.lock().unwrap();
    let mut tokens = Vec::new();
    let seen = seen.iter().map(|(point, states)| {
        let is_removal = matches!(point, Point::Removes(token) if { tokens.push(*token); true });
        (is_removal, states.clone())
    });
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            (true, first.clone()),
            (false, first),
            (true, removing(2)),
            (false, removing(2)),
        ]
    );
    // Greater than those of all flows, and of acts whose rows are gone.
    let least = u64::from(u32::MAX) << 32 | 1_700_000_000;
    assert!(tokens.iter().all(|token| *token > least), "{tokens:?}");
    assert_eq!(scene.rows(), []);
    let removed = |number, before: Option<&str>| {
        let row = |state| json!({"provider": "shelf", "kind": "book", "state": state});
        let name = "external.remove".to_owned();
        (name, id(number), row(before), row(Some("removing")))
    };
    assert_eq!(scene.audit(), [removed(2, Some("made")), removed(1, None)]);
}

#[test]
fn an_object_that_is_not_removed_keeps_its_row_and_the_next_removal_has_a_greater_token() {
    let refused = ActError::Refused(TaskError::new("Busy", "in use"));
    let scene = Scene::new(Shelf {
        removal: Some(refused),
        ..Shelf::default()
    });
    scene.shelf.put(1);
    scene.row(1, "made");
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&tokens);
    scene.shelf.meanwhile(move |_, point| {
        if let Point::Removes(token) = point {
            note.lock().unwrap().push(token);
        }
    });
    let remove = || externals::remove(&*scene.store, &admin(), &scene.provider(), &key(1), None);
    for _ in 0..2 {
        let error = remove().unwrap_err();
        assert!(
            matches!(&error, HandleError::Refused { error, .. } if error.kind == "Busy"),
            "{error}"
        );
    }
    {
        let tokens = tokens.lock().unwrap();
        assert!(tokens[0] < tokens[1], "{tokens:?}");
    }
    assert_eq!(scene.rows(), [(id(1), "made".to_owned())]);
    assert_eq!(scene.scan(), [], "nothing has changed");

    // An orphan has no row afterwards, so a scan names it again.
    scene.shelf.put(2);
    let removed = externals::remove(&*scene.store, &admin(), &scene.provider(), &key(2), None);
    assert!(matches!(removed, Err(HandleError::Refused { .. })));
    assert_eq!(scene.rows().len(), 1);
    assert_eq!(scene.scan().len(), 1);
}

#[test]
fn an_object_that_another_process_may_be_in_an_act_on_is_left() {
    let scene = Scene::new(Shelf::default());
    scene.shelf.put(1);
    scene.row(1, "made");
    let statement = "UPDATE externals SET host = $1";
    let other = [HostId::new().into()];
    let changed = (scene.store).admin(&admin(), |admin| admin.execute(statement, &other));
    assert_eq!(changed.unwrap(), 1);
    scene
        .shelf
        .meanwhile(|_, point| panic!("the provider is asked: {point:?}"));
    let left = externals::remove(&*scene.store, &admin(), &scene.provider(), &key(1), None);
    assert!(matches!(left, Err(HandleError::HostMayAct(_))), "{left:?}");
    assert_eq!(scene.rows(), [(id(1), "made".to_owned())]);
}

/// A task that makes an object.
struct Makes(TaskSpec);

impl Task for Makes {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        context.make_external(&Wanted {
            provider: "shelf",
            kind: "book",
            label: "one",
            spec: &json!("a book"),
        })
    }
}

impl Scene {
    /// Runs a flow that makes an object.
    fn flow(&self) -> (Flow, ExternalKey) {
        let store = Arc::clone(&self.store);
        let flow = Flow::builder("makes")
            .requester(Identity::new("ann", "acme"))
            .build(store as _);
        let providers = [("shelf".to_owned(), self.provider())];
        flow.set_providers(Arc::new(Providers::from(providers)));
        flow.add(Arc::new(Makes(TaskSpec::new("makes")))).unwrap();
        flow.run().unwrap();
        let (made, _) = self.rows().pop().unwrap();
        (flow, ExternalKey::new("shelf", "book", &made))
    }
}

#[test]
fn a_flow_whose_object_an_operator_has_removed_is_rolled_back_clean() {
    let scene = Scene::new(Shelf::default());
    let (flow, key) = scene.flow();
    let last = Arc::new(Mutex::new(0));
    let note = Arc::clone(&last);
    scene.shelf.meanwhile(move |_, point| {
        if let Point::Removes(token) = point {
            *note.lock().unwrap() = token;
        }
    });
    externals::remove(&*scene.store, &admin(), &scene.provider(), &key, None).unwrap();
    let token = *last.lock().unwrap();
    assert_eq!(scene.rows(), []);
    flow.rollback(&cairn::error::Cause::requested("enough"))
        .unwrap();
    let report = cairn::Report::new(flow.id(), &flow.history());
    assert_eq!(report.rollback.unwrap().verdict, Verdict::Clean);
    assert_eq!(
        *last.lock().unwrap(),
        token,
        "the provider is not asked again"
    );
}
