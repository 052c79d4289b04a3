//! Invariants of the tables alone: the reference comes from the same engine, and would share its errors.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::plan::Books;
use crate::world::FREE_IN_USE;

pub struct Rule {
    pub rule: &'static str,
    /// Does not hold while a volume that a failed flow left may be counted.
    pub is_recounted: bool,
    books: Option<Books>,
    /// Finds violations; `?1` is the usage at the start, with [`Books::Free`].
    statement: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        rule: "`reserved` is what open reservations hold",
        is_recounted: false,
        books: None,
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = 0 AND ?1 = ?1 AND reserved <> (
            SELECT COALESCE(SUM(MAX(delta, 0)), 0) FROM reservations r
            WHERE r.project_id = u.project_id AND r.resource = u.resource AND r.state = 'open')",
    },
    Rule {
        rule: "`in_use` is what was committed",
        is_recounted: false,
        books: Some(Books::Free),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = 0 AND in_use - ?1 <> (
            SELECT COALESCE(SUM(delta), 0) FROM reservations r
            WHERE r.project_id = u.project_id AND r.resource = u.resource AND r.state = 'committed')",
    },
    Rule {
        rule: "`in_use` is how many volumes are booked",
        is_recounted: true,
        books: Some(Books::Kept),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = 0 AND ?1 = ?1
            AND resource = 'volumes' AND in_use <> (
                SELECT COUNT(*) FROM volumes v WHERE v.project_id = u.project_id AND v.deleted = 0 AND v.booked = 1)",
    },
    Rule {
        rule: "`in_use` is how large the booked volumes are",
        is_recounted: true,
        books: Some(Books::Kept),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = 0 AND ?1 = ?1
            AND resource = 'gigabytes' AND in_use <> (
                SELECT COALESCE(SUM(size), 0) FROM volumes v
                WHERE v.project_id = u.project_id AND v.deleted = 0 AND v.booked = 1)",
    },
    Rule {
        rule: "no flow gave back more of a project's resource than it committed",
        is_recounted: false,
        books: None,
        statement: "SELECT project_id || '/' || resource FROM reservations WHERE state = 'committed' AND ?1 = ?1
            GROUP BY flow, project_id, resource HAVING SUM(delta) < 0",
    },
    Rule {
        rule: "a volume's source is there",
        is_recounted: false,
        books: None,
        statement: "SELECT id FROM volumes v WHERE deleted = 0 AND ?1 = ?1 AND source_volid IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM volumes s WHERE s.id = v.source_volid)",
    },
];

/// Returns the broken rules, and the keys that break them.
pub fn broken(database: &Path, books: Books) -> Vec<(&'static Rule, Vec<String>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).unwrap();
    let rules = RULES
        .iter()
        .filter(|rule| rule.books.is_none_or(|of| of == books));
    let found = rules.map(|rule| {
        let mut statement = connection.prepare(rule.statement).unwrap();
        let keys = statement
            .query_map([FREE_IN_USE], |row| row.get(0))
            .unwrap();
        (rule, keys.map(Result::unwrap).collect())
    });
    found.collect()
}
