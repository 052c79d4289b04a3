//! Flows whose host died.

use super::*;

/// Creates the state that a crash leaves: the database is copied while the flow's second task runs.
fn crashed(folder: &std::path::Path) -> (Arc<Sqlite>, cairn::FlowId) {
    let path = folder.join("live.db");
    let live = Arc::new(
        Sqlite::open(
            &path,
            crate::any::config(Default::default()),
            Arc::new(SystemClock),
        )
        .unwrap(),
    );
    let (writer, target) = (Arc::clone(&live), folder.to_owned());
    let flow = flow(
        &live,
        [
            holds("first", 2),
            Step::new(TaskSpec::new("second"), move |context, _| {
                reserve(context, 1)?;
                cairn::Store::barrier(&*writer, context.call().flow)?;
                for suffix in ["", "-wal"] {
                    let from = target.join(format!("live.db{suffix}"));
                    std::fs::copy(from, target.join(format!("crashed.db{suffix}"))).unwrap();
                }
                Ok(Value::Null)
            }),
        ],
    );
    flow.run().unwrap();
    let path = folder.join("crashed.db");
    let store = Sqlite::open(
        &path,
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
    )
    .unwrap();
    (Arc::new(store), flow.id())
}

#[test]
fn a_flow_whose_host_died_is_rolled_back_or_goes_on() {
    use cairn::flow::Recovery;
    for (how, state, left) in [
        (Recovery::Rollback, FlowState::Failure, 0),
        (Recovery::Resume, FlowState::Success, 2 + 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = crashed(folder.path());
        assert_eq!(
            reserved(&store),
            2 + 1,
            "the effect of the open call is on disk"
        );
        let journal = cairn::Store::load(&*store, id).unwrap();
        let flow = Flow::restore(id, Arc::clone(&store) as _, &journal).unwrap();
        let known = flow.history();
        assert_eq!(states(&flow), [TaskState::Success, TaskState::Started]);
        let runs = Arc::new(Mutex::new(Vec::new()));
        for name in ["first", "second"] {
            let runs = Arc::clone(&runs);
            let step = Step::new(TaskSpec::new(name), move |context, _| {
                runs.lock().unwrap().push(name);
                reserve(context, 1)?;
                Ok(Value::Null)
            });
            let id = known
                .tasks
                .iter()
                .find(|task| task.name == name)
                .map(|task| task.id);
            flow.add_with(
                Arc::new(step),
                TaskOptions {
                    id,
                    ..TaskOptions::default()
                },
            )
            .unwrap();
        }
        let result = flow.recover(how);
        assert!(
            matches!(result, Ok(()) | Err(FlowError::Failed(_))),
            "{result:?}"
        );
        assert_eq!((flow.state(), reserved(&store)), (state, left));
        let expected: &[&str] = if how == Recovery::Resume {
            &["second"]
        } else {
            &[]
        };
        assert_eq!(
            *runs.lock().unwrap(),
            expected,
            "only the task that was running is called again"
        );
    }
}
