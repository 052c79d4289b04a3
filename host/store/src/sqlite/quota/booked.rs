//! What usages should say: what is booked, and what open reservations hold.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use cairn_model::quota::{Counters, Drift, Measure, QuotaConfig, Usages, drift, type_resource};

use crate::sqlite::tx::scalar;

/// How much there is of the rows of one project and volume type. Wide enough for a sum of any sizes.
#[derive(Default)]
struct Amount {
    rows: i128,
    gigabytes: i128,
}

/// Amounts by project and name of the volume type.
type Amounts = BTreeMap<(String, Option<String>), Amount>;

/// Sums by project and resource: committed, and held.
#[derive(Default)]
struct Sums(BTreeMap<(String, String), (i128, i128)>);

/// The usages that are not what is booked and held now; of one project where one is named. Run it in a transaction: it
/// reads several tables, and what it says holds for one state of them only.
pub(in super::super) fn current_drift(
    connection: &Connection,
    config: &QuotaConfig,
    project: Option<&str>,
) -> rusqlite::Result<Vec<Drift>> {
    let found = found(connection, project)?;
    let expected = expected(connection, config, project)?;
    Ok(drift(&found, &expected))
}

fn found(connection: &Connection, project: Option<&str>) -> rusqlite::Result<Usages> {
    connection
        .prepare_cached(
            "SELECT project_id, resource, in_use, reserved FROM quota_usages
             WHERE deleted = 0 AND (?1 IS NULL OR project_id = ?1)",
        )?
        .query_map([project], |row| {
            let counters = Counters {
                in_use: row.get(2)?,
                reserved: row.get(3)?,
            };
            Ok(((row.get(0)?, row.get(1)?), counters))
        })?
        .collect()
}

/// What is booked and held, of one project or of all.
fn expected(
    connection: &Connection,
    config: &QuotaConfig,
    project: Option<&str>,
) -> rusqlite::Result<Usages> {
    let mut sums = Sums::default();
    sums.add_booked(connection, config, project)?;
    sums.add_reserved(connection, project)?;
    Ok(sums.usages())
}

/// Writes down what snapshots count for of which that is not known: what the setting says. Run it where usages are made
/// to agree with the count, so that the setting may change afterwards.
pub(in super::super) fn settle(
    connection: &Connection,
    config: &QuotaConfig,
    project: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE snapshots SET booked_gigabytes = IIF(?2, 0, COALESCE(volume_size, 0))
             WHERE (?1 IS NULL OR project_id = ?1) AND booked = 1 AND deleted = 0 AND booked_gigabytes IS NULL",
        )?
        .execute(params![project, config.no_snapshot_gigabytes])?;
    Ok(())
}

/// Adds up what `statement` finds: project, name of the volume type, GiB of one row, number of such rows. (Sums of
/// SQLite's own fail, or lose digits, when sizes are large.)
fn amounts(
    connection: &Connection,
    statement: &str,
    config: &QuotaConfig,
    project: Option<&str>,
) -> rusqlite::Result<Amounts> {
    let mut amounts = Amounts::new();
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query(params![project, config.no_snapshot_gigabytes])?;
    while let Some(row) = rows.next()? {
        let amount = amounts.entry((row.get(0)?, row.get(1)?)).or_default();
        let size = i128::from(row.get::<_, Option<i64>>(2)?.unwrap_or(0));
        let count = i128::from(row.get::<_, i64>(3)?);
        amount.rows += count;
        amount.gigabytes += size * count;
    }
    Ok(amounts)
}

impl Sums {
    /// Adds what the booked rows count for. A snapshot is of its volume's type.
    fn add_booked(
        &mut self,
        connection: &Connection,
        config: &QuotaConfig,
        project: Option<&str>,
    ) -> rusqlite::Result<()> {
        let volumes = amounts(
            connection,
            "SELECT volumes.project_id, volume_types.name, size, COUNT(*) FROM volumes
             LEFT JOIN volume_types ON volume_types.id = volumes.volume_type_id
             WHERE volumes.project_id IS NOT NULL AND booked = 1 AND volumes.deleted = 0
                 AND (?1 IS NULL OR volumes.project_id = ?1) AND ?2 = ?2
             GROUP BY 1, 2, 3",
            config,
            project,
        )?;
        for (owner, amount) in &volumes {
            self.add_in_use(owner, Measure::Volumes, amount.rows);
            self.add_in_use(owner, Measure::Gigabytes, amount.gigabytes);
        }
        // A database that is only read may be a step behind.
        let known: Option<i64> = scalar(
            connection,
            "SELECT 1 FROM pragma_table_info('snapshots') WHERE name = 'booked_gigabytes'",
            [],
        )?;
        let known = known.map_or("NULL", |_| "booked_gigabytes");
        let snapshots = amounts(
            connection,
            &format!(
                "SELECT snapshots.project_id, volume_types.name, COALESCE({known}, IIF(?2, 0, volume_size)), COUNT(*)
                 FROM snapshots
                 LEFT JOIN volumes ON volumes.id = snapshots.volume_id
                 LEFT JOIN volume_types ON volume_types.id = volumes.volume_type_id
                 WHERE snapshots.project_id IS NOT NULL AND snapshots.booked = 1 AND snapshots.deleted = 0
                     AND (?1 IS NULL OR snapshots.project_id = ?1)
                 GROUP BY 1, 2, 3"
            ),
            config,
            project,
        )?;
        for (owner, amount) in &snapshots {
            self.add_in_use(owner, Measure::Snapshots, amount.rows);
            self.add_in_use(owner, Measure::Gigabytes, amount.gigabytes);
        }
        Ok(())
    }

    /// Adds to the usage of a measure, and to that of the volume type's own. The counters are moved by the type's name, so
    /// what is of a deleted type counts with the type that bears its name now.
    fn add_in_use(
        &mut self,
        (project, volume_type): &(String, Option<String>),
        measure: Measure,
        amount: i128,
    ) {
        let whole = measure.as_str().to_owned();
        let own = volume_type
            .as_ref()
            .map(|name| type_resource(measure.as_str(), name));
        for resource in std::iter::once(whole).chain(own) {
            self.0.entry((project.clone(), resource)).or_default().0 += amount;
        }
    }

    /// Adds what open reservations hold. What they would give back they do not hold.
    fn add_reserved(
        &mut self,
        connection: &Connection,
        project: Option<&str>,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT project_id, resource, delta FROM reservations
             WHERE state = 'open' AND delta > 0 AND (?1 IS NULL OR project_id = ?1)",
        )?;
        let mut rows = statement.query([project])?;
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get(1)?);
            self.0.entry(key).or_default().1 += i128::from(row.get::<_, i64>(2)?);
        }
        Ok(())
    }

    /// The sums as counters hold them.
    fn usages(self) -> Usages {
        let counter = |sum: i128| {
            let most = if sum < 0 { i64::MIN } else { i64::MAX };
            i64::try_from(sum).unwrap_or(most)
        };
        let usages = self.0.into_iter().map(|(key, (in_use, reserved))| {
            let counters = Counters {
                in_use: counter(in_use),
                reserved: counter(reserved),
            };
            (key, counters)
        });
        usages.collect()
    }
}
