use std::collections::BTreeMap;

use cairn::plugin::Plugins;

use super::*;
use crate::Folder;
use crate::stage::{Stage, Tasks};

/// Counts the rows of each table that flows write to, by their state.
fn rows(path: &Path) -> BTreeMap<String, i64> {
    let connection = Connection::open(path).unwrap();
    let mut rows = BTreeMap::new();
    // A flow has an additional row in the journal for each batch that was committed, by its age, before the flow ended.
    let journals = "(SELECT sum(length(entries)) AS length FROM journal GROUP BY flow)";
    for (table, state) in [
        ("flows", "state"),
        ("volumes", "status || booked"),
        ("reservations", "resource || state || delta"),
        ("outbox", "state || topic"),
        (
            "quota_usages",
            "resource || '=' || in_use || '+' || reserved",
        ),
        (journals, "length > 500"),
    ] {
        let mut counted = connection
            .prepare(&format!("SELECT {state}, count(*) FROM {table} GROUP BY 1"))
            .unwrap();
        let counted = counted.query_map([], |row| {
            let state: rusqlite::types::Value = row.get(0)?;
            Ok((format!("{table} {state:?}"), row.get::<_, i64>(1)?))
        });
        rows.extend(counted.unwrap().map(Result::unwrap));
    }
    rows
}

#[test]
fn the_recorded_statements_leave_what_flows_leave() {
    let folder = Folder::within(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let plugins = Plugins::new(&cairn::plugin_config()).unwrap();
    for case in Case::ALL {
        let name = case.as_str();
        let flows = folder.database(&format!("flows-{name}"));
        let stage = Stage::open(&flows, case, &plugins, Tasks::Plugins, 1).unwrap();
        let tasks = stage.ready.tasks();
        for _ in 0..4 {
            stage.run_tasks(tasks, stage.ask()).unwrap();
        }
        drop(stage);
        let expected = rows(&flows);
        assert!(expected.len() > 3, "{expected:?}");

        for way in [Way::Statements, Way::Floor] {
            // One flow runs to warm up.
            let path = folder.database(&format!("{way:?}-{name}"));
            let replay = Recording::of(way, case).replay(&path, 3, 2).unwrap();
            assert_eq!(replay.commits, 2, "{way:?} of {name}");
            assert_eq!(rows(&path), expected, "{way:?} of {name}");
        }
    }
}

#[test]
fn a_recording_that_is_damaged_names_its_line() {
    for (text, problem) in [
        ("# x\n    [1]\n", "line 2: parameters without a statement"),
        (
            "SELECT 1\n[batch]\n    [1]\n",
            "line 3: parameters without a statement",
        ),
        ("SELECT ?\n    [1\n", "line 2: EOF"),
        ("SELECT ?\n    [true]\n", "line 2: `true` is no parameter"),
        ("SELECT ?\n    [{\"id\":\"x\"}]\n", "is no parameter"),
        ("SELECT ?\n    [{\"each\":\"x\"}]\n", "is no parameter"),
        (
            "SELECT ?\n    [{\"packed\":\"${x}\"}]\n",
            "`x` is no variable",
        ),
    ] {
        let error = Recording::parse(text).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_recording_reads_what_it_writes() {
    for (way, case) in [Way::Statements, Way::Floor]
        .into_iter()
        .flat_map(|way| Case::ALL.map(|case| (way, case)))
    {
        let written = Recording::of(way, case).to_string();
        let again = Recording::parse(&written).unwrap().to_string();
        assert_eq!(written, again);
        assert!(
            written.contains("{\"packed\":\"["),
            "{way:?} of {}",
            case.as_str()
        );
        let has_batch = written.contains(BATCH);
        assert_eq!(
            has_batch,
            way == Way::Floor && case != Case::OverQuota,
            "{}",
            case.as_str()
        );
    }
}
