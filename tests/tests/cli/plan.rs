use acceptance::program::volume_create;

use super::program;

#[test]
fn a_table_names_providers_digests_and_grants() {
    let program = program();
    let plan = program.json(&["plan", &volume_create(), "--format", "json"]);
    let table = program.run(&["plan", &volume_create()]).exits(0).stdout;
    let line = |start: &[&str]| {
        let found = table.lines().find(|line| {
            line.split_whitespace()
                .take(start.len())
                .eq(start.iter().copied())
        });
        found.unwrap_or_else(|| panic!("{start:?} is not in:\n{table}"))
    };
    for task in plan["tasks"].as_array().unwrap() {
        let name = task["name"].as_str().unwrap();
        let number = 1 + plan["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .position(|other| other == task)
            .unwrap();
        let summary = line(&[&number.to_string(), name, "1.0", &format!("builtin:{name}")]);
        assert!(
            summary.ends_with(task["digest"].as_str().unwrap()),
            "{summary}"
        );
        for grant in task["grants"].as_object().unwrap().keys() {
            assert!(summary.contains(grant), "{grant} is not in {summary}");
        }
        for input in task["requires"].as_array().unwrap() {
            line(&[
                &number.to_string(),
                name,
                input[0].as_str().unwrap(),
                input[1].as_str().unwrap(),
            ]);
        }
    }
    line(&["4", "entry-create", "reservations", "quota-reserve"]);
    line(&["6", "on-failure-change-status", "volume_spec?", "-"]);
    assert!(!program.has_database(), "a plan needs no database");
}

#[test]
fn a_plan_has_a_digest_and_a_diagram() {
    let program = program();
    let plan = program.json(&["plan", &volume_create(), "--format", "json"]);
    assert_eq!(plan["digest"].as_str().map(str::len), Some(64));
    assert_eq!(plan["name"], "volume_create_api");
    let diagram = program
        .run(&["plan", &volume_create(), "--format", "mermaid"])
        .exits(0)
        .stdout;
    assert!(diagram.starts_with("flowchart TD\n"), "{diagram}");
    assert_eq!(diagram.matches("[\"").count(), 7, "a box for each task");
}

#[test]
fn a_limit_above_the_operators_ceiling_is_refused_and_a_default_yields_to_it() {
    let program = program();
    let manifest = |limits: &str| {
        format!(
            "[flow]\nname = \"f\"\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = {{ provides = [] }}\n{limits}\n\
             [[task]]\nplugin = \"inject\"\n"
        )
    };
    program
        .write("cairn.toml", "[limits]\nmemory = '8MiB'\n")
        .write("flow.toml", manifest("limits = { memory = '16MiB' }"));
    program.run(&["plan", "flow.toml"]).exits(2).says(&[
        "`plugins.inject.limits.memory` is 16.0 MiB, and the operator allows at most 8.0 MiB",
        "flow.toml:6",
        "raise `memory` in [limits] of the operator's cairn.toml",
    ]);
    program.write("flow.toml", manifest(""));
    let plan = program.json(&["plan", "flow.toml", "--format", "json"]);
    assert_eq!(plan["tasks"][0]["limits"]["memory"], 8 << 20);
    assert_eq!(plan["tasks"][0]["limits"]["host_calls"], 10_000);
    let table = program.run(&["plan", "flow.toml"]).exits(0).stdout;
    let memory = table.lines().find(|line| line.starts_with("memory "));
    let memory = memory.map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(
        memory.unwrap(),
        ["memory", "64.0", "MiB", "inject", "8.0", "MiB"]
    );
}
