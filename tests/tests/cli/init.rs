//! `cairn init`, and the hints to it in errors about missing arguments.

use std::fs;

use acceptance::program::{Program, Run, end, repository};

use super::program;

const FILES: [&str; 4] = ["README.md", "cairn.toml", "flow.toml", "request.json"];

/// The files of the volume example.
const OF_VOLUMES: [&str; 3] = ["README.md", "flow.toml", "request.json"];

/// Returns the names in a folder of the program's, sorted.
fn names(program: &Program, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(program.path(folder)).expect("the folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

/// Runs the program in the folder to which an example was written or copied.
fn run_in(program: &Program, folder: &str, arguments: &[&str]) -> Run {
    let mut command = program.command(arguments);
    let run = command.current_dir(program.path(folder)).spawn();
    end(run.expect("the program starts"))
}

#[test]
fn a_first_flow_runs_as_it_is_written() {
    for (folder, is_there, more) in [
        ("demo", false, &[][..]),
        ("deep/er", false, &["--example", "hello"]),
        ("empty", true, &[]),
        (".", true, &[]),
    ] {
        let program = program();
        if is_there {
            fs::create_dir_all(program.path(folder)).expect("the folder can be made");
        }
        let mut init = vec!["init"];
        // The working folder is the default.
        init.extend((folder != ".").then_some(folder));
        init.extend(more);
        let run = program.run(&init).exits(0);
        let next = match folder {
            "." => String::new(),
            folder => format!("cd {folder}\n"),
        };
        let ada = r#"{"name": "Ada"}"#;
        let fails = r#"{"name": "fail"}"#;
        assert_eq!(
            run.stdout,
            format!(
                "wrote {}\n\n{next}cairn run flow.toml --input '{ada}'\ncairn run flow.toml --input '{fails}'   # fails, and is rolled back\n",
                FILES.join(", ")
            )
        );
        assert_eq!(run.stderr, "");
        assert_eq!(names(&program, folder), FILES, "{folder}");

        for request in [ada, "request.json"] {
            let run = run_in(&program, folder, &["run", "flow.toml", "--input", request]).exits(0);
            let made = "made      record demo/greetings/Hello Ada";
            assert!(run.stdout.contains("SUCCESS"), "{}", run.stdout);
            assert!(
                run.stdout.contains(made) || request != ada,
                "{}",
                run.stdout
            );
        }
        let run = run_in(&program, folder, &["run", "flow.toml", "--input", fails]).exits(3);
        for line in [
            "NameRefused",
            "rollback  clean: ",
            "reverted  hello;greet",
            "undone    ",
        ] {
            assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
        }
        let records = ["record", "list", "greetings", "--json"];
        let records = run_in(&program, folder, &records).exits(0).json();
        let keys: Vec<_> = records
            .as_array()
            .expect("a list")
            .iter()
            .map(|record| record["key"].clone())
            .collect();
        assert_eq!(keys, ["Goodbye Ada", "Hello Ada"]);
    }
}

#[test]
fn the_files_work_where_they_are_copied_to() {
    let program = program();
    program.run(&["init", "demo"]).exits(0);
    fs::create_dir(program.path("copy")).expect("the folder can be made");
    for name in FILES {
        fs::copy(
            program.path(&format!("demo/{name}")),
            program.path(&format!("copy/{name}")),
        )
        .expect("it can be copied");
    }
    fs::remove_dir_all(program.path("demo")).expect("it can be removed");
    run_in(
        &program,
        "copy",
        &["run", "flow.toml", "--input", "request.json"],
    )
    .exits(0);
}

#[test]
fn the_example_of_volumes_is_the_repositorys_own_with_ten_lines_about_it() {
    let program = program();
    let init = ["init", "demo", "--example", "volume-create"];
    let run = program.run(&init).exits(0);
    assert_eq!(
        run.stdout,
        format!(
            "wrote {}\n\ncd demo\ncairn run flow.toml --input request.json\n",
            OF_VOLUMES.join(", ")
        )
    );
    assert_eq!(names(&program, "demo"), OF_VOLUMES);
    let read = |name: &str| fs::read_to_string(name).expect("a file");
    for name in ["flow.toml", "request.json"] {
        let own = read(&repository(&format!("examples/volume-create/{name}")));
        let path = program.path(&format!("demo/{name}"));
        assert_eq!(read(path.to_str().expect("a path")), own, "{name}");
    }
    let readme = program.path("demo/README.md");
    let readme = read(readme.to_str().expect("a path"));
    assert_eq!(readme.lines().count(), 10, "{readme}");
    let run = run_in(
        &program,
        "demo",
        &["run", "flow.toml", "--input", "request.json"],
    )
    .exits(0);
    assert!(run.stdout.contains("\nvolume    "), "{}", run.stdout);
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_half_done() {
    let program = program();
    fs::create_dir(program.path("mine")).expect("the folder can be made");
    program
        .write("mine/request.json", "{}")
        .write("file", "a file");
    let run = program.run(&["init", "mine"]).exits(2);
    run.says(&["already there: request.json", "--> mine"]);
    assert_eq!(names(&program, "mine"), ["request.json"]);
    let request = fs::read_to_string(program.path("mine/request.json"));
    assert_eq!(request.expect("a file"), "{}");
    // The name exceeds the limit for file names: the folder above it was created, and must be removed again.
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
    // Other missing arguments do not cause the hint.
    let run = program.run(&["flows", "show"]).exits(2);
    assert!(!run.stderr.contains(first), "{}", run.stderr);
    program.run(&["init"]).exits(0);
    program
        .run(&["run"])
        .exits(2)
        .says(&["there is a flow in this folder: name `flow.toml`"]);
    assert!(!program.has_database());
}
