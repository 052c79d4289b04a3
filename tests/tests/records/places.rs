//! Two processes on one database, on disk and in memory: rows that one process changes are read again from the database by the other.

use cairn::Store;
use cairn::store::memory::MemoryDatabase;
use cairn::store::{Batched, StoreConfig};

use super::*;

fn config() -> SqliteConfig {
    let settings = Settings::parse(PLAIN, Path::new("cairn.toml")).unwrap();
    SqliteConfig {
        domains: Domains::new([cairn::records::domain(settings)]).unwrap(),
        ..SqliteConfig::default()
    }
}

/// Runs a flow in one process.
fn run(
    store: &Arc<dyn Store>,
    call: impl Fn(&Arc<dyn Context>) -> Result<(), TaskError> + Send + Sync + 'static,
) {
    let flow = Flow::builder("test")
        .requester(Identity::new("ann", "acme"))
        .build(Arc::clone(store));
    flow.add(Arc::new(step("step", call))).unwrap();
    flow.run().unwrap();
}

fn entries(page: Page) -> Vec<(String, Value)> {
    let entries = page.entries.into_iter();
    entries.map(|entry| (entry.key, entry.value)).collect()
}

/// Checks the isolation of two processes on one database.
fn holds(one: &Arc<dyn Store>, other: &Arc<dyn Store>) {
    run(one, |context| {
        for key in ["a", "b", "c", "d"] {
            put(context, key, 1)?;
        }
        Ok(())
    });
    let (writer, reader) = (Arc::clone(one), Arc::clone(other));
    run(one, move |context| {
        put(context, "b", 2)?;
        remove(context, "c")?;
        put(context, "e", 2)?;
        add(context, 8)?;
        let given = next(context);
        // Commits, so that the other process may write.
        writer.barrier(context.call().flow)?;
        run(&reader, move |context| {
            assert_eq!(put(context, "b", 3).unwrap_err().kind, "Busy");
            assert_eq!(put(context, "c", 3).unwrap_err().kind, "Busy");
            assert_eq!(add(context, 3).unwrap_err().kind, "Busy");
            assert_eq!(count(context), 0);
            assert!(next(context) > given);
            put(context, "aa", 3)?;
            remove(context, "a")?;
            let seen = entries(list(context, ""));
            let expected = [("aa", 3), ("b", 1), ("c", 1), ("d", 1)];
            assert_eq!(
                seen,
                expected.map(|(key, value)| (key.to_owned(), json!(value)))
            );
            Ok(())
        });
        assert_eq!(
            put(context, "aa", 4).map(drop),
            Ok(()),
            "the other flow has ended"
        );
        Ok(())
    });
    run(other, |context| {
        let seen = entries(list(context, ""));
        let expected = [("aa", 4), ("b", 2), ("d", 1), ("e", 2)];
        assert_eq!(
            seen,
            expected.map(|(key, value)| (key.to_owned(), json!(value)))
        );
        assert_eq!(count(context), 8);
        let page = context.look_up(&RecordList {
            collection: "c".to_owned(),
            prefix: String::new(),
            cursor: Some("b".to_owned()),
            limit: 2,
        })?;
        assert_eq!(page.next.as_deref(), Some("e"));
        let keys: Vec<_> = page.entries.iter().map(|entry| &*entry.key).collect();
        assert_eq!(keys, ["b", "d"]);
        Ok(())
    });
}

#[test]
fn two_processes_on_a_file_see_what_each_other_has_published() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> {
        let path = folder.path().join("a.db");
        Arc::new(Sqlite::open(&path, config(), Arc::new(SystemClock)).unwrap())
    };
    holds(&open(), &open());
}

#[test]
fn two_processes_on_a_database_in_memory_see_what_each_other_has_published() {
    let database = MemoryDatabase::default();
    let open = || -> Arc<dyn Store> {
        let backend = database.backend(|| false);
        let config = StoreConfig::from(config());
        Arc::new(Batched::over(backend, config, Arc::new(SystemClock)).unwrap())
    };
    holds(&open(), &open());
}
