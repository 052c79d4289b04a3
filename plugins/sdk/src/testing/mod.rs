//! A fake host for unit tests: it returns scripted answers and records the calls.
//!
//! ```
//! use cairn_plugin::testing::FakeHost;
//! use cairn_plugin::{Error, catalog};
//! use serde_json::json;
//!
//! let host = FakeHost::new()
//!     .answer("catalog.volume", json!({"id": "v1", "host": "a"}))
//!     .fail("catalog.snapshot", Error::new("SnapshotNotFound", "no such snapshot").with("snapshot_id", "s1"));
//! host.run(|| {
//!     assert_eq!(catalog::volume("v1").unwrap()["host"], "a");
//!     assert!(catalog::snapshot("s1").is_err());
//! });
//! assert_eq!(host.calls("catalog.volume"), [json!({"id": "v1"})]);
//! ```

mod admission;
mod effects;
mod external;
pub(crate) mod imports;
mod surroundings;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::context::Identity;
use crate::{Disposition, Error, Failure, Outcome, Task, guest};

pub(crate) use surroundings::{now, random};

type FakeFunction = Box<dyn FnMut(&Value) -> Result<Value, Error>>;

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// A scripted host. Clones share the script and the recorded calls.
///
/// Functions have their WIT names, `interface.function`. Their arguments are an object with the WIT's parameter names as keys and JSON
/// documents as values. Without a script, functions that return nothing on success (`policy.enforce`, `quota.commit`, `rpc.cast`, …)
/// succeed, and some lookups have a default answer (nothing found, a valid zone, a type that is not encrypted, …); any other function panics.
#[derive(Clone)]
pub struct FakeHost {
    state: Rc<RefCell<State>>,
}

struct State {
    requester: Identity,
    settings: Value,
    request: Option<Value>,
    quota_committed: bool,
    answers: HashMap<String, FakeFunction>,
    calls: Vec<(String, Value)>,
    surroundings: surroundings::Surroundings,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeHost {
    /// Creates a host with the caller `user` of project `project`, who has no roles, without settings and without a request.
    pub fn new() -> Self {
        let requester = Identity {
            request_id: "req-1".into(),
            user_id: "user".into(),
            project_id: "project".into(),
            roles: Vec::new(),
            is_admin: false,
            quota_class: None,
        };
        let state = State {
            requester,
            settings: json!({}),
            request: None,
            quota_committed: false,
            answers: HashMap::new(),
            calls: Vec::new(),
            surroundings: surroundings::Surroundings::default(),
        };
        Self {
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// Sets the settings of the task.
    #[must_use]
    pub fn settings(self, settings: Value) -> Self {
        self.state.borrow_mut().settings = settings;
        self
    }

    /// Sets the caller.
    #[must_use]
    pub fn requester(self, requester: Identity) -> Self {
        self.state.borrow_mut().requester = requester;
        self
    }

    /// Sets the request of the flow, which only `inject` can read.
    #[must_use]
    pub fn request(self, request: Value) -> Self {
        self.state.borrow_mut().request = Some(request);
        self
    }

    /// Marks the flow as having committed quota.
    #[must_use]
    pub fn quota_committed(self) -> Self {
        self.state.borrow_mut().quota_committed = true;
        self
    }

    /// Makes `function` return this answer on every call.
    #[must_use]
    pub fn answer(self, function: &str, answer: Value) -> Self {
        self.on(function, move |_| Ok(answer.clone()))
    }

    /// Makes `function` fail with this error on every call. A quota function fails as `over` when the kind is `OverQuota`, and as
    /// `unknown-resource` when it is `QuotaResourceUnknown`, with the details that [`Error::from`] gives to a
    /// [`QuotaError`](crate::quota::QuotaError).
    #[must_use]
    pub fn fail(self, function: &str, error: impl Into<Error>) -> Self {
        let error = error.into();
        self.on(function, move |_| Err(error.clone()))
    }

    /// Makes `function` compute its answer from its arguments.
    #[must_use]
    pub fn on(
        self,
        function: &str,
        answer: impl FnMut(&Value) -> Result<Value, Error> + 'static,
    ) -> Self {
        self.state
            .borrow_mut()
            .answers
            .insert(function.to_owned(), Box::new(answer));
        self
    }

    /// Returns the arguments of each call of `function` so far.
    pub fn calls(&self, function: &str) -> Vec<Value> {
        self.all_calls()
            .into_iter()
            .filter(|(name, _)| name == function)
            .map(|(_, arguments)| arguments)
            .collect()
    }

    /// Returns name and arguments of each call so far, except those of `context`.
    pub fn all_calls(&self) -> Vec<(String, Value)> {
        self.state.borrow().calls.clone()
    }

    /// Runs `work` with this host as the current one. Must not be nested.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        /// Removes the current host, also when the work panics.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(Option::take);
            }
        }
        let before = CURRENT.with_borrow_mut(|current| current.replace(Rc::clone(&self.state)));
        assert!(before.is_none(), "a fake host is in place already");
        let _leave = Leave;
        work()
    }

    /// Calls a task as the host does: with the settings, and through JSON.
    ///
    /// # Errors
    /// The task's error, or `InvalidSettings` or `InvalidInput` when the settings or the inputs do not deserialize.
    pub fn call<T: Task>(&self, inputs: Value) -> Result<Value, Error> {
        let settings = self.state.borrow().settings.to_string();
        let result = self.run(|| guest::call::<T>(&settings, &inputs.to_string()))?;
        Ok(serde_json::from_str(&result).expect("a task's result was written as JSON"))
    }

    /// Reverts a task as the host does after the task `later` of the flow failed.
    ///
    /// # Errors
    /// The task's error, or `InvalidSettings`.
    pub fn revert<T: Task>(&self, outcome: Outcome) -> Result<Disposition, Error> {
        self.revert_because::<T>(
            outcome,
            &Failure {
                task: "later".into(),
                error: Error::new("Failed", "it failed"),
            },
        )
    }

    /// Reverts a task, for a given cause.
    ///
    /// # Errors
    /// The task's error, or `InvalidSettings`.
    pub fn revert_because<T: Task>(
        &self,
        outcome: Outcome,
        cause: &Failure,
    ) -> Result<Disposition, Error> {
        let settings = self.state.borrow().settings.to_string();
        self.run(|| guest::configured::<T>(&settings)?.revert(outcome, cause))
    }
}

/// Returns the state of the current host.
fn current() -> Rc<RefCell<State>> {
    CURRENT.with_borrow(Clone::clone).expect(
        "no fake host is in place: use the capabilities inside `FakeHost::call`, `revert` or `run`",
    )
}

/// Calls a function of the current fake host, and records the call. The capabilities of this crate do so themselves; the bindings of
/// another package's interface call it when they are compiled for tests:
///
/// ```
/// use cairn_plugin::testing::{FakeHost, ask};
/// use serde_json::json;
///
/// /// In a component this calls the import `acme:tickets/tickets`.
/// fn open(priority: u32) -> Result<u64, cairn_plugin::Error> {
///     let answer = ask("tickets.open", json!({"priority": priority}))?;
///     Ok(answer.as_u64().unwrap_or_default())
/// }
///
/// let host = FakeHost::new().answer("tickets.open", json!(7));
/// assert_eq!(host.run(|| open(3)).unwrap(), 7);
/// assert_eq!(host.calls("tickets.open"), [json!({"priority": 3})]);
/// ```
///
/// # Errors
/// The error that the fake host was scripted to return.
///
/// # Panics
/// If there is no current fake host, or the function has no script and no default answer.
pub fn ask(function: &str, arguments: Value) -> Result<Value, Error> {
    let state = current();
    let answer = {
        let mut state = state.borrow_mut();
        state.calls.push((function.to_owned(), arguments.clone()));
        state.answers.remove(function)
    };
    // The answer is removed from the map while it runs, so that it may itself use the host.
    let Some(mut answer) = answer else {
        return Ok(untold(function, &arguments));
    };
    let result = answer(&arguments);
    state
        .borrow_mut()
        .answers
        .entry(function.to_owned())
        .or_insert(answer);
    result
}

/// Returns the default answer of a function that has no script.
fn untold(function: &str, arguments: &Value) -> Value {
    match function {
        "policy.enforce" | "quota.commit" | "quota.rollback" | "volumes.destroy"
        | "keys.delete" | "records.remove" | "records.add" | "externals.remove" | "rpc.cast"
        | "log.write" => Value::Null,
        "results.get" | "records.get" | "catalog.default-volume-type" | "catalog.qos-specs" => {
            Value::Null
        }
        "results.tasks" => json!([]),
        "records.list" => json!({"entries": [], "next": null}),
        "records.count" => json!(0),
        "zones.valid" => json!(true),
        "zones.default" => json!("nova"),
        "catalog.encrypted" => json!(false),
        "quota.with-volume-type" => arguments["deltas"].clone(),
        _ => panic!(
            "the fake host was not told what `{function}` answers; it was asked with {arguments}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{self, Delta, OverQuota, QuotaError, Usage};
    use crate::{catalog, context, log, results, volumes, zones};

    #[test]
    fn a_call_is_remembered_with_its_arguments() {
        let host = FakeHost::new().answer("volumes.update", json!({"id": "v1", "status": "error"}));
        let row = host
            .run(|| volumes::update("v1", &json!({"status": "error"})))
            .unwrap();
        assert_eq!(row["status"], "error");
        assert_eq!(
            host.calls("volumes.update"),
            [json!({"id": "v1", "changes": {"status": "error"}})]
        );
    }

    #[test]
    fn an_answer_may_depend_on_the_arguments_and_on_the_turn() {
        let mut turn = 0;
        let host = FakeHost::new().on("catalog.volume", move |arguments| {
            turn += 1;
            Ok(json!({"id": arguments["id"], "turn": turn}))
        });
        host.run(|| {
            assert_eq!(catalog::volume("a").unwrap(), json!({"id": "a", "turn": 1}));
            assert_eq!(catalog::volume("b").unwrap(), json!({"id": "b", "turn": 2}));
        });
    }

    #[test]
    fn over_quota_reaches_the_task_as_such() {
        let usage = Usage {
            resource: "volumes".into(),
            limit: Some(1),
            in_use: 1,
            reserved: 0,
        };
        let unlimited = Usage {
            resource: "gigabytes".into(),
            limit: None,
            in_use: 1,
            reserved: 0,
        };
        let over = QuotaError::Over(OverQuota {
            overs: vec!["volumes".into()],
            usages: vec![unlimited, usage],
        });
        let host = FakeHost::new().fail("quota.reserve", over.clone());
        assert_eq!(
            host.run(|| quota::reserve(&[Delta::new("volumes", 1)])),
            Err(over)
        );
    }

    #[test]
    fn an_unknown_resource_and_any_other_error_reach_the_task_as_such() {
        let unknown = QuotaError::UnknownResource(vec!["backups".into()]);
        let host = FakeHost::new().fail("quota.reserve", unknown.clone());
        assert_eq!(host.run(|| quota::reserve(&[])), Err(unknown));

        let host =
            FakeHost::new().fail("quota.commit", Error::new("ServiceUnavailable", "not now"));
        assert!(matches!(
            host.run(|| quota::commit(&[])),
            Err(QuotaError::Other(_))
        ));
    }

    #[test]
    fn an_import_without_a_fake_is_harmless_or_panics() {
        let host = FakeHost::new();
        host.run(|| {
            assert_eq!(zones::default(), "nova");
            assert!(zones::valid("anywhere").unwrap());
            assert_eq!(results::get("name").unwrap(), None);
            assert_eq!(results::tasks().unwrap(), []);
            assert_eq!(context::requester().project_id, "project");
            assert!(!context::quota_committed());
            log::warn("odd");
        });
        assert_eq!(
            host.all_calls().last().unwrap().1,
            json!({"level": "warn", "message": "odd"})
        );
        let panics = std::panic::catch_unwind(|| FakeHost::new().run(|| catalog::volume("v1")));
        assert!(panics.is_err());
        // The host was removed although the work panicked.
        FakeHost::new().run(zones::default);
    }
}
