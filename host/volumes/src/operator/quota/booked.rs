//! Computes the expected usages from booked volumes and snapshots and from open reservations.

use std::collections::{BTreeMap, BTreeSet};

use crate::quota::{Counters, Drift, Measure, Usages, drift, type_resource};
use crate::rules::Settings;
use cairn_effects::rows::{Cell, Text};
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::view::View;

use super::super::record::query;

/// Number and GiB of the rows of one project and volume type. 128 bits hold any sum; sums in SQL overflow.
#[derive(Default)]
struct Amount {
    rows: i128,
    gigabytes: i128,
}

/// Amounts by project and name of the volume type.
type Amounts = BTreeMap<(Text, Option<Text>), Amount>;

/// Sums by project and resource: committed and reserved.
#[derive(Default)]
struct Sums(BTreeMap<(String, String), (i128, i128)>);

/// A condition that selects the rows of one project, or of all.
struct OfProject<'a>(Option<&'a str>);

impl OfProject<'_> {
    /// Returns the end of a WHERE clause.
    fn condition(&self, column: &str) -> String {
        match self.0 {
            Some(_) => format!("AND {column} = $1"),
            None => String::new(),
        }
    }

    /// Returns the parameters of the condition.
    fn parameters(&self) -> Vec<Cell> {
        self.0.map(Cell::from).into_iter().collect()
    }
}

/// Returns the usages that differ from the booked and reserved amounts, of one project if one is named. Reads several tables, so call
/// it within one transaction.
pub(in super::super) fn current_drift(
    view: &View<'_>,
    project: Option<&str>,
) -> Result<Vec<Drift>, StoreError> {
    let of_project = OfProject(project);
    let found = found(view, &of_project)?;
    let mut sums = Sums::default();
    sums.add_booked(view, &of_project)?;
    sums.add_reserved(view, &of_project)?;
    Ok(drift(&found, &sums.usages()))
}

fn found(view: &View<'_>, of_project: &OfProject<'_>) -> Result<Usages, StoreError> {
    // SQLite uses the index of usages only for exactly this condition.
    let statement = format!(
        "SELECT project_id, resource, in_use, reserved FROM quota_usages WHERE deleted = FALSE {}",
        of_project.condition("project_id")
    );
    let found = query::<(Text, Text, i64, i64)>(view, &statement, &of_project.parameters())?;
    let usages = found
        .into_iter()
        .map(|(project, resource, in_use, reserved)| {
            let key = (project.to_string(), resource.to_string());
            (key, Counters { in_use, reserved })
        });
    Ok(usages.collect())
}

/// A condition on booked snapshots that lack `booked_gigabytes`.
const UNSETTLED: &str = "booked = TRUE AND deleted = FALSE AND booked_gigabytes IS NULL";

/// Returns the projects with usages that differ, or snapshots that lack `booked_gigabytes`. Reads several tables, so call it within one
/// transaction.
pub(in super::super) fn drifting(view: &View<'_>) -> Result<BTreeSet<String>, StoreError> {
    let drift = current_drift(view, None)?;
    let mut projects: BTreeSet<String> = drift.into_iter().map(|drift| drift.project).collect();
    let statement = format!(
        "SELECT DISTINCT project_id FROM snapshots WHERE project_id IS NOT NULL AND {UNSETTLED}"
    );
    let unsettled = query::<(Text,)>(view, &statement, &[])?;
    projects.extend(unsettled.iter().map(|(project,)| project.to_string()));
    Ok(projects)
}

/// Fills `booked_gigabytes` of a project's snapshots that lack it, by the current setting. Call it in the transaction that corrects usages,
/// so that the setting may change afterwards.
pub(super) fn settle(admin: &mut Admin<'_>, project: &str) -> Result<(), StoreError> {
    let gigabytes = match Settings::of(admin.view().services())
        .quota
        .no_snapshot_gigabytes
    {
        true => "0",
        false => "COALESCE(volume_size, 0)",
    };
    let statement = format!(
        "UPDATE snapshots SET booked_gigabytes = {gigabytes} WHERE project_id = $1 AND {UNSETTLED}"
    );
    admin.execute(&statement, &[project.into()])?;
    Ok(())
}

/// Adds up the rows of `statement`: project, name of the volume type, GiB of one row, number of such rows.
fn amounts(
    view: &View<'_>,
    statement: &str,
    of_project: &OfProject<'_>,
) -> Result<Amounts, StoreError> {
    let mut amounts = Amounts::new();
    let parameters = of_project.parameters();
    for (project, volume_type, size, count) in
        query::<(Text, Option<Text>, Option<i64>, i64)>(view, statement, &parameters)?
    {
        let amount = amounts.entry((project, volume_type)).or_default();
        let (size, count) = (i128::from(size.unwrap_or(0)), i128::from(count));
        amount.rows += count;
        amount.gigabytes += size * count;
    }
    Ok(amounts)
}

impl Sums {
    /// Adds the booked volumes and snapshots. A snapshot has its volume's type.
    fn add_booked(
        &mut self,
        view: &View<'_>,
        of_project: &OfProject<'_>,
    ) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT volumes.project_id, volume_types.name, size, COUNT(*) FROM volumes
             LEFT JOIN volume_types ON volume_types.id = volumes.volume_type_id
             WHERE volumes.project_id IS NOT NULL AND booked = TRUE AND volumes.deleted = FALSE {}
             GROUP BY 1, 2, 3",
            of_project.condition("volumes.project_id")
        );
        for (owner, amount) in &amounts(view, &statement, of_project)? {
            self.add_in_use(owner, Measure::Volumes, amount.rows);
            self.add_in_use(owner, Measure::Gigabytes, amount.gigabytes);
        }
        let unsettled = match Settings::of(view.services()).quota.no_snapshot_gigabytes {
            true => "0",
            false => "volume_size",
        };
        // A database that is opened for reading only may lack the latest migration.
        let gigabytes = match view.has_column("snapshots", "booked_gigabytes")? {
            true => format!("COALESCE(booked_gigabytes, {unsettled})"),
            false => unsettled.to_owned(),
        };
        let statement = format!(
            "SELECT snapshots.project_id, volume_types.name, {gigabytes} AS gigabytes, COUNT(*) FROM snapshots
             LEFT JOIN volumes ON volumes.id = snapshots.volume_id
             LEFT JOIN volume_types ON volume_types.id = volumes.volume_type_id
             WHERE snapshots.project_id IS NOT NULL AND snapshots.booked = TRUE AND snapshots.deleted = FALSE {}
             GROUP BY 1, 2, 3",
            of_project.condition("snapshots.project_id")
        );
        for (owner, amount) in &amounts(view, &statement, of_project)? {
            self.add_in_use(owner, Measure::Snapshots, amount.rows);
            self.add_in_use(owner, Measure::Gigabytes, amount.gigabytes);
        }
        Ok(())
    }

    /// Adds to the usage of a measure and to that of the volume type. Usages are named after types, so rows of a deleted type count for
    /// the type that has its name now.
    fn add_in_use(
        &mut self,
        (project, volume_type): &(Text, Option<Text>),
        measure: Measure,
        amount: i128,
    ) {
        let whole = measure.as_str().to_owned();
        let own = volume_type
            .as_ref()
            .map(|name| type_resource(measure.as_str(), name));
        for resource in std::iter::once(whole).chain(own) {
            let key = (project.to_string(), resource);
            self.0.entry(key).or_default().0 += amount;
        }
    }

    /// Adds the amounts of open reservations; negative ones reserve nothing.
    fn add_reserved(
        &mut self,
        view: &View<'_>,
        of_project: &OfProject<'_>,
    ) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT project_id, resource, delta FROM reservations WHERE state = 'open' AND delta > 0 {}",
            of_project.condition("project_id")
        );
        let held = query::<(Text, Text, i64)>(view, &statement, &of_project.parameters())?;
        for (project, resource, delta) in held {
            let key = (project.to_string(), resource.to_string());
            self.0.entry(key).or_default().1 += i128::from(delta);
        }
        Ok(())
    }

    /// Returns the sums, clamped to 64 bits.
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
