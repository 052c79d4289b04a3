//! Parses the cases in the SDK's tutorial.

use std::collections::BTreeSet;
use std::path::Path;

use cairn::plan::Role;
use cairn_laws::Case;

/// Returns the examples in TOML, without comment markers.
fn examples(page: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut example: Option<String> = None;
    for line in page.lines() {
        let line = line.strip_prefix("//!").unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (&mut example, line) {
            (None, "```toml") => example = Some(String::new()),
            (Some(_), "```") => examples.extend(example.take()),
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    examples
}

#[test]
fn each_kind_of_case_in_the_tutorial_can_be_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk/src/tutorial.rs");
    let page = std::fs::read_to_string(path).expect("the tutorial");
    let examples = examples(&page).into_iter();
    let cases: Vec<String> = examples.filter(|text| text.contains("[[case]]")).collect();
    // In the order of their chapters.
    let roles = [Role::Task, Role::Policy, Role::Validator, Role::External];
    assert_eq!(cases.len(), roles.len());
    for (text, role) in cases.iter().zip(roles) {
        let read = Case::parse(text, Path::new("tutorial.rs"), &BTreeSet::from([role]));
        let read = read.unwrap_or_else(|error| panic!("{error} in:\n{text}"));
        assert!(read.len() > 1, "{role:?}");
    }
}
