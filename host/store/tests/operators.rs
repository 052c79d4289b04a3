//! Runs portable SQL of operators, as another crate would.

use std::sync::Arc;

use cairn_effects::rows::Cell;
use cairn_model::clock::SystemClock;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;
use cairn_store::audit::{AuditFilter, Change};
use cairn_store::{HostStore, Sqlite, SqliteConfig, StoreError};

const ADD: &str = "INSERT INTO zones (name) VALUES ($1)";
const COUNT: &str = "SELECT COUNT(*) FROM zones";

fn root() -> Identity {
    Identity::new("root", "ops").into_admin()
}

fn memory() -> Sqlite {
    Sqlite::in_memory(SqliteConfig::default(), Arc::new(SystemClock)).unwrap()
}

fn read(
    store: &Sqlite,
    statement: &str,
    parameters: &[Cell],
) -> Result<Vec<Vec<Cell>>, StoreError> {
    store.read(&root(), |view| view.query(statement, parameters))
}

fn is_database<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Database(_)))
}

#[test]
fn parameters_and_answers_are_cells() {
    let store = memory();
    let parameters = ["a".into(), 7.into(), Cell::from(None::<i64>)];
    let statement = "SELECT $3, $2, $1, 2 > 1 WHERE $3 IS NOT DISTINCT FROM NULL";
    let expected = vec![vec![Cell::Null, Cell::Int(7), "a".into(), Cell::Int(1)]];
    assert_eq!(read(&store, statement, &parameters).unwrap(), expected);
}

#[test]
fn a_statement_that_is_wrong_is_an_error_of_the_database_and_changes_nothing() {
    let store = memory();
    for (statement, parameters) in [
        ("SELECT nothing FROM nowhere", &[][..]),
        ("SELECT $1", &[]),
        ("SELECT $2", &["a".into()]),
        ("SELECT 1", &["a".into()]),
        ("SELECT ?", &["a".into()]),
        ("SELECT 0.5", &[]),
        (ADD, &["a".into()]),
        ("SELECT 1; SELECT 2", &[]),
    ] {
        let result = read(&store, statement, parameters);
        assert!(is_database(&result), "{statement}: {result:?}");
    }
    for (statement, parameters) in [
        ("UPDATE nowhere SET nothing = 1", &[][..]),
        ("DELETE FROM zones WHERE name = $1", &[]),
        ("SELECT name FROM zones", &[]),
    ] {
        let result = store.admin(&root(), |admin| {
            admin.execute(ADD, &["a".into()])?;
            admin.execute(statement, parameters)
        });
        assert!(is_database(&result), "{statement}: {result:?}");
        // A failed read also ends the operation.
        let result = store.admin(&root(), |admin| {
            admin.execute(ADD, &["a".into()])?;
            admin.view().query("SELECT nothing FROM nowhere", &[])
        });
        assert!(is_database(&result), "{result:?}");
    }
    assert_eq!(read(&store, COUNT, &[]).unwrap(), [[Cell::Int(0)]]);
}

#[test]
fn an_operation_reads_what_it_wrote_and_a_refusal_undoes_it() {
    let store = memory();
    let refused = store.admin(&root(), |admin| {
        assert_eq!(admin.execute(ADD, &["a".into()])?, 1);
        assert_eq!(admin.view().query(COUNT, &[])?, [[Cell::Int(1)]]);
        Err::<(), _>(TaskError::new("InvalidInput", "no").into())
    });
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(read(&store, COUNT, &[]).unwrap(), [[Cell::Int(0)]]);
}

#[test]
fn reads_that_belong_together_see_one_state_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let open = || Sqlite::open(&path, SqliteConfig::default(), Arc::new(SystemClock)).unwrap();
    let (store, other) = (open(), open());
    let add = |name: &str| {
        let added = other.admin(&root(), |admin| admin.execute(ADD, &[name.into()]));
        added.unwrap();
    };
    let counts = store.read(&root(), |view| {
        view.consistently(|view| {
            let before = view.query(COUNT, &[])?;
            add("a");
            Ok((before, view.query(COUNT, &[])?))
        })
    });
    let (before, after) = counts.unwrap();
    assert_eq!(before, after);
    assert_eq!(read(&store, COUNT, &[]).unwrap(), [[Cell::Int(1)]]);
    let known = store.read(&root(), |view| {
        Ok((
            view.has_column("zones", "name")?,
            view.has_column("zones", "color")?,
        ))
    });
    assert_eq!(known.unwrap(), (true, false));
}

/// A caller's own error type.
#[derive(Debug)]
enum Mine {
    No,
    Store(StoreError),
}

impl From<StoreError> for Mine {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[test]
fn a_caller_may_refuse_with_an_error_of_its_own() {
    let store = memory();
    let refused = store.try_admin(&root(), |admin| {
        admin.execute(ADD, &["a".into()])?;
        Err::<(), _>(Mine::No)
    });
    assert!(matches!(refused, Err(Mine::No)), "{refused:?}");
    // Also through the trait object of hosts.
    let host: &dyn HostStore = &store;
    let refused = host.try_admin(&root(), |admin| {
        admin.execute(ADD, &["a".into()])?;
        Err::<(), _>(Mine::No)
    });
    assert!(matches!(refused, Err(Mine::No)), "{refused:?}");
    let read = host.try_read(&root(), |view| {
        let rows = view.query(COUNT, &[])?;
        assert_eq!(rows, [[Cell::Int(0)]]);
        Err::<(), _>(Mine::No)
    });
    assert!(matches!(read, Err(Mine::No)), "{read:?}");
    let wrong = host.try_read(&root(), |view| {
        view.query("SELECT nothing FROM nowhere", &[])?;
        Err::<(), _>(Mine::No)
    });
    assert!(matches!(wrong, Err(Mine::Store(_))), "{wrong:?}");
}

#[test]
fn a_change_after_an_error_of_sqlites_is_lost_whatever_the_operator_answers() {
    const TWICE: &str = "INSERT INTO zones (name) VALUES ($1), ($1)";
    let store = memory();
    let host: &dyn HostStore = &store;
    let passed_over = |result: Result<usize, StoreError>| {
        assert!(matches!(result, Err(StoreError::Lost(_))), "{result:?}");
    };
    let done = store.admin(&root(), |admin| {
        admin.execute(ADD, &["a".into()])?;
        passed_over(admin.execute(TWICE, &["b".into()]));
        Ok(())
    });
    assert!(matches!(done, Err(StoreError::Lost(_))), "{done:?}");
    let refused = host.try_admin(&root(), |admin| {
        admin.execute(ADD, &["a".into()])?;
        passed_over(admin.execute(TWICE, &["b".into()]));
        Err::<(), _>(Mine::No)
    });
    let lost = matches!(refused, Err(Mine::Store(StoreError::Lost(_))));
    assert!(lost, "{refused:?}");
    assert_eq!(read(&store, COUNT, &[]).unwrap(), [[Cell::Int(0)]]);
    store
        .admin(&root(), |admin| admin.execute(ADD, &["a".into()]))
        .unwrap();
    assert_eq!(read(&store, COUNT, &[]).unwrap(), [[Cell::Int(1)]]);
}

#[test]
fn a_change_is_recorded_with_its_source_and_reason_and_a_refusal_leaves_no_row() {
    let store = memory();
    let by = root().from_source("here");
    let change = |subject| Change {
        action: "zone.create",
        subject,
        ..Change::default()
    };
    let refused = store.admin(&by, |admin| {
        admin.record(change("a"))?;
        Err::<(), StoreError>(TaskError::new("No", "no").into())
    });
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    let audit = || store.read(&by, |view| view.audit(AuditFilter::default(), 9));
    assert_eq!(audit().unwrap(), []);
    store
        .admin(&by, |admin| {
            admin.because(Some("it was asked for"));
            admin.record(change("b"))?;
            admin.record(Change {
                reason: Some("another one"),
                ..change("c")
            })
        })
        .unwrap();
    store
        .admin(&root(), |admin| admin.record(change("d")))
        .unwrap();
    let rows = audit().unwrap();
    let told = rows
        .iter()
        .map(|row| (&*row.subject, &*row.source, row.reason.as_deref()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("d", "program", None),
            ("c", "here", Some("another one")),
            ("b", "here", Some("it was asked for"))
        ]
    );
}
