//! Compares the result of a case with the expected one, and with the reports.

use std::collections::{BTreeMap, BTreeSet};

use crate::any::Effect;
use cairn::effect::{Caller, Change};
use cairn::event::FlowState;
use cairn::history::History;
use cairn::net::Left;
use cairn::report::RollbackReport;
use cairn::store::view::{Dump, DumpedRow as Row};
use cairn::volumes::KeyCopy;
use cairn::{FlowId, Identity, Object, Report, Value, Verdict};

use crate::books;
use crate::journal;
use crate::plan::Books;
use crate::recorder::Noted;
use crate::tally::Tally;
use crate::world::{Ended, World, operator};

/// What failed flows left, according to their reports.
#[derive(Default)]
struct Residue {
    /// Id -> the entries of each flow's report.
    rows: BTreeMap<String, Vec<(FlowId, Left)>>,
    /// Project and resource -> excess of `in_use` and `reserved`.
    usages: BTreeMap<String, [i64; 2]>,
}

impl World {
    /// # Errors
    /// The differences, one per line.
    pub fn judge(&self, ended: &Ended) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let log = ended.store.log();
        let mut residue = Residue::default();
        let mut failed = BTreeSet::new();
        for (index, flow) in self.flows.iter().enumerate() {
            let read = |view: &cairn::store::view::View<'_>| view.journal(*flow);
            let entries = ended.store.inner.read(&Identity::default(), read).unwrap();
            let Some(history) = History::fold(&entries, &crate::any::domains(Default::default()))
            else {
                continue;
            };
            let told = |what: String| format!("flow {index}: {what}");
            let effects = journal::check(*flow, &entries, &mut tally).map_err(told)?;
            if effects != noted_effects(&log, *flow) {
                return Err(told(
                    "its journal does not say what was applied and undone".to_owned(),
                ));
            }
            match history.state {
                FlowState::Success => tally.succeeded += 1,
                _ => {
                    failed.insert(*flow);
                    let report = Report::new(*flow, &history);
                    if let Some(rollback) = report.rollback {
                        check_verdict(&rollback, &mut tally).map_err(told)?;
                        residue.add(*flow, rollback.residue);
                    }
                }
            }
        }
        count_ends(&log, &mut tally);
        let refusals = ended.store.refusals();
        let refused = |kind| refusals.effects.get(kind).copied().unwrap_or(0);
        tally.refused_undos += refusals.undos;
        tally.over_quota += refused("OverQuota");
        tally.refused_give_backs += refused("QuotaGiveBackExceeded");
        for state in &ended.recovered {
            match state {
                FlowState::Reverting => tally.recovered_reverting += 1,
                FlowState::Interrupted | FlowState::Pending => tally.recovered_waiting += 1,
                _ => tally.recovered_running += 1,
            }
        }

        let left = ended.store.place.dump(&BTreeMap::new());
        let reference = self.reference(&log);
        tally.orphans += reference.orphans.len();
        let mut verdict = Comparison {
            world: self,
            log: &log,
            failed: &failed,
            residue: &residue,
            versions: &versions(&log),
            taken: 0,
            complaints: Vec::new(),
        };
        verdict.compare(&reference.dump, left.clone());
        verdict.check_keys(ended, &left);
        verdict.check_books(ended);
        tally.taken += verdict.taken;
        if verdict.complaints.is_empty() {
            Ok(tally)
        } else {
            Err(verdict.complaints.join("\n"))
        }
    }
}

fn noted_effects(log: &[Noted], of: FlowId) -> journal::Effects {
    let mut effects = journal::Effects::new();
    for noted in log {
        match noted {
            Noted::Applied { flow, number, .. } if *flow == of => {
                effects.insert(*number, false);
            }
            Noted::Undone { flow, number } if *flow == of => {
                effects.insert(*number, true);
            }
            _ => {}
        }
    }
    effects
}

fn count_ends(log: &[Noted], tally: &mut Tally) {
    let mut ends = BTreeMap::<FlowId, FlowState>::new();
    for noted in log {
        if let Noted::Ended { flow, state } = noted {
            match ends.insert(*flow, *state) {
                Some(FlowState::Success) => tally.rolled_back_after_success += 1,
                Some(_) => tally.rolled_back_again += 1,
                None => {}
            }
        }
    }
}

/// Returns the versions of volumes after all writes, those of failed flows included. A write counts until it is undone; if
/// others wrote later, only a write that changed nothing else can have been undone, and its version still counts.
fn versions(log: &[Noted]) -> BTreeMap<String, Value> {
    let mut versions = BTreeMap::new();
    let mut writes = BTreeMap::new();
    for noted in log {
        match noted {
            Noted::Applied {
                flow,
                number,
                changes,
                ..
            } => {
                for (id, before, after) in changes.iter().filter_map(version) {
                    versions.insert(id.clone(), after.clone());
                    writes.insert((*flow, *number), (id, before, after));
                }
            }
            Noted::Undone { flow, number } => {
                if let Some((id, before, after)) = writes.remove(&(*flow, *number))
                    && versions.get(&id) == Some(&after)
                {
                    versions.insert(id, before);
                }
            }
            Noted::Ended { .. } => {}
        }
    }
    versions
}

/// Returns the volume that a change reads or writes, and its version before and after; null for a volume that does not exist.
fn version(change: &Change) -> Option<(String, Value, Value)> {
    match change {
        Change::Row {
            table,
            id,
            before,
            after,
        } if **table == *"volumes" => {
            let version = |row: &Option<Object>| row.as_ref()?.get("version").cloned();
            let before = version(before).unwrap_or_default();
            Some((id.to_string(), before, version(after)?))
        }
        _ => None,
    }
}

fn check_verdict(rollback: &RollbackReport, tally: &mut Tally) -> Result<(), String> {
    let failed = !rollback.failed.is_empty();
    let mut left = rollback.residue.iter();
    // A message that was sent is residue; other remains without a failed revert are kept.
    let has_sent = left.any(|left| left.kind == "cast");
    let (expected, count) = match (failed, rollback.residue.is_empty()) {
        (true, _) => (Verdict::Incomplete, &mut tally.failed_incomplete),
        (false, false) if has_sent => (Verdict::Residue, &mut tally.failed_residue),
        (false, false) => (Verdict::Kept, &mut tally.failed_kept),
        (false, true) => (Verdict::Clean, &mut tally.failed_clean),
    };
    *count += 1;
    if rollback.verdict == expected {
        Ok(())
    } else {
        Err(format!("the verdict is wrong: {rollback:?}"))
    }
}

impl Residue {
    fn add(&mut self, flow: FlowId, left: Vec<Left>) {
        for left in left {
            if left.kind == "usage" {
                let (resource, counter) = left.id.rsplit_once('.').unwrap();
                let key = format!("{}/{resource}", left.project.as_deref().unwrap());
                let sums = self.usages.entry(key).or_default();
                sums[usize::from(counter == "reserved")] += left.after.as_i64().unwrap();
            } else {
                self.rows
                    .entry(left.id.clone())
                    .or_default()
                    .push((flow, left));
            }
        }
    }
}

struct Comparison<'a> {
    world: &'a World,
    log: &'a [Noted],
    failed: &'a BTreeSet<FlowId>,
    residue: &'a Residue,
    versions: &'a BTreeMap<String, Value>,
    taken: usize,
    complaints: Vec<String>,
}

impl Comparison<'_> {
    fn compare(&mut self, expected: &Dump, mut found: Dump) {
        found.retain(|(table, _), row| !self.is_absent(table, row));
        self.compare_usages(expected, &found);
        let mut taken = 0;
        for ((table, id), row) in &found {
            if table == "quota_usages" {
                continue;
            }
            if table == "outbox" && row["state"] == "acked" && self.made_by(row).is_some() {
                taken += 1;
                continue;
            }
            match expected.get(&(table.clone(), id.clone())) {
                Some(expected) => self.compare_row(table, id, expected, row),
                None => self.check_left_over(table, id, row),
            }
        }
        for ((table, id), row) in expected {
            if table != "quota_usages" && !found.contains_key(&(table.clone(), id.clone())) {
                self.complain(format!("{table} `{id}` is missing: {row:?}"));
            }
        }
        let residue = self.residue;
        let says = residue.rows.values().flatten();
        let told = says.filter(|(_, left)| left.kind == "cast").count();
        if taken != told {
            self.complain(format!(
                "{taken} messages of failed flows were taken, and the reports name {told}"
            ));
        }
        self.taken = taken;
        for (id, says) in &residue.rows {
            for (flow, left) in says.iter().filter(|(_, left)| left.kind != "cast") {
                self.check_is_there(id, *flow, left, &found);
            }
        }
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// Returns whether a row of a failed flow counts as absent: a closed reservation.
    fn is_absent(&self, table: &str, row: &Row) -> bool {
        table == "reservations" && row["state"] != "open" && self.made_by(row).is_some()
    }

    /// Returns the failed flow that made a row.
    fn made_by(&self, row: &Row) -> Option<FlowId> {
        let flow = row.get("flow")?.as_str()?;
        let mut failed = self.failed.iter().copied();
        failed.find(|id| id.0.simple().to_string() == flow)
    }

    fn compare_usages(&mut self, expected: &Dump, found: &Dump) {
        let keys: BTreeSet<_> = expected
            .keys()
            .chain(found.keys())
            .filter(|(table, _)| table == "quota_usages")
            .map(|(_, key)| key.clone())
            .chain(self.residue.usages.keys().cloned())
            .collect();
        let kept = self.world.case.books == Books::Kept;
        let counters = |dump: &Dump, key: &str| {
            match dump.get(&("quota_usages".to_owned(), key.to_owned())) {
                Some(row) => ["in_use", "reserved"].map(|name| row[name].as_i64().unwrap()),
                // Not read yet: the first reader counts the existing volumes, and the counters stay.
                None if kept && key.ends_with("/volumes") => [2, 0],
                None if kept && key.ends_with("/gigabytes") => [1 + 2, 0],
                None => [0, 0],
            }
        };
        for key in keys {
            let left = self.residue.usages.get(&key).copied().unwrap_or_default();
            let alone = counters(expected, &key);
            let found = counters(found, &key);
            let recounted = self.may_be_recounted(&key);
            if found[1] != alone[1] + left[1] || (found[0] != alone[0] + left[0] && !recounted) {
                self.complain(format!(
                    "usage of {key}: in use and reserved are {found:?}, should be {alone:?} and {left:?} left"
                ));
            }
        }
    }

    /// Returns whether a recount of usage includes a volume that a failed flow left, which the report cannot know. A volume in
    /// error whose quota was given back is not counted.
    fn may_be_recounted(&self, usage: &str) -> bool {
        let project = usage.split('/').next();
        let removed_late = |flow: &FlowId| {
            Some(self.world.project_of(*flow)) == project && self.removed_after_its_end(*flow)
        };
        self.world.case.books == Books::Kept
            && (self.failed.iter().any(removed_late)
                || self.residue.rows.iter().any(|(id, says)| {
                    let counts = |(flow, left): &(FlowId, Left)| {
                        let by = self.world.project_of(*flow);
                        left.kind == "volume"
                            && left.before.is_null()
                            && Some(by) == project
                            && (left.after["status"] != "error"
                                || self.written_by_others(id, *flow))
                    };
                    says.iter().any(counts)
                }))
    }

    /// Returns whether a later rollback removed a volume that the flow's first rollback had left: it may have been counted in
    /// between, and stays counted until the next recount.
    fn removed_after_its_end(&self, of: FlowId) -> bool {
        let mut created = BTreeSet::new();
        let mut ended = false;
        self.log.iter().any(|noted| match noted {
            Noted::Applied {
                flow,
                number,
                effect: Effect::VolumeCreate(_),
                ..
            } if *flow == of => {
                created.insert(*number);
                false
            }
            Noted::Ended { flow, state } if *flow == of => {
                ended |= *state == FlowState::Failure;
                false
            }
            Noted::Undone { flow, number } => *flow == of && ended && created.contains(number),
            _ => false,
        })
    }

    /// Returns whether another flow ever changed a volume.
    fn written_by_others(&self, volume: &str, than: FlowId) -> bool {
        self.log.iter().any(|noted| {
            matches!(noted, Noted::Applied { flow, effect: Effect::VolumeUpdate(update), .. }
                if *flow != than && update.id == volume)
        })
    }

    fn compare_row(&mut self, table: &str, id: &str, expected: &Row, found: &Row) {
        let says = self.residue.rows.get(id).map_or(&[][..], Vec::as_slice);
        for (column, value) in found {
            let expected = &expected[column];
            // A receiver may have taken a message by now.
            let explained = (table == "outbox" && column == "state" && value == "acked")
                || (column == "version" && self.versions.get(id) == Some(value))
                || says.iter().any(|(_, left)| match column.as_str() {
                    "scheduled_at" => left.after.get(column).is_some(),
                    _ => left.after.get(column) == Some(value),
                });
            if value != expected && !explained {
                self.complain(format!(
                    "{table} `{id}`: `{column}` is {value}, should be {expected}; residue: {says:?}"
                ));
            }
        }
    }

    /// Checks a row that only a failed flow can have left: its report must name it.
    fn check_left_over(&mut self, table: &str, id: &str, row: &Row) {
        let named = self.made_by(row).is_some_and(|flow| {
            let says = self.residue.rows.get(id);
            says.is_some_and(|says| {
                says.iter()
                    .any(|(by, left)| *by == flow && left.before.is_null())
            })
        });
        if !named {
            self.complain(format!(
                "{table} `{id}` was left, and no report names it: {row:?}"
            ));
        }
    }

    /// Checks that a row exists which a report says is left, unless another flow changed it later.
    fn check_is_there(&mut self, id: &str, flow: FlowId, left: &Left, found: &Dump) {
        let table = match left.kind.as_str() {
            "volume" => "volumes",
            "reservation" => "reservations",
            "key" => "keys",
            other => return self.complain(format!("a report names a {other}: {left:?}")),
        };
        let row = found.get(&(table.to_owned(), id.to_owned()));
        let is_as_told = row.is_some_and(|row| {
            let Value::Object(after) = &left.after else {
                return false;
            };
            after
                .iter()
                .all(|(column, value)| column == "scheduled_at" || row.get(column) == Some(value))
        });
        // The flow that made the volume may have destroyed it.
        let destroyed = row.is_none() && !left.before.is_null();
        let changed = table == "volumes" && (destroyed || self.written_by_others(id, flow));
        if !is_as_told && !changed {
            self.complain(format!("a report says {left:?}, but there is {row:?}"));
        }
    }

    /// Checks that every key can be opened, so its bits are unchanged.
    fn check_keys(&mut self, ended: &Ended, left: &Dump) {
        let operator = operator();
        let by = Caller {
            call: None,
            requester: &operator,
        };
        for (table, id) in left.keys() {
            let copy = Effect::KeyCopy(KeyCopy { id: id.clone() });
            if table == "keys"
                && let Err(error) = copy.apply_in(&*ended.store.inner, by)
            {
                self.complain(format!("key `{id}` does not open: {error}"));
            }
        }
    }
}

impl Comparison<'_> {
    /// Checks the invariants of the tables alone.
    fn check_books(&mut self, ended: &Ended) {
        for (what, keys) in books::broken(&ended.store.place, self.world.case.books) {
            for key in keys {
                if !(what.is_recounted && self.may_be_recounted(&key)) {
                    self.complain(format!("{}: {key}", what.rule));
                }
            }
        }
    }
}

impl World {
    fn project_of(&self, flow: FlowId) -> &'static str {
        let index = self.flows.iter().position(|id| *id == flow).unwrap();
        crate::plan::PROJECTS[self.case.flows[index].project]
    }
}
