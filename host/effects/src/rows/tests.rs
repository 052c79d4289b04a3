use std::sync::Arc;

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::Identity;

use super::*;
use crate::effect::Caller;
use crate::table;

table! {
    /// A row of the tests.
    pub struct Note in "notes", called "note" {
        key id;
        text: Option<Text>,
        number: i64,
    }
}

static ALL: Scan<Note> = Scan {
    name: "all",
    condition: "TRUE",
    holds: |_, _| true,
};

static ONES: Scan<Note> = Scan {
    name: "ones",
    condition: "number = 1",
    holds: |row, _| row.number == 1,
};

static NOTES: Tally<Note> = Tally {
    name: "notes",
    query: "SELECT COUNT(*) FROM notes",
    group: |_, _, _| Some(Vec::new()),
    changes: true,
};

fn note(id: &str, number: i64) -> Note {
    Note {
        id: id.into(),
        text: None,
        number,
    }
}

fn row(note: Note) -> State {
    Some(Arc::new(note))
}

/// A database: the rows that commits wrote, and its mark.
#[derive(Default)]
struct Database {
    rows: Vec<Note>,
    mark: i64,
}

impl Database {
    fn commit(&mut self, overlay: &mut Overlay) {
        for written in overlay.written() {
            let id = written.id.key.first().to_owned();
            self.rows.retain(|row| *row.id != *id);
            let now = written.now.map(AnyRow::copy).map(Arc::<dyn AnyRow>::from);
            let now = now.as_ref().and_then(typed::<Note>);
            self.rows.extend(now.map(|row| Note::clone(&row)));
        }
        self.mark += 1;
        overlay.committed(Mark(self.mark));
    }

    fn fetch(&self, wants: Wants) -> Fetched {
        let all = || self.rows.iter().cloned();
        let any = |note: Note| -> Arc<dyn AnyRow> { Arc::new(note) };
        let find = |id: &RowId| all().find(|row| *row.id == *id.key.first()).map(any);
        Fetched {
            seen: Mark(self.mark),
            rows: wants.rows.iter().map(|id| (id.clone(), find(id))).collect(),
            whole: wants
                .whole
                .iter()
                .map(|table| (*table, all().map(any).collect()))
                .collect(),
            selects: wants
                .selects
                .into_iter()
                .map(|select| (select, all().map(any).collect()))
                .collect(),
            counts: wants
                .counts
                .into_iter()
                .map(|count| {
                    let number = self.rows.len() as i64;
                    (count, Counted::from([(Vec::new(), number)]))
                })
                .collect(),
        }
    }
}

fn run<T>(
    overlay: &mut Overlay,
    draft: &mut Draft,
    rules: impl FnOnce(&mut Rows<'_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let nobody = Identity::default();
    let by = Caller {
        call: None,
        requester: &nobody,
    };
    Rows::new(overlay, draft, by, &Made::new(), &Services::default())
        .run(rules)
        .0
}

fn number(overlay: &mut Overlay, draft: &mut Draft, id: &str) -> Option<i64> {
    let found = run(overlay, draft, |rows| rows.get::<Note>(id));
    found.ok().map(|row| row.map_or(-1, |row| row.number))
}

fn put(overlay: &mut Overlay, note: Note) {
    let id = RowId::of::<Note>(Arc::clone(&note.id));
    overlay.set(id, None, row(note));
}

fn draft() -> Draft {
    Draft::new(Timestamp(0))
}

#[test]
fn a_row_that_is_acknowledged_while_it_is_fetched_stays_as_it_is() {
    let (mut overlay, mut database) = (Overlay::new(0), Database::default());
    put(&mut overlay, note("a", 1));
    database.commit(&mut overlay);
    // The cache holds at most one row, so another one evicts it.
    put(&mut overlay, note("b", 0));
    database.commit(&mut overlay);
    let mut asked = draft();
    assert_eq!(number(&mut overlay, &mut asked, "a"), None);
    let fetching = overlay.begin_fetch();
    let fetched = database.fetch(asked.take_wants());

    let id = RowId::of::<Note>("a");
    overlay.set(id, row(note("a", 1)), row(note("a", 2)));
    database.commit(&mut overlay);
    put(&mut overlay, note("c", 0));
    database.commit(&mut overlay);

    assert!(overlay.is_current(&fetching));
    overlay.accept(&fetched);
    // The fetched row is the one before the change.
    let mut other = draft();
    assert_eq!(number(&mut overlay, &mut other, "a"), None);
    asked.answered(fetching, fetched);
    assert_eq!(number(&mut overlay, &mut asked, "a"), Some(2));
    overlay.accept(&database.fetch(other.take_wants()));
    assert_eq!(number(&mut overlay, &mut other, "a"), Some(2));
}

#[test]
fn what_is_fetched_before_caches_are_forgotten_is_thrown_away() {
    let (mut overlay, database) = (Overlay::new(1 << 20), Database::default());
    let mut asked = draft();
    let all = |rows: &mut Rows<'_>| rows.select(&ALL, Vec::new());
    assert!(run(&mut overlay, &mut asked, all).is_err());
    let fetching = overlay.begin_fetch();
    let fetched = database.fetch(asked.take_wants());
    overlay.forget();
    assert!(!overlay.is_current(&fetching));
    asked.answered(fetching, fetched);
    assert!(run(&mut overlay, &mut asked, all).is_err());

    let fetching = overlay.begin_fetch();
    let fetched = database.fetch(asked.take_wants());
    assert!(overlay.is_current(&fetching));
    asked.answered(fetching, fetched);
    assert_eq!(run(&mut overlay, &mut asked, all).unwrap().len(), 0);
}

#[test]
fn a_scan_sees_what_changed_before_and_after_the_look_at_the_database() {
    let (mut overlay, mut database) = (Overlay::new(1 << 20), Database::default());
    for id in ["a", "b", "c"] {
        put(&mut overlay, note(id, 1));
    }
    database.commit(&mut overlay);
    let mut asked = draft();
    let scan = |rows: &mut Rows<'_>| {
        let found = rows.select(&ONES, Vec::new())?;
        let all = rows.count(&NOTES, Vec::new())?;
        let mut ids: Vec<_> = found.iter().map(|row| row.id.to_string()).collect();
        ids.sort();
        Ok((ids.concat(), all[&Vec::new()]))
    };
    // Selects and counts are requested one after the other.
    for _ in 0..2 {
        assert!(run(&mut overlay, &mut asked, scan).is_err());
        let fetching = overlay.begin_fetch();
        let fetched = database.fetch(asked.take_wants());
        asked.answered(fetching, fetched);
    }
    assert_eq!(
        run(&mut overlay, &mut asked, scan).unwrap(),
        ("abc".to_owned(), 3)
    );
    // Since the fetch one was acknowledged, one is dirty, one was removed.
    let id = |id: &str| RowId::of::<Note>(id);
    overlay.set(id("a"), row(note("a", 1)), row(note("a", 7)));
    put(&mut overlay, note("d", 1));
    database.commit(&mut overlay);
    put(&mut overlay, note("e", 1));
    overlay.set(id("b"), row(note("b", 1)), None);
    assert_eq!(
        run(&mut overlay, &mut asked, scan).unwrap(),
        ("cde".to_owned(), 4)
    );
}

#[test]
fn a_refusal_takes_back_what_is_not_kept_and_a_missing_row_takes_back_all() {
    let mut overlay = Overlay::new(1 << 20);
    let refused = run(&mut overlay, &mut draft(), |rows| {
        rows.insert(note("repaired", 1));
        rows.keep();
        let first = rows.insert(note("a", 1));
        rows.update(&first, note("a", 2));
        Err::<(), _>(TaskError::new("No", "").into())
    });
    assert!(matches!(refused, Err(Stop::Refused(_))));
    let ids = |overlay: &Overlay| -> Vec<String> {
        let written = overlay.written().into_iter();
        written.map(|row| row.id.key.first().to_owned()).collect()
    };
    assert_eq!(ids(&overlay), ["repaired"]);

    let missing = run(&mut overlay, &mut draft(), |rows| {
        rows.insert(note("b", 1));
        rows.keep();
        rows.get::<Note>("nobody-knows")
    });
    assert!(matches!(missing, Err(Stop::Missing)));
    assert_eq!(ids(&overlay), ["repaired"]);
}

#[test]
fn ids_and_the_time_are_the_same_when_an_effect_runs_again() {
    let mut overlay = Overlay::new(1 << 20);
    let mut asked = draft();
    let ids = |rows: &mut Rows<'_>| Ok((rows.new_id(), rows.new_id(), rows.now()));
    let first = run(&mut overlay, &mut asked, ids).unwrap();
    assert_eq!(run(&mut overlay, &mut asked, ids).unwrap(), first);
    assert_ne!(first.0, first.1);
    assert_ne!(run(&mut overlay, &mut draft(), ids).unwrap().0, first.0);
}

#[test]
fn the_cache_drops_the_rows_that_were_used_longest_ago_and_never_those_that_are_not_written() {
    let mut overlay = Overlay::new(3000);
    let mut database = Database::default();
    let ids: Vec<String> = (0..100).map(|number| format!("note-{number:03}")).collect();
    for id in &ids {
        put(&mut overlay, note(id, 1));
    }
    for id in &ids {
        assert_eq!(number(&mut overlay, &mut draft(), id), Some(1), "{id}");
    }
    database.commit(&mut overlay);
    let known: Vec<_> = ids
        .iter()
        .filter(|id| number(&mut overlay, &mut draft(), id).is_some())
        .collect();
    assert!((3..30).contains(&known.len()), "{known:?}");
    assert_eq!(known.last(), Some(&&ids[99]));
    // A row that is used stays in the cache when others are added.
    let used = known[0].clone();
    for number_of in 0..known.len() {
        assert!(number(&mut overlay, &mut draft(), &used).is_some());
        put(&mut overlay, note(&format!("other-{number_of:03}"), 1));
        database.commit(&mut overlay);
    }
    assert!(number(&mut overlay, &mut draft(), &used).is_some());
    assert!(number(&mut overlay, &mut draft(), &ids[99]).is_none());
}

#[test]
fn an_effect_whose_rows_do_not_fit_into_the_cache_ends() {
    let mut database = Database {
        rows: (0..5).map(|at| note(&at.to_string(), at)).collect(),
        ..Database::default()
    };
    let mut overlay = Overlay::new(1);
    let mut draft = Draft::new(Timestamp(0));
    let mut rounds = 0;
    let sum = loop {
        rounds += 1;
        assert!(rounds < 20, "it asks for the same rows again and again");
        let sum = run(&mut overlay, &mut draft, |rows| {
            let mut sum = 0;
            for id in 0..5 {
                let found = rows.get::<Note>(id.to_string().as_str())?;
                sum += found.map_or(0, |row| row.number);
            }
            Ok(sum)
        });
        if let Ok(sum) = sum {
            break sum;
        }
        let fetching = overlay.begin_fetch();
        let fetched = database.fetch(draft.take_wants());
        // Another effect changes a row that was fetched before, and its batch is written: the cache shrinks.
        if rounds == 2 {
            put(&mut overlay, note("0", 100));
        }
        overlay.accept(&fetched);
        draft.answered(fetching, fetched);
        database.commit(&mut overlay);
    };
    assert_eq!(sum, 100 + 1 + 2 + 3 + 4);
}
