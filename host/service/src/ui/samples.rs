//! Journals for the tests of pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn::clock::Timestamp;
use cairn::effect::{Applied, Change, counts};
use cairn::error::Cause;
use cairn::event::{Disposition, Entry, Event, FlowState, LogLevel};
use cairn::id::{CallId, Phase};
use cairn::{Domains, FlowId, Identity, TaskError, TaskId, Value};
use serde_json::json;

/// When the flows of these tests begin.
pub(crate) const BEGIN: Timestamp = Timestamp(1_764_490_000_000_000);

/// A journal that is written event by event, at times in milliseconds since [`BEGIN`].
pub(crate) struct Journal {
    pub flow: FlowId,
    pub entries: Vec<Entry>,
    tasks: BTreeMap<String, TaskId>,
    now: Timestamp,
    effects: u32,
    phases: BTreeMap<String, (Phase, u32)>,
}

impl Journal {
    pub fn new(name: &str) -> Self {
        Self::requested(name, json!({"name": "Ada", "size": 1}))
    }

    pub fn requested(name: &str, request: Value) -> Self {
        let mut requester = Identity::new("ann", "acme").with_roles(["member"]);
        requester.request_id = "req-7b0d1f64-0a0e-4a4c-9f0a-5d9d0a1c2e11".to_owned();
        let mut journal = Self {
            flow: "01980000-0000-7000-8000-0000000000aa".parse().unwrap(),
            entries: Vec::new(),
            tasks: BTreeMap::new(),
            now: BEGIN,
            effects: 0,
            phases: BTreeMap::new(),
        };
        journal.event(Event::Created {
            name: name.to_owned(),
            requester,
            request,
            plan: None,
            key: Some("order-1".to_owned()),
            asked: None,
        });
        journal.state(FlowState::Pending, FlowState::Started);
        journal.state(FlowState::Started, FlowState::Running);
        journal
    }

    /// Sets the time of the next event.
    pub fn at(&mut self, millis: u64) -> &mut Self {
        self.now = BEGIN.after(Duration::from_millis(millis));
        self
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn event(&mut self, event: Event) -> &mut Self {
        self.entries.push(Entry {
            at: self.now,
            event,
        });
        self
    }

    pub fn state(&mut self, from: FlowState, to: FlowState) -> &mut Self {
        self.event(Event::State { from, to })
    }

    pub fn task(&mut self, name: &str) -> TaskId {
        *self
            .tasks
            .entry(name.to_owned())
            .or_insert_with(TaskId::new)
    }

    pub fn started(&mut self, name: &str, attempt: u32) -> &mut Self {
        self.phases.insert(name.to_owned(), (Phase::Call, attempt));
        let task = self.task(name);
        let name = name.to_owned();
        self.event(Event::Started {
            task,
            name,
            attempt,
        })
    }

    pub fn waits(&mut self, name: &str, signal: Option<&str>, millis: Option<u64>) -> &mut Self {
        let wake_at = millis.map(|millis| BEGIN.after(Duration::from_millis(millis)));
        let task = self.task(name);
        self.event(Event::Waits {
            task,
            name: name.to_owned(),
            signal: signal.map(str::to_owned),
            wake_at,
        })
    }

    pub fn retried(&mut self, name: &str, kind: &str) -> &mut Self {
        let task = self.task(name);
        let error = TaskError::new(kind, "the service is busy; it is asked again");
        self.event(Event::Retried { task, error })
    }

    pub fn succeeded(&mut self, name: &str, result: Value) -> &mut Self {
        let task = self.task(name);
        self.event(Event::Succeeded {
            task,
            result: Arc::new(result),
        })
    }

    /// Fails a task, and begins the rollback.
    pub fn failed(&mut self, name: &str, error: TaskError) -> &mut Self {
        let task = self.task(name);
        self.event(Event::TaskFailed {
            task,
            error: error.clone(),
        });
        self.event(Event::Failed(Cause {
            task: name.to_owned(),
            error,
        }));
        self.state(FlowState::Running, FlowState::Reverting)
    }

    pub fn reverting(&mut self, name: &str, attempt: u32) -> &mut Self {
        self.phases
            .insert(name.to_owned(), (Phase::Revert, attempt));
        let task = self.task(name);
        self.event(Event::Reverting { task, attempt })
    }

    pub fn reverted(&mut self, name: &str) -> &mut Self {
        let task = self.task(name);
        self.event(Event::Reverted {
            task,
            disposition: Disposition::Undo,
        })
    }

    pub fn revert_failed(&mut self, name: &str, error: TaskError) -> &mut Self {
        let task = self.task(name);
        self.event(Event::RevertFailed { task, error })
    }

    pub fn undone(&mut self, number: u32) -> &mut Self {
        self.event(Event::Undone { number })
    }

    pub fn log(&mut self, name: &str, level: LogLevel, message: &str) -> &mut Self {
        let task = self.task(name);
        self.event(Event::Log {
            task,
            level,
            message: message.to_owned(),
        })
    }

    fn call(&mut self, name: &str) -> CallId {
        let (phase, attempt) = self.phases.get(name).copied().unwrap_or((Phase::Call, 1));
        CallId {
            flow: self.flow,
            task: self.task(name),
            phase,
            attempt,
        }
    }

    /// Applies an effect, and returns its number.
    pub fn applied(
        &mut self,
        name: &str,
        effect: &'static str,
        changes: impl IntoIterator<Item = Change>,
    ) -> u32 {
        self.effects += 1;
        let applied = Applied {
            number: self.effects,
            call: self.call(name),
            effect: effect.into(),
            changes: changes.into_iter().collect(),
        };
        self.event(Event::Applied(applied));
        self.effects
    }

    /// Announces the making of an object.
    pub fn intends(&mut self, name: &str) -> u32 {
        let change = row(
            "externals",
            &["dns", "record", "0b6d2c3e-6f9f-4a94-9f1a-0f6f6a0f1a11"],
            json!(null),
            json!({"state": "made", "spec": {"name": "www"}}),
        );
        self.applied(name, "external_make", [change])
    }
}

/// Returns the change of a row.
pub(crate) fn row(table: &'static str, key: &[&str], before: Value, after: Value) -> Change {
    Change::Row {
        table: table.into(),
        id: key_of(key),
        before: before.as_object().cloned(),
        after: after.as_object().cloned(),
    }
}

fn key_of(texts: &[&str]) -> cairn::rows::Key {
    serde_json::from_value(json!(texts)).unwrap()
}

/// Returns the change of a counter of a project.
pub(crate) fn counted(table: &'static str, key: &[&str], column: &'static str, by: i64) -> Change {
    Change::Count {
        table: table.into(),
        key: key_of(key),
        by: counts([(column, by)]),
    }
}

/// Returns the domains that come with the library.
pub(crate) fn domains() -> Domains {
    let setup = cairn::extension::Setup::default();
    let extensions = cairn::extension::extensions();
    let domains = extensions.iter().map(|one| one.domain(&setup).unwrap());
    Domains::new(domains).unwrap()
}

/// Returns a flow whose third task fails, and whose second cannot be reverted.
pub(crate) fn rolled_back() -> Journal {
    let (inject, reserve, create, commit) = (
        "inject;volume:create",
        "quota-reserve;volume:create",
        "entry-create;volume:create",
        "quota-commit;volume:create",
    );
    let mut journal = Journal::requested(
        "volume-create",
        json!({"size": 3, "display_name": "data", "volume_type": "ssd"}),
    );
    journal.at(2).started(inject, 1);
    journal
        .at(3)
        .succeeded(inject, json!({"size": 3, "display_name": "data"}));
    journal.at(4).started(reserve, 1);
    let reserved = counted("quota_usages", &["acme", "gigabytes"], "reserved", 3);
    journal.at(6).applied(reserve, "quota_reserve", [reserved]);
    journal.log(reserve, LogLevel::Info, "reserved 3 GiB of 1000");
    journal
        .at(7)
        .succeeded(reserve, json!({"reservations": ["r-1"]}));
    journal.at(8).started(create, 1);
    journal.at(15).retried(create, "Busy");
    journal.at(45).started(create, 2);
    let volume = row(
        "volumes",
        &["0198a3c0-77aa-7cc1-a1b2-0242ac120002"],
        json!(null),
        json!({"status": "creating", "size": 3, "display_name": "data"}),
    );
    journal.at(47).applied(create, "volume_create", [volume]);
    journal.at(50).succeeded(
        create,
        json!({"volume_id": "0198a3c0-77aa-7cc1-a1b2-0242ac120002"}),
    );
    journal.at(51).started(commit, 1);
    journal.log(commit, LogLevel::Error, "commit refused");
    let error = TaskError::new(
        "OverQuota",
        "gigabytes: 3 more than the limit of 1000 allows",
    );
    journal.at(60).failed(commit, error);
    journal.at(61).reverting(commit, 1);
    journal.at(62).reverted(commit);
    journal.at(63).reverting(create, 1);
    let refused = TaskError::host(
        cairn::error::HostErrorKind::UndoRefused,
        "volume 0198a3c0-77aa-7cc1-a1b2-0242ac120002 was changed since",
    );
    journal.at(70).revert_failed(create, refused);
    journal.at(71).reverting(reserve, 1);
    journal.at(72).undone(1);
    journal.at(73).reverted(reserve);
    journal.at(74).reverting(inject, 1).reverted(inject);
    journal
        .at(75)
        .state(FlowState::Reverting, FlowState::Failure);
    journal
}

/// Returns a plan of tasks of these names, each with an input of the one before.
pub(crate) fn plan(flow: &str, tasks: &[&str]) -> cairn::Plan {
    let steps: Vec<Value> = tasks
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let requires: Vec<[String; 2]> = match at {
                0 => Vec::new(),
                at => vec![[format!("out-{}", tasks[at - 1]), tasks[at - 1].to_owned()]],
            };
            json!({
                "name": name, "plugin": name, "display": format!("{name};{flow}"), "version": [1, 0],
                "digest": cairn::value::Digest::of(name.as_bytes()), "size": 48_213, "builtin": null, "settings": {},
                "grants": {"quota": {"resources": ["gigabytes", "volumes"]}}, "limits": {},
                "retry": {"attempts": 3, "backoff": "10ms"}, "revert": {"attempts": 1, "backoff": "0s"},
                "requires": requires, "optional": [], "provides": [format!("out-{name}")],
            })
        })
        .collect();
    serde_json::from_value(json!({
        "name": flow, "action": "volume:create", "on_lost": "rollback", "tasks": steps,
    }))
    .unwrap()
}

/// Returns a flow as lists have it.
pub(crate) fn summary(name: &str, state: FlowState) -> cairn::event::FlowSummary {
    cairn::event::FlowSummary {
        id: FlowId::new(),
        name: name.to_owned(),
        state,
        project_id: "acme".to_owned(),
        user_id: "ann".to_owned(),
        error: None,
        incomplete: false,
        stuck: None,
        wake_at: None,
        forward: false,
        created_at: BEGIN,
        updated_at: BEGIN.after(Duration::from_millis(75)),
    }
}
