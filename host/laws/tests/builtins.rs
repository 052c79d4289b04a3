//! The built-in plugins keep the laws in all of their cases.

use std::collections::BTreeSet;
use std::path::Path;

use cairn::plan::Role;
use cairn::plugin::Plugins;
use cairn_laws::{Case, Law, Subject, Tools, test};

#[test]
fn every_built_in_plugin_does_what_its_cases_say_and_keeps_every_law() {
    let tools = Tools {
        plugins: Plugins::new(&cairn::plugin_config()).unwrap(),
        builtins: cairn_bundle::PLUGINS.to_vec(),
        domains: Vec::new(),
        folder: std::env::temp_dir(),
    };
    let mut problems = Vec::new();
    for (name, _) in cairn_bundle::PLUGINS {
        let cases = cairn_bundle::cases(name).unwrap();
        let cases = Case::parse(cases, Path::new(name), &BTreeSet::from([Role::Task])).unwrap();
        let tested = test(&tools, &Subject::builtin(name), &cases, &Law::ALL).unwrap();
        assert_eq!(tested.cases.len(), cases.len());
        let tried: Vec<usize> = tested.cases.iter().map(|case| case.laws.len()).collect();
        assert_eq!(tried, vec![6; cases.len()], "every law of tasks");
        let wrong = tested.cases.into_iter().filter(|case| !case.is_ok());
        problems.extend(wrong.map(|case| format!("{name}: {case:#?}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
