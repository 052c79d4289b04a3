//! Measures the parts of a flow's cost separately, to compare before and after a change of one of them.
//! Run `cargo bench -p cairn-bench`; with `-- --test` each part runs once.

use std::error::Error;
use std::sync::Arc;

use cairn::effect::Caller;
use cairn::error::Cause;
use cairn::event::{Event, LogLevel};
use cairn::id::{CallId, Phase};
use cairn::plugin::Plugins;
use cairn::volumes::VolumeUpdate;
use cairn::volumes::operator::OperateVolumes as _;
use cairn::{FlowId, Object, TaskError, TaskId, Value};
use cairn_bench::calls::Both;
use cairn_bench::stage::{Stage, Tasks};
use cairn_bench::{Case, Folder};
use criterion::{BatchSize, Criterion};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let plugins = Plugins::new(&cairn::plugin_config())?;
    calls(&mut criterion, &plugins)?;
    let stage = Stage::in_memory(Case::Success, &plugins)?;
    effect(&mut criterion, &stage)?;
    plan(&mut criterion, &stage)?;
    rollback(&mut criterion, &stage)?;
    commit(&mut criterion, &plugins)?;
    criterion.final_summary();
    Ok(())
}

/// Measures the seven calls of a flow, each in a fresh instance, without a store.
fn calls(criterion: &mut Criterion, plugins: &Arc<Plugins>) -> Result<(), Box<dyn Error>> {
    let both = Both::new(plugins)?;
    criterion.bench_function("seven calls, by the engine", |bencher| {
        let inputs = || (0..both.len()).map(|task| both.inputs(task)).collect();
        let call = |inputs: Vec<Object>| {
            for (task, inputs) in inputs.into_iter().enumerate() {
                both.call_engine(task, inputs)
                    .expect("it was called before");
            }
        };
        bencher.iter_batched(inputs, call, BatchSize::SmallInput);
    });
    criterion.bench_function("seven calls, by a bare loop", |bencher| {
        bencher.iter(|| {
            for task in 0..both.len() {
                both.call_bare(task).expect("it was called before");
            }
        });
    });
    Ok(())
}

/// Creates a flow in the store, with one call in progress.
fn open_call(stage: &Stage) -> Result<CallId, Box<dyn Error>> {
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let created = Event::Created {
        name: "part".to_owned(),
        requester: stage.requester().clone(),
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    };
    let started = Event::Started {
        task: call.task,
        name: "part".to_owned(),
        attempt: call.attempt,
    };
    let store = stage.host.store();
    store.append(call.flow, &[created, started])?;
    Ok(call)
}

/// Measures one effect and its entry in the journal: a change of a volume's status.
fn effect(criterion: &mut Criterion, stage: &Stage) -> Result<(), Box<dyn Error>> {
    let store = stage.host.store();
    let volume = store.admin(stage.requester(), |admin| {
        let mut properties = Object::new();
        properties.insert("size".to_owned(), 1.into());
        admin.create_volume(properties)
    })?;
    let id = volume["id"].as_str().unwrap_or_default().to_owned();
    let by = Caller {
        call: Some(open_call(stage)?),
        requester: stage.requester(),
    };
    let mut changes = Object::new();
    changes.insert("status".to_owned(), "available".into());
    let effect = VolumeUpdate { id, changes };
    criterion.bench_function("one effect", |bencher| {
        bencher.iter(|| store.apply_dyn(by, &effect).expect("the volume is there"));
    });
    Ok(())
}

/// Measures planning a manifest whose plugins were loaded and described before.
fn plan(criterion: &mut Criterion, stage: &Stage) -> Result<(), Box<dyn Error>> {
    let manifest = stage.case.manifest()?;
    criterion.bench_function("plan", |bencher| {
        bencher.iter(|| stage.host.plan(&manifest).expect("it was planned before"));
    });
    Ok(())
}

/// Measures the rollback of a flow whose seven plugins succeeded.
fn rollback(criterion: &mut Criterion, stage: &Stage) -> Result<(), Box<dyn Error>> {
    let tasks = stage.ready.tasks();
    let cause = Cause {
        task: "volume-cast".to_owned(),
        error: TaskError::new("CastFailed", "nobody listens"),
    };
    criterion.bench_function("rollback", |bencher| {
        let run = || {
            let flow = stage.flow(tasks, stage.ask()).expect("it does not run");
            flow.run().expect("it succeeds");
            flow
        };
        bencher.iter_batched(
            run,
            |flow| flow.rollback(&cause).expect("it can be rolled back"),
            BatchSize::SmallInput,
        );
    });
    Ok(())
}

/// Measures one event of one flow until it is on disk.
fn commit(criterion: &mut Criterion, plugins: &Arc<Plugins>) -> Result<(), Box<dyn Error>> {
    let folder = Folder::within(&std::env::temp_dir())?;
    let stage = Stage::open(
        &folder.database("commit"),
        Case::Success,
        plugins,
        Tasks::Plugins,
        1,
    )?;
    let store = stage.host.store();
    let call = open_call(&stage)?;
    let event = Event::Log {
        task: call.task,
        level: LogLevel::Info,
        message: "still here".to_owned(),
    };
    criterion.bench_function("commit", |bencher| {
        bencher.iter(|| {
            store
                .append(call.flow, std::slice::from_ref(&event))
                .and_then(|_| store.barrier(call.flow))
                .expect("the disk accepts writes");
        });
    });
    Ok(())
}
