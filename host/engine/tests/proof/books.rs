//! Invariants of the tables alone: the reference comes from the same engine, and would share its errors.

use crate::place::Place;
use crate::plan::Books;
use crate::world::FREE_IN_USE;

pub struct Rule {
    pub rule: &'static str,
    /// Does not hold while a volume that a failed flow left may be counted.
    pub is_recounted: bool,
    books: Option<Books>,
    /// Finds violations, on SQLite and PostgreSQL; `{start}` is the usage at the start, with [`Books::Free`].
    statement: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        rule: "`reserved` is what open reservations hold",
        is_recounted: false,
        books: None,
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = FALSE AND reserved <> (
            SELECT COALESCE(SUM(CASE WHEN delta > 0 THEN delta ELSE 0 END), 0) FROM reservations r
            WHERE r.project_id = u.project_id AND r.resource = u.resource AND r.state = 'open')",
    },
    Rule {
        rule: "`in_use` is what was committed",
        is_recounted: false,
        books: Some(Books::Free),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = FALSE AND in_use - {start} <> (
            SELECT COALESCE(SUM(delta), 0) FROM reservations r
            WHERE r.project_id = u.project_id AND r.resource = u.resource AND r.state = 'committed')",
    },
    Rule {
        rule: "`in_use` is how many volumes are booked",
        is_recounted: true,
        books: Some(Books::Kept),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = FALSE
            AND resource = 'volumes' AND in_use <> (
                SELECT COUNT(*) FROM volumes v WHERE v.project_id = u.project_id AND v.deleted = FALSE AND v.booked = TRUE)",
    },
    Rule {
        rule: "`in_use` is how large the booked volumes are",
        is_recounted: true,
        books: Some(Books::Kept),
        statement: "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = FALSE
            AND resource = 'gigabytes' AND in_use <> (
                SELECT COALESCE(SUM(size), 0) FROM volumes v
                WHERE v.project_id = u.project_id AND v.deleted = FALSE AND v.booked = TRUE)",
    },
    Rule {
        rule: "no flow gave back more of a project's resource than it committed",
        is_recounted: false,
        books: None,
        statement: "SELECT project_id || '/' || resource FROM reservations WHERE state = 'committed'
            GROUP BY flow, project_id, resource HAVING SUM(delta) < 0",
    },
    Rule {
        rule: "a volume's source is there",
        is_recounted: false,
        books: None,
        statement: "SELECT id FROM volumes v WHERE deleted = FALSE AND source_volid IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM volumes s WHERE s.id = v.source_volid)",
    },
];

/// Returns the broken rules, and the keys that break them.
pub fn broken(place: &Place, books: Books) -> Vec<(&'static Rule, Vec<String>)> {
    let rules = RULES
        .iter()
        .filter(|rule| rule.books.is_none_or(|of| of == books));
    let start = FREE_IN_USE.to_string();
    let found = rules.map(|rule| {
        let statement = rule.statement.replace("{start}", &start);
        (rule, place.texts(&statement))
    });
    found.collect()
}
