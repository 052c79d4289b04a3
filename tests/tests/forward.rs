//! Flows that only go forward, as an operator sees them: what each waits for, why it is not rolled back, and how it is ended.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use acceptance::program::Program;
use cairn::audit::Asker;
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::host::{Dispatched, Hindrance};
use cairn::plugin::Plugins;
use cairn::records::{self, Expect, RecordPut};
use cairn::store::operation::Operation;
use cairn::task::{Unwanted, Wanted};
use cairn::{
    Context, Domains, FlowId, Host, Identity, Manifest, Object, Report, Sqlite, SqliteConfig,
    Submission, Task, TaskError, TaskSpec, Value, Verdict, volumes,
};
use serde_json::json;

/// What a task does.
enum Work {
    /// Makes an object, and returns its id as `id`.
    Makes,
    /// Removes the object that the request names.
    Removes,
    /// Does so once another thread is there, too.
    RemovesLater(Arc<Barrier>),
    /// Waits until another flow is there, too.
    Meets(Barrier),
    /// Puts a record with this key.
    Puts(&'static str),
}

struct Step(TaskSpec, Work);

impl Task for Step {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
        match &self.1 {
            Work::Meets(barrier) => {
                barrier.wait();
                Ok(Value::Null)
            }
            Work::Makes => context.make_external(&Wanted {
                provider: "store",
                kind: "object",
                label: "main",
                spec: &Value::Null,
            }),
            Work::Removes | Work::RemovesLater(_) => {
                if let Work::RemovesLater(barrier) = &self.1 {
                    barrier.wait();
                }
                let id = context.request()["id"].as_str().unwrap_or_default();
                context.remove_external(&Unwanted {
                    provider: "store",
                    kind: "object",
                    id,
                })?;
                Ok(Value::Null)
            }
            Work::Puts(key) => {
                context.apply(&RecordPut {
                    collection: "c".to_owned(),
                    key: (*key).to_owned(),
                    value: json!(1),
                    expect: Expect::Any,
                })?;
                Ok(Value::Null)
            }
        }
    }
}

/// A provider whose objects are nowhere, and whose result is the object's id.
struct Nowhere;

impl External for Nowhere {
    fn look(&self, _: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        Ok(Presence::Absent)
    }

    fn make(&self, object: &ExternalObject, _: &Value, _: &ActLog) -> Result<Value, ActError> {
        Ok(json!({"id": object.id}))
    }

    fn remove(&self, _: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        Ok(())
    }

    fn list(&self, _: &str, _: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        Ok(Vec::new())
    }
}

const SETTINGS: &str = "[records.c]\n";

fn host(folder: &Path, later: &Arc<Barrier>) -> Host {
    let settings = records::Settings::parse(SETTINGS, Path::new("cairn.toml"));
    let settings = settings.expect("they are right");
    let config = SqliteConfig {
        domains: Domains::new([
            volumes::domain(volumes::Settings::default()),
            records::domain(settings),
        ])
        .expect("two domains"),
        ..SqliteConfig::default()
    };
    let store = Sqlite::open(&folder.join("cairn.db"), config, Arc::new(SystemClock));
    let plugins = Plugins::new(&cairn::plugin_config()).expect("this machine runs the sandbox");
    let mut builder = Host::builder(Arc::new(store.expect("it opens")), plugins).workers(2);
    for (name, work) in [
        ("makes", Work::Makes),
        ("removes", Work::Removes),
        ("removes-later", Work::RemovesLater(Arc::clone(later))),
        ("meets", Work::Meets(Barrier::new(2))),
        ("puts-a", Work::Puts("a")),
        ("puts-b", Work::Puts("b")),
    ] {
        let spec = TaskSpec::new(name);
        let spec = match work {
            Work::Makes => spec.provides(["id"]),
            _ => spec,
        };
        builder = builder.native(Arc::new(Step(spec, work)));
    }
    let host = builder.external("store", Arc::new(Nowhere)).build();
    host.expect("it starts")
}

/// Submits a flow of these tasks, of which `removes` is the pivot.
fn submit(host: &Host, tasks: &[&str], request: Value) -> cairn::host::Submitted {
    let mut text = "[flow]\nname = 'f'\n".to_owned();
    for task in tasks {
        text += &format!("[plugins.{task}]\nbuiltin = '{task}'\n");
    }
    for task in tasks {
        let pivot = ["", "pivot = true\n"][usize::from(task.starts_with("removes"))];
        text += &format!("[[task]]\nplugin = '{task}'\n{pivot}");
    }
    let manifest = Manifest::parse(&text, Path::new("flow.toml"), &cairn::grant_kinds());
    let plan = host.plan(&manifest.expect("it is right")).expect("a plan");
    let submission = Submission {
        plan: host.ready(&plan).expect("its tasks are there"),
        requester: Identity::new("ann", "acme"),
        request: Ok(request),
        key: None,
    };
    host.submit(submission).expect("there is room")
}

/// Makes an object, and returns a request to remove it.
fn made(host: &Host) -> Value {
    let report = submit(host, &["makes"], json!({})).wait().expect("it runs");
    json!({"id": report.tasks[0].result["id"]})
}

/// Waits until flows sleep.
fn asleep(host: &Host, flows: &[FlowId]) {
    let begun = Instant::now();
    for id in flows {
        while !host
            .report(*id)
            .is_ok_and(|report| report.flow.sleep.is_some())
        {
            assert!(begun.elapsed() < Duration::from_secs(60), "{id}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn flows_that_wait_for_each_others_keys_are_listed_with_their_circle_and_are_ended_by_an_operator()
{
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program.write("cairn.toml", SETTINGS);
    let host = host(&program.path("."), &Arc::new(Barrier::new(1)));
    let requests = [made(&host), made(&host)];
    let [one, other] = requests;
    // Each holds its first key before its pivot, and wants that of the other one behind it.
    let one = submit(&host, &["puts-a", "meets", "removes", "puts-b"], one).id();
    let other = submit(&host, &["puts-b", "meets", "removes", "puts-a"], other).id();
    asleep(&host, &[one, other]);

    let rows = program.json(&["flow", "list", "--forward", "--json"]);
    let rows = rows.as_array().expect("a list");
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in rows {
        let [id, holder] = match row["id"] == one.to_string() {
            true => [one, other],
            false => [other, one],
        };
        assert_eq!(row["id"], id.to_string());
        assert_eq!(row["waits_for"], holder.to_string(), "{row}");
        assert_eq!(
            (&row["circle"], &row["forward"]),
            (&json!(true), &json!(true))
        );
    }
    let table = program.run(&["flow", "list", "--forward"]).exits(0).stdout;
    assert!(table.contains("RUNNING (forward)"), "{table}");
    assert!(table.contains("which waits for it"), "{table}");

    let id = one.to_string();
    let shown = program.run(&["flow", "show", &id]).exits(0).stdout;
    assert!(shown.contains("has passed its pivot"), "{shown}");
    assert!(shown.contains("Busy"), "{shown}");

    let rollback = Operation::Rollback {
        reason: "it hangs".to_owned(),
    };
    let refused = host
        .operate(one, &rollback, &Asker::new("ann", "test"))
        .expect_err("it is past its pivot");
    assert_eq!(refused.hindrance(), Hindrance::Refused, "{refused}");
    let accept = Operation::Accept {
        user_id: "ann".to_owned(),
        reason: "done by hand".to_owned(),
    };
    let Dispatched::Here(report) = host
        .operate(one, &accept, &Asker::new("ann", "test"))
        .expect("it sleeps")
    else {
        panic!("another process owns it");
    };
    let rollback = report.rollback.expect("it has ended");
    assert_eq!(rollback.verdict, Verdict::Residue, "{rollback:?}");
    // The other one gets the key, and goes through.
    let begun = Instant::now();
    while host.report(other).expect("a report").flow.state != FlowState::Success {
        assert!(begun.elapsed() < Duration::from_secs(60));
        host.wake_due(false).expect("the database works");
        std::thread::sleep(Duration::from_millis(50));
    }
    let rows = program.json(&["flow", "list", "--forward", "--json"]);
    assert_eq!(rows, json!([]));
}

#[test]
fn a_rollback_that_comes_too_late_is_refused_and_the_flow_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let barrier = Arc::new(Barrier::new(2));
    let host = host(folder.path(), &barrier);
    let request = made(&host);
    let id = submit(&host, &["removes-later", "puts-a"], request).id();
    let until = |is_so: &dyn Fn(&Report) -> bool| {
        let begun = Instant::now();
        while !host.report(id).is_ok_and(|report| is_so(&report)) {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(&|report| !report.tasks.is_empty());
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            host.operate(
                id,
                &Operation::Rollback {
                    reason: "stop".to_owned(),
                },
                &Asker::new("ann", "test"),
            )
        });
        until(&|report| report.flow.state == FlowState::Interrupted);
        // It removes its object after it was asked to roll back.
        barrier.wait();
        let refused = asked.join().expect("no panic").expect_err("it is too late");
        assert_eq!(refused.hindrance(), Hindrance::Refused, "{refused}");
    });
    until(&|report| report.flow.state == FlowState::Success);
}
