//! Fills a database before a run, to measure whether flows slow down as it grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::{Sqlite, SqliteConfig};
use rusqlite::params;

use crate::recorded::{Recording, Way};
use crate::{BenchError, Case, meter, stage};

/// The number of projects that own the volumes, including that of the measured flows.
const PROJECTS: u32 = 1000;

/// The rows before a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) volumes: u32,
    pub(crate) finished_flows: u32,
}

impl Fill {
    /// Makes a database with these rows at `path`; returns `None` if there are none.
    pub(crate) fn template(self, path: &Path, case: Case) -> Result<Option<PathBuf>, BenchError> {
        if self.volumes == 0 && self.finished_flows == 0 {
            return Ok(None);
        }
        // The store creates the schema.
        drop(Sqlite::open(
            path,
            SqliteConfig::default(),
            Arc::new(SystemClock),
        )?);
        self.insert(path, case).map_err(BenchError::database)?;
        Ok(Some(path.to_owned()))
    }

    /// Inserts the rows into a database that has the schema.
    fn insert(self, path: &Path, case: Case) -> rusqlite::Result<()> {
        let connection = meter::connect(path)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let own = &stage::requester().project_id;
        let id = "printf('018f0000-%04x-7000-8000-%012x', n >> 24, n)";
        let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?1)";
        let project = "iif(n % ?2 = 0, ?3, 'project-' || (n % ?2))";
        if self.volumes > 0 {
            connection.execute(
                &format!(
                    "{numbers} INSERT INTO volumes (id, project_id, user_id, size, status, attach_status, availability_zone,
                         display_name, metadata, booked, flow, created_at)
                     SELECT {id}, {project}, 'demo', 1, 'available', 'detached', 'nova', 'volume ' || n, '{{}}', 1,
                         randomblob(16), 1700000000000000 + n
                     FROM numbers"
                ),
                params![self.volumes, PROJECTS, own],
            )?;
            connection.execute(
                "INSERT INTO quota_usages (project_id, resource, in_use, reserved)
                 SELECT project_id, 'volumes', count(*), 0 FROM volumes GROUP BY project_id
                 UNION ALL SELECT project_id, 'gigabytes', sum(size), 0 FROM volumes GROUP BY project_id",
                [],
            )?;
        }
        if self.finished_flows > 0 {
            let state = if case == Case::Success {
                "SUCCESS"
            } else {
                "FAILURE"
            };
            let recording = Recording::of(Way::Floor, case);
            // These ids increase with time, as those of real flows do.
            let flow = "unhex(printf('018f0000%04x70008000%012x', n >> 24, n))";
            connection.execute(
                &format!(
                    "{numbers} INSERT INTO flows (id, name, project_id, user_id, state, created_at, updated_at)
                     SELECT {flow}, 'volume_create_api', {project}, 'demo', ?4, 1700000000000000 + n, 1700000000000000 + n
                     FROM numbers"
                ),
                params![self.finished_flows, PROJECTS, own, state],
            )?;
            connection.execute(
                &format!("{numbers} INSERT INTO journal (flow, first, entries) SELECT {flow}, 0, ?2 FROM numbers"),
                params![self.finished_flows, recording.journal()],
            )?;
            for (resource, table) in [("volumes", 0), ("gigabytes", 1)] {
                connection.execute(
                    &format!(
                        "{numbers} INSERT INTO reservations (id, project_id, resource, delta, state, expire, flow, created_at)
                         SELECT printf('018f0000-%04x-7000-9%03x-%012x', n >> 24, ?5, n), {project}, ?4, 1, 'committed',
                             1700000000000000, {flow}, 1700000000000000 + n
                         FROM numbers"
                    ),
                    params![self.finished_flows, PROJECTS, own, resource, table],
                )?;
            }
        }
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Folder;

    #[test]
    fn a_template_holds_what_is_asked_for_and_usages_that_agree() {
        let folder = Folder::within(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let nothing = Fill {
            volumes: 0,
            finished_flows: 0,
        };
        let path = folder.database("none");
        assert!(nothing.template(&path, Case::Success).unwrap().is_none());
        assert!(!path.exists());

        let fill = Fill {
            volumes: 2500,
            finished_flows: 70,
        };
        let path = fill.template(&folder.database("full"), Case::Success);
        let connection = rusqlite::Connection::open(path.unwrap().unwrap()).unwrap();
        for (what, expected) in [
            ("count(*) FROM volumes", 2500),
            ("count(*) FROM volumes WHERE project_id = 'demo'", 3),
            (
                "in_use FROM quota_usages WHERE project_id = 'demo' AND resource = 'volumes'",
                3,
            ),
            ("count(*) FROM flows WHERE state = 'SUCCESS'", 70),
            ("count(*) FROM journal", 70),
            ("count(*) FROM reservations WHERE state = 'committed'", 140),
        ] {
            let found: i64 = connection
                .query_row(&format!("SELECT {what}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(found, expected, "{what}");
        }
        let entries: Vec<u8> = connection
            .query_row("SELECT entries FROM journal", [], |row| row.get(0))
            .unwrap();
        let entries = lz4_flex::block::decompress_size_prepended(&entries).unwrap();
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&entries).unwrap();
        assert_eq!(entries[0]["event"]["created"]["name"], "volume_create_api");
    }
}
