//! What lists say of a flow besides its row: how many of its tasks are done, what its rollback left, and what it is about.
//!
//! All of it is in the flow's journal. A page reads the journals of its flows by one statement, and what was folded is remembered until the
//! flow goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cairn::clock::Timestamp;
use cairn::event::{FlowState, FlowSummary};
use cairn::history::{History, Subject};
use cairn::rows::Cell;
use cairn::store::view::View;
use cairn::value::Digest;
use cairn::{FlowId, Report, StoreError, Verdict};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest journal that is folded for a list, in entries.
const ENTRIES: usize = 400;

/// How many flows and plans are remembered.
const MOST: usize = 4_000;

/// What a list says of a flow besides its row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gist {
    /// How many tasks have returned a result.
    pub(crate) done: usize,
    /// How many tasks its plan has; `None` if the plan is not stored.
    pub(crate) all: Option<usize>,
    /// What its rollback left; `None` of a flow that did not fail.
    pub(crate) residue: Option<Residue>,
    /// The first row that it changed by whose name people know it.
    pub(crate) subject: Option<Subject>,
}

/// What a rollback left, in changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residue {
    /// Nothing.
    Clean,
    /// What reverted tasks kept.
    Kept(usize),
    /// What could not be undone.
    Left(usize),
    /// It is not known yet.
    Unknown,
}

/// The gists of a page's flows. A flow whose journal is too long to be folded for a list has none.
pub(crate) type PageGists = BTreeMap<FlowId, Arc<Gist>>;

/// What was folded before.
#[derive(Default)]
pub(crate) struct Gists {
    known: Mutex<HashMap<FlowId, Known>>,
    /// The number of tasks of plans, which never changes.
    plans: Mutex<HashMap<Digest, usize>>,
}

struct Known {
    /// The row that it was folded for: a flow that goes on gets another one.
    row: (Timestamp, FlowState),
    gist: Option<Arc<Gist>>,
}

impl Gists {
    /// Returns the gists of these flows.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn of(
        &self,
        view: &View<'_>,
        flows: &[FlowSummary],
    ) -> Result<PageGists, StoreError> {
        let mut gists = PageGists::new();
        let mut missing = Vec::new();
        {
            let known = self.known.lock();
            for flow in flows {
                match known.get(&flow.id).filter(|known| known.row == row(flow)) {
                    Some(known) => gists.extend(known.gist.clone().map(|gist| (flow.id, gist))),
                    None => missing.push(flow),
                }
            }
        }
        let ids: Vec<FlowId> = missing.iter().map(|flow| flow.id).collect();
        let journals = view.short_journals(&ids, ENTRIES)?;
        let mut histories: BTreeMap<FlowId, History> = BTreeMap::new();
        for (id, journal) in journals {
            let history = History::fold(&journal, view.domains());
            histories.extend(history.map(|history| (id, history)));
        }
        let plans = histories.values().filter_map(|history| history.plan);
        let steps = self.steps(view, plans.collect())?;
        let mut known = self.known.lock();
        if known.len() + missing.len() > MOST {
            known.clear();
        }
        for flow in missing {
            let history = histories.get(&flow.id);
            let gist = history.map(|history| {
                let all = history.plan.and_then(|plan| steps.get(&plan).copied());
                Arc::new(gist(flow.id, history, all))
            });
            gists.extend(gist.clone().map(|gist| (flow.id, gist)));
            known.insert(
                flow.id,
                Known {
                    row: row(flow),
                    gist,
                },
            );
        }
        Ok(gists)
    }

    /// Returns how many tasks these plans have; those that are not stored are left out.
    fn steps(
        &self,
        view: &View<'_>,
        plans: BTreeSet<Digest>,
    ) -> Result<HashMap<Digest, usize>, StoreError> {
        let mut steps = HashMap::new();
        let mut missing: Vec<Cell> = Vec::new();
        {
            let known = self.plans.lock();
            for plan in plans {
                match known.get(&plan) {
                    Some(tasks) => {
                        steps.insert(plan, *tasks);
                    }
                    None => missing.push(plan.to_string().as_str().into()),
                }
            }
        }
        if missing.is_empty() {
            return Ok(steps);
        }
        let marks: Vec<String> = (1..=missing.len()).map(|at| format!("${at}")).collect();
        let statement = format!(
            "SELECT digest, body FROM plans WHERE digest IN ({})",
            marks.join(", ")
        );
        let mut known = self.plans.lock();
        if known.len() + missing.len() > MOST {
            known.clear();
        }
        for row in view.query(&statement, &missing)? {
            let [Cell::Text(digest), Cell::Text(body)] = row.as_slice() else {
                continue;
            };
            let tasks = serde_json::from_str::<Steps>(body).map(|plan| plan.tasks.len());
            if let (Ok(digest), Ok(tasks)) = (digest.parse(), tasks) {
                known.insert(digest, tasks);
                steps.insert(digest, tasks);
            }
        }
        Ok(steps)
    }
}

/// A plan, as far as its tasks are counted.
#[derive(Deserialize)]
struct Steps {
    tasks: Vec<IgnoredAny>,
}

fn row(flow: &FlowSummary) -> (Timestamp, FlowState) {
    (flow.updated_at, flow.state)
}

/// Puts a flow into a few words.
fn gist(id: FlowId, history: &History, all: Option<usize>) -> Gist {
    let done = history.tasks.iter().filter(|task| task.result.is_some());
    let residue = (history.state == FlowState::Failure).then(|| {
        let Some(rollback) = Report::new(id, history).rollback else {
            return Residue::Clean;
        };
        let left = rollback.residue.len();
        match rollback.verdict {
            Verdict::Clean => Residue::Clean,
            Verdict::Kept => Residue::Kept(left),
            Verdict::Unknown => Residue::Unknown,
            // A later version of the library may have more.
            _ => Residue::Left(left),
        }
    });
    Gist {
        done: done.count(),
        all,
        residue,
        subject: history.subject(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Journal, row};
    use cairn::TaskError;
    use serde_json::json;

    fn of(journal: &Journal) -> Gist {
        let history = History::fold(&journal.entries, &samples::domains()).unwrap();
        gist(journal.flow, &history, Some(4))
    }

    #[test]
    fn a_rollback_is_counted_and_a_volume_is_known_by_its_name() {
        let gist = of(&samples::rolled_back());
        assert_eq!((gist.done, gist.all), (3, Some(4)));
        assert_eq!(gist.residue, Some(Residue::Left(1)));
        let subject = gist.subject.unwrap();
        assert_eq!((subject.kind, subject.name.as_str()), ("volume", "data"));
    }

    #[test]
    fn a_flow_that_goes_on_has_no_residue_and_may_have_no_subject() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one", 1);
        let reserved = samples::counted("quota_usages", &["acme", "volumes"], "reserved", 1);
        journal.applied("one", "quota_reserve", [reserved]);
        let gist = of(&journal);
        assert_eq!((gist.done, gist.residue, gist.subject), (0, None, None));
    }

    #[test]
    fn a_title_that_the_change_lacks_is_in_the_result_of_its_task() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one", 1);
        let volume = row("volumes", &["v-1"], json!(null), json!({"status": "new"}));
        journal.applied("one", "volume_create", [volume]);
        assert_eq!(of(&journal).subject.unwrap().name, "v-1");
        let other = json!({"id": "v-2", "display_name": "other"});
        let made = json!({"id": "v-1", "display_name": "data"});
        let result = json!({"volume_id": "v-1", "all": [other, {"volume": made}]});
        journal.succeeded("one", result);
        assert_eq!(of(&journal).subject.unwrap().name, "data");
    }

    #[test]
    fn a_row_without_a_title_is_known_by_its_key_and_an_undone_one_stays_the_subject() {
        let mut journal = Journal::new("sizes");
        journal.at(1).started("one", 1);
        let found = row("volumes", &["v-1"], json!({"size": 1}), json!({"size": 2}));
        journal.applied("one", "volume_update", [found]);
        assert_eq!(of(&journal).subject.unwrap().name, "v-1");
        let record = row(
            "records",
            &["acme", "greetings", "Hello Ada"],
            json!(null),
            json!({"pending": {}}),
        );
        let number = journal.applied("one", "record_put", [record]);
        journal.failed("one", TaskError::new("Broken", "it broke"));
        journal.undone(number);
        let subject = of(&journal).subject.unwrap();
        assert_eq!(
            (subject.kind, subject.name.as_str()),
            ("record", "Hello Ada")
        );
    }
}
