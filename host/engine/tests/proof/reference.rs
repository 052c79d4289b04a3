//! The expected result of a case: a fresh store on which only the successful flows ran, with those of their effects that were
//! not undone, in the order in which they were applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::any::{Answer, Effect};
use cairn::effect::Caller;
use cairn::event::{Event, FlowState};
use cairn::id::{CallId, Phase};
use cairn::store::view::Dump;
use cairn::volumes::KeyCreate;
use cairn::{FlowId, Sqlite, Store, TaskId, Value};

use crate::known::first_volume;
use crate::place::Kind;
use crate::plan::PROJECTS;
use crate::recorder::Noted;
use crate::world::{World, requester};

pub struct Reference {
    /// The tables, with the ids of the run that is judged.
    pub dump: Dump,
    /// Volumes of failed flows that a successful flow had changed.
    pub orphans: BTreeSet<String>,
}

/// Id in the run -> id in the reference.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn get(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn all(&self, ids: &[String]) -> Vec<String> {
        ids.iter().map(|id| self.get(id)).collect()
    }

    fn learn(&mut self, run: &Answer, reference: &Answer) {
        for (run, reference) in ids(run).into_iter().zip(ids(reference)) {
            self.0.insert(run, reference);
        }
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Reservations(ids) => ids.clone(),
        Answer::Volume(volume) => vec![volume["id"].as_str().unwrap().to_owned()],
        Answer::Key(id) => vec![id.clone()],
        Answer::Done => Vec::new(),
    }
}

/// Returns the flows of `log` that finally succeeded.
fn succeeded(log: &[Noted]) -> BTreeSet<FlowId> {
    let mut ends = BTreeMap::new();
    for noted in log {
        if let Noted::Ended { flow, state } = noted {
            ends.insert(*flow, *state);
        }
    }
    ends.retain(|_, state| *state == FlowState::Success);
    ends.into_keys().collect()
}

impl World {
    pub fn reference(&self, log: &[Noted]) -> Reference {
        let succeeded = succeeded(log);
        let undone: BTreeSet<_> = log
            .iter()
            .filter_map(|noted| match noted {
                Noted::Undone { flow, number } => Some((*flow, *number)),
                _ => None,
            })
            .collect();
        let place = self.fresh_database(Kind::Sqlite, "reference");
        // Without limits: usage differs from the run, since failed flows left nothing here.
        let store = Sqlite::open(
            place.file(),
            self.config(false),
            Arc::clone(&self.clock) as _,
        )
        .unwrap();
        let mut names = Names::default();
        let mut orphans = BTreeSet::new();
        let mut calls = BTreeMap::new();
        for noted in log {
            match noted {
                Noted::Applied {
                    flow,
                    number,
                    effect,
                    answer,
                    ..
                } if succeeded.contains(flow) && !undone.contains(&(*flow, *number)) => {
                    let call = *calls
                        .entry(*flow)
                        .or_insert_with(|| self.begin(&store, *flow));
                    if let Effect::VolumeUpdate(update) = effect
                        && !names.0.contains_key(&update.id)
                        && !is_first(&update.id)
                    {
                        orphans.insert(update.id.clone());
                        continue;
                    }
                    let by = requester(self.plan_of(*flow));
                    let caller = Caller {
                        call: Some(call),
                        requester: &by,
                    };
                    let effect = translate(effect, &names);
                    let (reference, _) = effect
                        .apply_in(&store, caller)
                        .unwrap_or_else(|error| panic!("{effect:?} alone: {error}"));
                    names.learn(answer, &reference);
                }
                Noted::Ended { flow, state } if succeeded.contains(flow) => {
                    // A flow that was rolled back later is not among them.
                    assert_eq!(*state, FlowState::Success);
                    let call = *calls
                        .entry(*flow)
                        .or_insert_with(|| self.begin(&store, *flow));
                    end(&store, call);
                }
                _ => {}
            }
        }
        drop(store);
        let back = names.0.into_iter().map(|(run, own)| (own, run)).collect();
        Reference {
            dump: place.dump(&back),
            orphans,
        }
    }

    fn plan_of(&self, flow: FlowId) -> &crate::plan::FlowPlan {
        let index = self.flows.iter().position(|id| *id == flow).unwrap();
        &self.case.flows[index]
    }

    /// Creates a flow with the same id and one open call.
    fn begin(&self, store: &Sqlite, flow: FlowId) -> CallId {
        let call = CallId {
            flow,
            task: TaskId::new(),
            phase: Phase::Call,
            attempt: 1,
        };
        let created = Event::Created {
            name: "alone".to_owned(),
            requester: requester(self.plan_of(flow)),
            request: Value::Null,
            plan: None,
            key: None,
            asked: None,
        };
        let running = Event::State {
            from: FlowState::Pending,
            to: FlowState::Running,
        };
        let started = Event::Started {
            task: call.task,
            name: "all".to_owned(),
            attempt: 1,
        };
        store.append(flow, &[created, running, started]).unwrap();
        call
    }
}

fn end(store: &Sqlite, call: CallId) {
    let succeeded = Event::Succeeded {
        task: call.task,
        result: Arc::new(Value::Null),
    };
    let success = Event::State {
        from: FlowState::Running,
        to: FlowState::Success,
    };
    store.append(call.flow, &[succeeded, success]).unwrap();
    store.barrier(call.flow).unwrap();
}

fn is_first(id: &str) -> bool {
    (0..PROJECTS.len()).any(|project| (0..2).any(|number| first_volume(project, number) == id))
}

/// Returns the effect with the ids of the reference.
fn translate(effect: &Effect, names: &Names) -> Effect {
    let mut effect = effect.clone();
    match &mut effect {
        Effect::QuotaCommit(commit) => commit.reservations = names.all(&commit.reservations),
        Effect::QuotaRollback(rollback) => {
            rollback.reservations = names.all(&rollback.reservations);
        }
        Effect::VolumeCreate(create) => {
            if let Some(Value::String(source)) = create.properties.get_mut("source_volid") {
                *source = names.get(source);
            }
        }
        Effect::VolumeUpdate(update) => update.id = names.get(&update.id),
        Effect::VolumeDestroy(destroy) => destroy.id = names.get(&destroy.id),
        // A copy of a key that vanished with its flow becomes a new key.
        Effect::KeyCopy(copy) if !names.0.contains_key(&copy.id) => {
            return Effect::KeyCreate(KeyCreate);
        }
        Effect::KeyCopy(copy) => copy.id = names.get(&copy.id),
        Effect::KeyDelete(delete) => delete.id = names.get(&delete.id),
        Effect::QuotaReserve(_) | Effect::KeyCreate(_) | Effect::Cast(_) => {}
    }
    effect
}
