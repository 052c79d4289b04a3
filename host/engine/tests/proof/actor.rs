//! A task that follows a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::any::{Answer, Effect, Query};
use cairn::error::{Cause, Origin};
use cairn::event::Disposition;
use cairn::id::Phase;
use cairn::outbox::Cast;
use cairn::task::Outcome;
use cairn::volumes::{
    Expiry, KeyCopy, KeyCreate, KeyDelete, QuotaCommit, QuotaReserve, QuotaRollback, VolumeCreate,
    VolumeDestroy, VolumeUpdate,
};
use cairn::{Context, Object, Task, TaskError, TaskSpec, Value};
use serde_json::json;

use crate::known::{Known, Thing, picked};
use crate::plan::{How, PROJECTS, Pick, RESOURCES, Script, Step, TaskPlan, Update};
use crate::recorder::Recorder;
use crate::stage::Stage;
use crate::world::GOLD;

pub struct Actor {
    spec: TaskSpec,
    /// The flow, and the task in it.
    me: (usize, usize),
    project: usize,
    admin: bool,
    plan: TaskPlan,
    store: Arc<Recorder>,
    /// Where flows take turns; `None` if they run one after the other.
    stage: Option<Arc<Stage>>,
}

type Played = Result<(), TaskError>;

impl Actor {
    pub fn new(
        me: (usize, usize),
        (project, admin): (usize, bool),
        plan: TaskPlan,
        store: Arc<Recorder>,
        stage: Option<Arc<Stage>>,
    ) -> Self {
        let spec = TaskSpec::new(name(me.1));
        Self {
            spec,
            me,
            project,
            admin,
            plan,
            store,
            stage,
        }
    }

    fn pause(&self) {
        if let Some(stage) = &self.stage {
            stage.pause(self.me.0);
        }
    }

    /// Plays a script; `gives_back` is false if there is nothing to give back.
    fn play(&self, context: &Arc<dyn Context>, script: &Script, gives_back: bool) -> Played {
        let attempt = context.call().attempt as usize;
        let failure = script.failures.get(attempt - 1).copied().flatten();
        let acts = match failure {
            Some(failure) => &script.acts[..script.acts.len().min(failure.after)],
            None => &script.acts[..],
        };
        self.pause();
        for act in acts {
            if matches!(act.step, Step::GiveBack) && !gives_back {
                continue;
            }
            match self.perform(context, &act.step) {
                Err(error) if error.origin == Origin::Host || !act.tolerant => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.pause();
        match failure.map(|failure| failure.how) {
            None => Ok(()),
            Some(How::Busy) => Err(TaskError::new("Busy", "try again")),
            Some(How::Broken) => Err(TaskError::new("Broken", "it broke")),
            // Skips the panic hook and its message.
            Some(How::Panic) => std::panic::resume_unwind(Box::new("a panic")),
        }
    }

    fn perform(&self, context: &Arc<dyn Context>, step: &Step) -> Played {
        match step {
            Step::Reserve(deltas, project) => {
                let project = if self.admin { *project } else { self.project };
                self.reserve(context, deltas, project).map(drop)
            }
            Step::Commit(pick) => match self.reservation(*pick) {
                Some(thing) => self.commit(context, &thing),
                None => Ok(()),
            },
            Step::Release(pick) => match self.reservation(*pick) {
                Some(thing) => self.release(context, &thing),
                None => Ok(()),
            },
            Step::Create { size, gold, source } => {
                let source = source.and_then(|pick| self.volume(pick));
                self.create(context, *size, *gold, source)
            }
            Step::Update(pick, update) => match self.volume(*pick) {
                Some(id) => {
                    let changes = changes(*update);
                    self.apply(context, &Effect::VolumeUpdate(VolumeUpdate { id, changes }))
                        .map(drop)
                }
                None => Ok(()),
            },
            Step::Destroy(pick) => match self.volume(*pick) {
                Some(id) => self.destroy(context, id),
                None => Ok(()),
            },
            Step::Key => self.key(context, &Effect::KeyCreate(KeyCreate)),
            Step::CopyKey(pick) => match self.known_key(*pick) {
                Some(id) => self.key(context, &Effect::KeyCopy(KeyCopy { id })),
                None => Ok(()),
            },
            Step::DeleteKey(pick) => match self.known_key(*pick) {
                Some(id) => self.delete_key(context, id),
                None => Ok(()),
            },
            Step::Cast => {
                let cast = Effect::Cast(Cast {
                    topic: "scheduler".to_owned(),
                    method: "create".to_owned(),
                    arguments: json!({"flow": self.me.0, "task": self.me.1}),
                });
                self.apply(context, &cast).map(drop)
            }
            Step::Checkpoint => context.checkpoint(),
            Step::ByHand => self.take_back(context),
            Step::GiveBack => self.give_back(context),
            Step::Make { size, gold } => self.make(context, *size, *gold),
        }
    }

    fn apply(&self, context: &Arc<dyn Context>, effect: &Effect) -> Result<Answer, TaskError> {
        self.pause();
        effect.apply(context)
    }

    // ---- Effects ------------------------------------------------------------------------------------------------

    fn reserve(
        &self,
        context: &Arc<dyn Context>,
        deltas: &[(usize, i64)],
        project: usize,
    ) -> Result<Thing, TaskError> {
        let named: BTreeMap<String, i64> = deltas
            .iter()
            .map(|(resource, amount)| (RESOURCES[*resource].to_owned(), *amount))
            .collect();
        let reserve = Effect::QuotaReserve(QuotaReserve {
            project: (project != self.project).then(|| PROJECTS[project].to_owned()),
            deltas: named.clone(),
            expiry: Expiry::Default,
        });
        let Answer::Reservations(ids) = self.apply(context, &reserve)? else {
            panic!("a reservation answers ids")
        };
        let deltas = named
            .iter()
            .map(|(name, amount)| (RESOURCES.iter().position(|r| r == name).unwrap(), *amount));
        let thing = Thing {
            deltas: deltas.collect(),
            project,
            ..self.thing(context, ids)
        };
        self.store
            .with_known(|known| known.reservations.push(thing.clone()));
        Ok(thing)
    }

    fn commit(&self, context: &Arc<dyn Context>, thing: &Thing) -> Played {
        let commit = Effect::QuotaCommit(QuotaCommit {
            reservations: thing.ids.clone(),
            project: (thing.project != self.project).then(|| PROJECTS[thing.project].to_owned()),
        });
        self.apply(context, &commit).map(drop)
    }

    fn release(&self, context: &Arc<dyn Context>, thing: &Thing) -> Played {
        let release = Effect::QuotaRollback(QuotaRollback {
            reservations: thing.ids.clone(),
            project: (thing.project != self.project).then(|| PROJECTS[thing.project].to_owned()),
        });
        self.apply(context, &release).map(drop)
    }

    fn create(
        &self,
        context: &Arc<dyn Context>,
        size: i64,
        gold: bool,
        source: Option<String>,
    ) -> Played {
        self.pause();
        // Keeps only a source that exists and belongs to the task's project: an admin sees volumes of other projects, whose
        // owners may remove them. Only the task checks this, and no other flow has a turn in between.
        let project = &context.requester().project_id;
        let source = source.filter(|id| {
            let found = Query::Volume(id.clone()).ask(context);
            found.is_ok_and(|volume| volume["project_id"] == **project)
        });
        let properties = json!({
            "size": size,
            "display_name": format!("of {:?}", self.me),
            "volume_type_id": gold.then_some(GOLD),
            "source_volid": source,
        });
        let create = Effect::VolumeCreate(VolumeCreate {
            properties: properties.as_object().cloned().unwrap_or_default(),
        });
        let Answer::Volume(volume) = create.apply(context)? else {
            panic!("a new volume is answered whole")
        };
        let id = volume["id"].as_str().unwrap().to_owned();
        let thing = self.thing(context, vec![id]);
        self.store.with_known(|known| known.volumes.push(thing));
        Ok(())
    }

    fn destroy(&self, context: &Arc<dyn Context>, id: String) -> Played {
        self.apply(context, &Effect::VolumeDestroy(VolumeDestroy { id }))
            .map(drop)
    }

    fn key(&self, context: &Arc<dyn Context>, effect: &Effect) -> Played {
        let Answer::Key(id) = self.apply(context, effect)? else {
            panic!("a new key answers its id")
        };
        let thing = self.thing(context, vec![id]);
        self.store.with_known(|known| known.keys.push(thing));
        Ok(())
    }

    fn delete_key(&self, context: &Arc<dyn Context>, id: String) -> Played {
        self.apply(context, &Effect::KeyDelete(KeyDelete { id }))
            .map(drop)
    }

    // ---- Several effects -------------------------------------------------------------------------------------------

    fn make(&self, context: &Arc<dyn Context>, size: i64, gold: bool) -> Played {
        let mut deltas = vec![(0, 1), (1, size)];
        if gold {
            deltas.extend([(3, 1), (4, size)]);
        }
        let held = self.reserve(context, &deltas, self.project)?;
        self.create(context, size, gold, None)?;
        self.commit(context, &held)
    }

    fn give_back(&self, context: &Arc<dyn Context>) -> Played {
        let held = self.mine(|known| &known.reservations);
        let Some(held) = held.into_iter().rev().find(|thing| {
            thing.deltas.iter().all(|(_, amount)| *amount >= 0) && !thing.deltas.is_empty()
        }) else {
            return Ok(());
        };
        let negative: Vec<_> = held
            .deltas
            .iter()
            .map(|(resource, amount)| (*resource, -amount))
            .collect();
        let back = self.reserve(context, &negative, held.project)?;
        self.commit(context, &back)
    }

    /// Takes back what this task's calls made, newest first; skips what is already gone.
    fn take_back(&self, context: &Arc<dyn Context>) -> Played {
        for thing in self.mine(|known| &known.keys).into_iter().rev() {
            self.passing_over(self.delete_key(context, thing.ids[0].clone()))?;
        }
        for thing in self.mine(|known| &known.volumes).into_iter().rev() {
            self.passing_over(self.destroy(context, thing.ids[0].clone()))?;
        }
        for thing in self.mine(|known| &known.reservations).into_iter().rev() {
            self.release(context, &thing)?;
        }
        Ok(())
    }

    fn passing_over(&self, done: Played) -> Played {
        match done {
            Err(error) if error.origin == Origin::Plugin => Ok(()),
            done => done,
        }
    }

    // ---- Known objects -------------------------------------------------------------------------------------------

    fn thing(&self, context: &Arc<dyn Context>, ids: Vec<String>) -> Thing {
        Thing {
            ids,
            made_by: Some(self.me),
            in_call: context.call().phase == Phase::Call,
            deltas: Vec::new(),
            project: self.project,
        }
    }

    fn mine(&self, kind: impl Fn(&Known) -> &Vec<Thing>) -> Vec<Thing> {
        self.store.with_known(|known| {
            let things = kind(known).iter();
            things
                .filter(|thing| thing.made_by == Some(self.me) && thing.in_call)
                .cloned()
                .collect()
        })
    }

    fn volume(&self, pick: Pick) -> Option<String> {
        self.store
            .with_known(|known| Some(picked(&known.volumes, self.me, pick)?.ids[0].clone()))
    }

    fn known_key(&self, pick: Pick) -> Option<String> {
        self.store
            .with_known(|known| Some(picked(&known.keys, self.me, pick)?.ids[0].clone()))
    }

    fn reservation(&self, pick: Pick) -> Option<Thing> {
        self.store
            .with_known(|known| picked(&known.reservations, self.me, pick).cloned())
    }
}

fn changes(update: Update) -> Object {
    let (column, value) = match update {
        Update::Status(which) => ("status", json!(["error", "available", "in-use"][which])),
        Update::Host(which) => ("host", json!(which.map(|which| ["near", "far"][which]))),
        Update::Scheduled => ("scheduled_at", json!("now")),
    };
    [(column.to_owned(), value)].into_iter().collect()
}

/// Returns the name of the task at this place in its flow.
pub fn name(task: usize) -> String {
    format!("task-{task}")
}

impl Task for Actor {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        self.play(context, &self.plan.call, true)?;
        Ok(json!({"attempt": context.call().attempt}))
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        _: &Cause,
    ) -> Result<Disposition, TaskError> {
        let completed = matches!(outcome, Outcome::Completed(_));
        self.play(context, &self.plan.revert, completed)?;
        Ok(if self.plan.keep {
            Disposition::Keep
        } else {
            Disposition::Undo
        })
    }
}
