//! `cairn init`, and how somebody who names too little is led to it.

use std::fs;

use acceptance::program::{Program, end, repository};

use super::program;

const FILES: [&str; 3] = ["README.md", "flow.toml", "request.json"];

/// The names in a folder of the program's, sorted.
fn names(program: &Program, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(program.path(folder)).expect("the folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_first_flow_runs_as_it_is_written() {
    for (folder, is_there, more) in [
        ("demo", false, &[][..]),
        ("deep/er", false, &["--example", "volume-create"]),
        ("empty", true, &[]),
        (".", true, &[]),
    ] {
        let program = program();
        if is_there {
            fs::create_dir_all(program.path(folder)).expect("the folder can be made");
        }
        let mut init = vec!["init"];
        // The working folder is what is meant when none is named.
        init.extend((folder != ".").then_some(folder));
        init.extend(more);
        let run = program.run(&init).exits(0);
        let next = match folder {
            "." => String::new(),
            folder => format!("cd {folder}\n"),
        };
        assert_eq!(
            run.stdout,
            format!(
                "wrote {}\n\n{next}cairn run flow.toml --input request.json\n",
                FILES.join(", ")
            )
        );
        assert_eq!(run.stderr, "");
        assert_eq!(names(&program, folder), FILES, "{folder}");

        let mut command = program.command(&["run", "flow.toml", "--input", "request.json"]);
        let run = command.current_dir(program.path(folder)).spawn();
        let run = end(run.expect("the program starts")).exits(0);
        assert!(run.stdout.contains("\nvolume    "), "{}", run.stdout);
    }
}

#[test]
fn the_first_flow_is_the_repositorys_own_with_ten_lines_about_it() {
    let program = program();
    program.run(&["init", "demo"]).exits(0);
    let read = |name: &str| fs::read_to_string(name).expect("a file");
    for name in ["flow.toml", "request.json"] {
        let own = read(&repository(&format!("examples/volume-create/{name}")));
        let path = program.path(&format!("demo/{name}"));
        assert_eq!(read(path.to_str().expect("a path")), own, "{name}");
    }
    let readme = program.path("demo/README.md");
    let readme = read(readme.to_str().expect("a path"));
    assert_eq!(readme.lines().count(), 10, "{readme}");
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_half_done() {
    let program = program();
    fs::create_dir(program.path("mine")).expect("the folder can be made");
    program
        .write("mine/request.json", "{}")
        .write("file", "a file");
    let run = program.run(&["init", "mine"]).exits(2);
    run.says(&["there already: request.json", "--> mine"]);
    assert_eq!(names(&program, "mine"), ["request.json"]);
    let request = fs::read_to_string(program.path("mine/request.json"));
    assert_eq!(request.expect("a file"), "{}");
    // A name that is longer than a name may be: the folder above it was made, and goes again.
    let long = format!("above/{}", "n".repeat(300));
    for folder in [long.as_str(), "file", "file/below"] {
        let run = program.run(&["init", folder]).exits(2);
        run.says(&["cannot be written"]);
    }
    program.run(&["init", ""]).exits(2);
    program.run(&["init", "x", "--example", "none"]).exits(2);
    assert_eq!(names(&program, "."), ["file", "mine"]);
}

#[test]
fn a_command_line_that_names_no_flow_leads_to_a_first_one() {
    let program = program();
    let first = "cairn init demo";
    for arguments in [
        &[][..],
        &["run"],
        &["plan"],
        &["run", "--json"],
        &["--db", "x.db"],
    ] {
        let run = program.run(arguments).exits(2).says(&[first]);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    // Other arguments that are missing have nothing to do with it.
    let run = program.run(&["flows", "show"]).exits(2);
    assert!(!run.stderr.contains(first), "{}", run.stderr);
    program.run(&["init"]).exits(0);
    program
        .run(&["run"])
        .exits(2)
        .says(&["there is a flow here: name `flow.toml`"]);
    assert!(!program.has_database());
}
