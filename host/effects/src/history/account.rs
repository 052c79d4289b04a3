//! Computes the net change of a flow's effects: the changes that remain and why, those that were undone, the messages that were sent.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::id::{Phase, TaskId};
use cairn_model::value::Value;

use super::{Act, History, Past, Recorded};
use crate::effect::{Applied, Change};
use crate::event::Disposition;
use crate::external::is_removal;
use crate::key::Key;
use crate::net::{Fate, Left, Net, Place, Undone, Why};
use crate::outbox::{self, Cast};
use crate::rules::Effect as _;

/// Every change of a flow, grouped by its fate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// The differences from the state before the flow, each with the reason. Changes from before a reset count.
    pub left: Vec<Left>,
    /// The rows and counters that were changed and restored.
    pub undone: Vec<Undone>,
    /// The ids of messages that were sent.
    pub sent: Vec<String>,
}

/// The origin of a remaining change. If several changed the same row, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The call of a reverted task, whose revert answered `keep`.
    Keeps(TaskId),
    /// The revert of a reverted task.
    Revert(TaskId),
    /// A task that was reverted before the flow was reset.
    Past,
    /// A task on the accumulator.
    Unreverted(TaskId),
    /// A task that was on the accumulator when the flow was reset.
    Forgotten,
}

impl History {
    /// Returns the tables and keys of the rows whose counters its effects changed, including undone effects.
    pub fn counted(&self) -> BTreeSet<(&str, &Key)> {
        let effects = self.effects.iter();
        let changes = effects.flat_map(|effect| &effect.applied.changes);
        changes
            .filter_map(|change| match change {
                Change::Count { table, key, .. } => Some((&**table, key)),
                Change::Row { .. } | Change::Elsewhere(_) => None,
            })
            .collect()
    }

    /// Returns the differences from the state before the flow: [`Account::left`].
    pub fn left(&self) -> Vec<Left> {
        self.account().left
    }

    /// Adds up every change of the flow, and determines the fate of each.
    pub fn account(&self) -> Account {
        let tables = self.domains.tables();
        let mut net = Net::default();
        let mut owners: BTreeMap<Place<'_>, Owner> = BTreeMap::new();
        let mut doubts: BTreeMap<Place<'_>, String> = BTreeMap::new();
        for effect in self.effects.iter().filter(|effect| !effect.undone) {
            let owner = self.owner(effect);
            for change in &effect.applied.changes {
                net.add(change);
                let doubt = match &effect.act {
                    Some(Act::InDoubt(error, _)) => Some(error.to_string()),
                    Some(Act::Open) if is_removal(&effect.applied) => {
                        Some("its removal has begun, and may not have ended".to_owned())
                    }
                    _ => None,
                };
                if let Some(doubt) = doubt {
                    doubts.insert(place(change), doubt);
                }
                let found = owners.entry(place(change)).or_insert(owner);
                *found = owner.max(*found);
            }
        }
        // Undone changes add up to zero, but are listed as undone.
        for effect in self.effects.iter().filter(|effect| effect.undone) {
            effect
                .applied
                .changes
                .iter()
                .for_each(|change| net.add_undone(change));
        }
        let left = net.different(tables).map(|(place, left)| {
            let why = match tables.get(place.0) {
                Some(_) => owners.get(&place).map(|owner| {
                    let why = self.why(*owner);
                    match doubts.get(&place) {
                        Some(error) => Why {
                            fate: Fate::Unknown,
                            reason: format!("it is not known whether it is there: {error}"),
                            ..why
                        },
                        None => why,
                    }
                }),
                None => Some(unknown(place.0)),
            };
            Left { why, ..left }
        });
        let mut left: Vec<Left> = left.collect();
        let effects = self.effects.iter();
        let gone = effects.filter(|effect| !effect.undone && effect.past == Some(Past::Sent));
        left.extend(gone.flat_map(|effect| self.message(&effect.applied, "sent")));
        let taken = self.sent();
        left.extend(taken.iter().flat_map(|cast| self.message(cast, "acked")));
        let is_sent =
            |left: &&Left| matches!(&left.why, Some(why) if matches!(why.fate, Fate::Sent));
        let sent: Vec<String> = left
            .iter()
            .filter(is_sent)
            .map(|left| left.id.clone())
            .collect();
        let mut undone = net.undone(tables);
        undone.retain(|undone| undone.kind != outbox::TABLE.noun || !sent.contains(&undone.id));
        Account { left, undone, sent }
    }

    fn owner(&self, effect: &Recorded) -> Owner {
        let call = &effect.applied.call;
        match effect.past {
            Some(Past::Kept) => return Owner::Past,
            Some(Past::Stands | Past::Sent) => return Owner::Forgotten,
            None => {}
        }
        if self.started.contains(&call.task) {
            return Owner::Unreverted(call.task);
        }
        match call.phase {
            Phase::Revert => Owner::Revert(call.task),
            Phase::Call => Owner::Keeps(call.task),
        }
    }

    fn why(&self, owner: Owner) -> Why {
        let (fate, task) = match owner {
            Owner::Keeps(task) | Owner::Revert(task) => (Fate::Kept, self.task(task)),
            Owner::Past => (Fate::Kept, None),
            Owner::Unreverted(task) => (Fate::NotUndone, self.task(task)),
            Owner::Forgotten => (Fate::NotUndone, None),
        };
        let reason = match owner {
            Owner::Keeps(_) => match task.and_then(|task| task.disposition) {
                Some(Disposition::Keep) => "its revert answered `keep`".to_owned(),
                Some(Disposition::Undo) | None => "its revert left it".to_owned(),
            },
            Owner::Revert(_) => "its revert made it".to_owned(),
            Owner::Past => "a revert kept it, or made it, before the flow was reset".to_owned(),
            Owner::Forgotten => {
                "the flow was reset before it was undone, and no task undoes it now".to_owned()
            }
            Owner::Unreverted(_) => match task.and_then(|task| task.revert_error.as_ref()) {
                Some(error) => format!("its task is not reverted: {error}"),
                None if self.is_past_pivot() => {
                    "the flow had passed its pivot, so its tasks were not reverted".to_owned()
                }
                None => "its task is not reverted yet".to_owned(),
            },
        };
        Why {
            fate,
            task: task.map(|task| task.name.clone()),
            reason,
        }
    }

    /// Returns the entries of a message in this state, which can no longer be withdrawn.
    fn message(&self, cast: &Applied, state: &str) -> Vec<Left> {
        let task = self.task(cast.call.task);
        let changes = cast.changes.iter().filter_map(|change| match change {
            Change::Row { id, .. } => Some(Left {
                kind: outbox::TABLE.noun.to_owned(),
                id: id.to_string(),
                project: None,
                before: Value::Null,
                after: serde_json::json!({"state": state}),
                why: Some(Why {
                    fate: Fate::Sent,
                    task: task.map(|task| task.name.clone()),
                    reason: "the message has left".to_owned(),
                }),
            }),
            Change::Count { .. } | Change::Elsewhere(_) => None,
        });
        changes.collect()
    }
}

impl Recorded {
    /// Returns whether it is a message sent by a call.
    pub(super) fn is_cast(&self) -> bool {
        self.applied.effect == Cast::NAME && self.applied.call.phase == Phase::Call
    }
}

/// Returns the table and the key of a change.
fn place(change: &Change) -> Place<'_> {
    match change {
        Change::Elsewhere(change) => place(change),
        Change::Count { table, key, .. } => (table, key),
        Change::Row { table, id, .. } => (table, id),
    }
}

fn unknown(table: &str) -> Why {
    Why {
        fate: Fate::NotUndone,
        task: None,
        reason: format!("no domain of this program has the table `{table}`"),
    }
}
