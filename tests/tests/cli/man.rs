//! Manual pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use acceptance::tools::not_run;

use super::program;

/// Returns the names of the files in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let program = program();
    let run = program.run(&["man", "share/man1"]).exits(0);
    let names = names(&program.path("share/man1"));
    assert_eq!(run.stdout, format!("wrote {} manual pages\n", names.len()));
    for page in [
        "cairn.1",
        "cairn-run.1",
        "cairn-flow-list.1",
        "cairn-serve.1",
    ] {
        assert!(names.iter().any(|name| name == page), "{page}: {names:?}");
    }
    // The program alone runs that command.
    assert!(!names.iter().any(|name| name.contains("compile-component")));
    let page = fs::read_to_string(program.path("share/man1/cairn-run.1")).expect("a page");
    let help = program.run(&["run", "--help"]).exits(0).stdout;
    for option in ["no-wait", "key", "jsonl", "db"] {
        assert!(help.contains(&format!("--{option}")), "{option}");
        let written = format!("--{option}").replace('-', "\\-");
        assert!(page.contains(&written), "{option}: {page}");
    }
    // What the short help hides is explained.
    let zone = page.split("\\-\\-zone\\fR").nth(2).expect("its option");
    assert!(
        zone.lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("Zone of volumes")),
        "{zone}"
    );
}

#[test]
fn pages_are_replaced_and_other_files_are_kept() {
    let program = program();
    program.run(&["man", "pages"]).exits(0);
    let page = program.path("pages/cairn-plan.1");
    let text = fs::read_to_string(&page).expect("a page");
    program.write("pages/cairn-plan.1", format!("{text}of an earlier version"));
    program.write("pages/other.1", "mine");
    program.run(&["man", "pages"]).exits(0);
    assert_eq!(fs::read_to_string(&page).expect("a page"), text);

    program.write("pages/cairn-run.1", "mine");
    fs::remove_file(&page).expect("the folder is ours");
    program.run(&["man", "pages"]).exits(2).says(&[
        "no manual page of Cairn: cairn-run.1",
        "nothing was changed",
    ]);
    assert!(!page.exists());
    let kept = |name: &str| fs::read_to_string(program.path(name)).expect("it is kept");
    assert_eq!(kept("pages/cairn-run.1"), "mine");
    assert_eq!(kept("pages/other.1"), "mine");

    program.write("file", "");
    program.run(&["man", "file"]).exits(2).says(&["file"]);
}

#[test]
fn groff_renders_each_page_without_a_warning() {
    let test = "groff_renders_each_page_without_a_warning";
    if let Err(error) = Command::new("groff").arg("--version").output() {
        return not_run(test, "groff (groff-base)", &error.to_string());
    }
    let program = program();
    program.run(&["man", "pages"]).exits(0);
    let names = names(&program.path("pages"));
    let rendered = Command::new("groff")
        .args(["-man", "-Tutf8", "-K", "utf8", "-ww", "-P-cbou"])
        .args(&names)
        .current_dir(program.path("pages"))
        .output()
        .expect("groff is there");
    let warnings = String::from_utf8_lossy(&rendered.stderr);
    assert_eq!(warnings, "");
    assert!(rendered.status.success());
    let text = String::from_utf8(rendered.stdout).expect("UTF-8");
    let titles = text.matches("SYNOPSIS").count();
    assert_eq!(titles, names.len(), "each page has its sections");
}
