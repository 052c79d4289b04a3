//! Checks that the runbook has a section for each alert, and that its commands exist.

use std::collections::BTreeSet;
use std::fs;

use acceptance::commands::{blocks, words};
use acceptance::program::{Program, repository};

fn page(path: &str) -> String {
    fs::read_to_string(repository(path)).expect("a page")
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let runbook = page("host/docs/runbook.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    // As GitHub makes them.
    let anchors: BTreeSet<String> = headings
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-';
            let text: String = heading.to_lowercase().chars().filter(kept).collect();
            text.replace(' ', "-")
        })
        .collect();
    let alerts = page("examples/alerts.yml");
    let named = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: host/docs/runbook.md#"));
    let named: Vec<&str> = named.collect();
    assert_eq!(named.len(), alerts.matches("- alert: ").count());
    for anchor in named {
        assert!(
            anchors.contains(anchor),
            "#{anchor} is none of {anchors:#?}"
        );
    }
}

/// Returns the commands of a page that run `cairn`: lines of its blocks, and code in its text.
fn commands(page: &str) -> Vec<String> {
    let blocks = blocks(page).into_iter();
    let blocks: Vec<String> = blocks.map(|block| block.text).collect();
    let lines: Vec<String> = blocks
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned))
        .collect();
    let text = page.split("```").step_by(2).collect::<Vec<_>>().concat();
    let inline = text.split('`').skip(1).step_by(2).map(str::to_owned);
    let all = lines.into_iter().chain(inline);
    let commands = all.filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        // What follows would be a command of its own.
        let line = line.split(" > ").next().unwrap_or_default();
        let is_one = line.starts_with("cairn ") && !line.contains('|') && !line.contains('…');
        is_one.then(|| line.to_owned())
    });
    commands.collect()
}

#[test]
fn the_commands_of_the_runbook_and_of_the_package_exist_with_their_options() {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let pages = ["host/docs/runbook.md", "host/package/README.md"];
    let commands: BTreeSet<String> = pages
        .iter()
        .flat_map(|path| commands(&page(path)))
        .collect();
    assert!(commands.len() > 40, "{commands:#?}");
    for command in commands {
        let words = words(&command.replace(" ID", " 01a22bc0-06de"));
        let arguments = words[1..].iter().map(String::as_str);
        let arguments: Vec<&str> = arguments.chain(["--help"]).collect();
        let run = program.run(&arguments);
        assert_eq!(run.exit, 0, "`{command}`: {}", run.stderr);
    }
}
