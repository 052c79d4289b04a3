//! Test support: rows in memory, and flows that apply effects to them.

use std::collections::BTreeSet;

use cairn_effects::effect::{Caller, Change};
use cairn_effects::event::FlowState;
use cairn_effects::rows::{
    Cell, Draft, End, Fetched, Made, Overlay, Row, RowId, Rows, Services, Stop, Tables, Text,
    Wants, undo,
};
use cairn_effects::rules::{Effect, LookUp};
use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use serde_json::Value;

use super::{Entry, Expect, RecordGet, RecordPut, RecordRemove, operate, registered};
use crate::settings::Settings;

/// All rows, in memory.
pub(super) struct World {
    overlay: Overlay,
    services: Services,
    tables: Tables,
    /// The database's answer to a query for the first keys of a range.
    pub(super) first_keys: Vec<Text>,
    /// The parameters of the scans that were requested.
    pub(super) scanned: Vec<Vec<Cell>>,
}

/// A flow and its changes so far.
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) who: Identity,
    task: TaskId,
    made: Made,
    /// Changes with the task that made them, in order.
    changes: Vec<(TaskId, Vec<Change>)>,
}

impl Flow {
    pub(super) fn of(project: &str) -> Self {
        Self {
            id: FlowId::new(),
            who: Identity::new("ann", project),
            task: TaskId::new(),
            made: Made::new(),
            changes: Vec::new(),
        }
    }

    /// Begins another task, and returns it.
    pub(super) fn next_task(&mut self) -> TaskId {
        self.task = TaskId::new();
        self.task
    }

    pub(super) fn task(&self) -> TaskId {
        self.task
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    fn call(&self) -> CallId {
        CallId {
            flow: self.id,
            task: self.task,
            phase: Phase::Call,
            attempt: 1,
        }
    }
}

impl World {
    /// Makes a world with this text of a `cairn.toml`.
    pub(super) fn new(config: &str) -> Self {
        let settings = Settings::parse(config, std::path::Path::new("cairn.toml")).unwrap();
        Self {
            overlay: Overlay::new(usize::MAX),
            services: Services::default().with(settings),
            tables: Tables::new(registered()).unwrap(),
            first_keys: Vec::new(),
            scanned: Vec::new(),
        }
    }

    /// Answers like a database without rows.
    fn fetch(&mut self, wants: Wants) -> Fetched {
        let mut fetched = Fetched {
            rows: wants.rows.into_iter().map(|id| (id, None)).collect(),
            ..Fetched::default()
        };
        for select in wants.selects {
            self.scanned.push(select.parameters.clone());
            fetched.selects.insert(select, Vec::new());
        }
        for count in wants.counts {
            let keys = self.first_keys.iter();
            let counted = keys.map(|key| (vec![Cell::Text(Text::clone(key))], 1));
            fetched.counts.insert(count, counted.collect());
        }
        fetched
    }

    fn run<T>(
        &mut self,
        by: Caller<'_>,
        made: &Made,
        rules: impl Fn(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> Result<(T, Vec<Change>), TaskError> {
        let mut draft = Draft::new(Timestamp(1));
        loop {
            let rows = Rows::new(&mut self.overlay, &mut draft, by, made, &self.services);
            let (result, done) = rows.run(&rules);
            match result {
                Ok(answer) => return Ok((answer, done.changes)),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Missing) => {
                    let fetched = self.fetch(draft.take_wants());
                    self.overlay.accept(&fetched);
                    let fetching = self.overlay.begin_fetch();
                    draft.answered(fetching, fetched);
                }
            }
        }
    }

    pub(super) fn apply<E: Effect>(
        &mut self,
        flow: &mut Flow,
        effect: &E,
    ) -> Result<E::Answer, TaskError> {
        let who = flow.who.clone();
        let by = Caller {
            call: Some(flow.call()),
            requester: &who,
        };
        let (answer, changes) = self.run(by, &flow.made, |rows| effect.apply(rows))?;
        for change in &changes {
            if let Change::Row { table, id, .. } = change {
                let table = self.tables.get(table).unwrap();
                flow.made.insert(RowId {
                    table,
                    key: id.clone(),
                });
            }
        }
        flow.changes.push((flow.task, changes));
        Ok(answer)
    }

    pub(super) fn look_up<L: LookUp>(
        &mut self,
        flow: &Flow,
        look_up: &L,
    ) -> Result<L::Answer, TaskError> {
        let by = Caller {
            call: Some(flow.call()),
            requester: &flow.who,
        };
        Ok(self.run(by, &flow.made, |rows| look_up.look_up(rows))?.0)
    }

    /// Runs a rule as the operator.
    pub(super) fn operate<T>(
        &mut self,
        who: &Identity,
        rules: impl Fn(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> Result<T, TaskError> {
        let by = Caller {
            call: None,
            requester: who,
        };
        Ok(self.run(by, &Made::new(), rules)?.0)
    }

    /// Undoes the flow's last effect.
    pub(super) fn undo_last(&mut self, flow: &mut Flow) -> Result<(), TaskError> {
        let (task, changes) = flow.changes.pop().unwrap();
        let nobody = Identity::default();
        let by = Caller {
            call: Some(CallId {
                task,
                ..flow.call()
            }),
            requester: &nobody,
        };
        let tables = self.tables.clone();
        let undone = self.run(by, &flow.made, |rows| {
            changes
                .iter()
                .rev()
                .try_for_each(|change| undo(rows, &tables, change))
        });
        if let Err(error) = undone {
            flow.changes.push((task, changes));
            return Err(error);
        }
        Ok(())
    }

    pub(super) fn end(&mut self, flow: &Flow, state: FlowState, unreverted: &[TaskId]) {
        let unreverted = BTreeSet::from_iter(unreverted.iter().copied());
        let end = End {
            state,
            unreverted: &unreverted,
        };
        let nobody = Identity::default();
        let by = Caller {
            call: Some(flow.call()),
            requester: &nobody,
        };
        for settle in registered().into_iter().filter_map(|table| table.settle) {
            self.run(by, &flow.made, |rows| settle(rows, end)).unwrap();
        }
    }

    /// Returns all rows of a table.
    pub(super) fn rows<R: Row>(&self) -> Vec<R> {
        let written = self.overlay.written();
        let rows = written.iter().filter_map(|written| written.now);
        let rows = rows.filter_map(|row| (row as &dyn std::any::Any).downcast_ref::<R>());
        rows.cloned().collect()
    }

    pub(super) fn succeed(&mut self, flow: &Flow) {
        self.end(flow, FlowState::Success, &[]);
    }

    // ---- Records of the collection `c` ---------------------------------------------------------------------------

    pub(super) fn put(
        &mut self,
        flow: &mut Flow,
        key: &str,
        value: impl Into<Value>,
    ) -> Result<u64, TaskError> {
        self.put_if(flow, key, value, Expect::Any)
    }

    pub(super) fn put_if(
        &mut self,
        flow: &mut Flow,
        key: &str,
        value: impl Into<Value>,
        expect: Expect,
    ) -> Result<u64, TaskError> {
        self.apply(flow, &put(key, value, expect))
    }

    pub(super) fn remove(&mut self, flow: &mut Flow, key: &str) -> Result<(), TaskError> {
        self.apply(
            flow,
            &RecordRemove {
                collection: "c".to_owned(),
                key: key.to_owned(),
                expect: Expect::Any,
            },
        )
    }

    pub(super) fn entry(&mut self, flow: &Flow, key: &str) -> Option<Entry> {
        let get = RecordGet {
            collection: "c".to_owned(),
            key: key.to_owned(),
        };
        self.look_up(flow, &get).unwrap()
    }

    pub(super) fn get(&mut self, flow: &Flow, key: &str) -> Option<Value> {
        self.entry(flow, key).map(|entry| entry.value)
    }

    pub(super) fn release(&mut self, flow: &Flow, key: &str) -> Result<(), TaskError> {
        let (who, id) = (flow.who.clone(), flow.id);
        self.operate(&who, |rows| {
            operate::release(rows, "c", key, id, "it is stuck")
        })
    }
}

/// Makes a put into the collection `c`.
pub(super) fn put(key: &str, value: impl Into<Value>, expect: Expect) -> RecordPut {
    RecordPut {
        collection: "c".to_owned(),
        key: key.to_owned(),
        value: value.into(),
        expect,
    }
}
