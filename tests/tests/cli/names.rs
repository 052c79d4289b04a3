//! Paths of the database: all paths to it lead to the same locks, components and key, and a path that is not a file name is refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use acceptance::program::{Program, Run, end, repository};
use acceptance::stream::Stream;
use acceptance::tools::not_run;
use serde_json::json;

use super::{create, program};

const SEALED: &str = r#"{"size": 1, "volume_type": "sealed"}"#;

/// Returns the names of the files in the program's folder.
fn files(program: &Program) -> Vec<String> {
    let entries = fs::read_dir(program.path("")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_path_with_a_link_leads_to_the_same_locks_and_key() {
    let program = program();
    program
        .run(&["types", "create", "sealed", "--encrypt", "luks"])
        .exits(0);
    fs::create_dir(program.path("links")).unwrap();
    symlink("../cairn.db", program.path("links/one.db")).unwrap();
    symlink("links", program.path("folder")).unwrap();
    symlink("folder/one.db", program.path("two.db")).unwrap();
    let mut runner = Stream::start(&program, &[]);
    runner.succeeds();
    for name in [
        "links/one.db",
        "folder/one.db",
        "two.db",
        "links/../cairn.db",
    ] {
        let taken_up = program.json(&["--db", name, "recover", "--json"]);
        assert_eq!(taken_up, json!([]), "{name}");
        create(&program, SEALED, &["--db", name], 0);
        runner.succeeds();
    }
    runner.end().exits(0);
    program.run(&["quota", "check", "--admin"]).exits(0);
    // All of them use the same master key.
    create(&program, SEALED, &[], 0);
    let beside = |name: &&String| name.contains(".db.") && !name.starts_with("cairn.db.");
    let names = files(&program);
    assert_eq!(names.iter().find(beside), None);
    assert_eq!(fs::read_dir(program.path("links")).unwrap().count(), 1);
}

#[test]
fn a_link_to_where_there_is_no_database_yet_makes_it_there() {
    let program = program();
    fs::create_dir(program.path("data")).unwrap();
    symlink("data/real.db", program.path("cairn.db")).unwrap();
    create(&program, r#"{"size": 1}"#, &[], 0);
    assert!(program.path("data/real.db.locks").is_dir());
    let volumes = program.json(&["volumes", "list", "--json", "--db", "data/real.db"]);
    assert_eq!(volumes.as_array().unwrap().len(), 1);
}

/// Asserts that each command is refused under the second name, and that the error names the first.
#[track_caller]
fn is_refused(program: &Program, second: &str, first: &str) {
    let request = super::request(program, r#"{"size": 1}"#);
    let request = request.each_ref().map(String::as_str);
    let before = files(program);
    for command in [
        &["recover"][..],
        &request,
        &["volumes", "list"],
        &["quota", "set", "volumes=7"],
        &["db", "check"],
        &["db", "migrate"],
        &["db", "backup", "b.db"],
    ] {
        let command = [&["--db", second], command].concat();
        let run = program.run(&command).exits(2);
        let first = format!(
            "is a second name of the database {}",
            program.path(first).display()
        );
        run.says(&[second, &first, "use it under that name"]);
        assert_eq!(files(program), before, "{command:?} left something");
    }
}

#[test]
fn a_second_name_of_the_file_is_refused_while_the_first_leads_to_it() {
    let program = program();
    let mut runner = Stream::start(&program, &[]);
    runner.succeeds();
    fs::hard_link(program.path("cairn.db"), program.path("hard.db")).unwrap();
    is_refused(&program, "hard.db", "cairn.db");
    runner.succeeds();
    runner.end().exits(0);
    is_refused(&program, "hard.db", "cairn.db");

    fs::remove_file(program.path("cairn.db")).unwrap();
    create(&program, r#"{"size": 1}"#, &["--db", "hard.db"], 0);
    fs::hard_link(program.path("hard.db"), program.path("cairn.db")).unwrap();
    is_refused(&program, "cairn.db", "hard.db");
    let volumes = program.json(&["volumes", "list", "--json", "--db", "hard.db"]);
    assert_eq!(volumes.as_array().unwrap().len(), 3);
}

#[test]
fn a_copy_is_a_database_of_its_own() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    fs::copy(program.path("cairn.db"), program.path("copy.db")).unwrap();
    for name in ["copy.db", "cairn.db", "copy.db"] {
        create(&program, r#"{"size": 1}"#, &["--db", name], 0);
    }
    let volumes = |name| {
        let volumes = program.json(&["volumes", "list", "--json", "--db", name]);
        volumes.as_array().unwrap().len()
    };
    assert_eq!((volumes("cairn.db"), volumes("copy.db")), (2, 3));
}

#[test]
fn a_database_that_is_moved_takes_its_log_along() {
    let program = program();
    let mut runner = Stream::start(&program, &[]);
    let volume = runner.succeeds();
    let moved = |from: &str, to: &str| fs::rename(program.path(from), program.path(to)).unwrap();
    moved("cairn.db", "moved.db");
    let list = ["--db", "moved.db", "volumes", "list", "--json"];
    program
        .run(&list)
        .exits(2)
        .says(&["a process works on it under that name"]);
    moved("moved.db", "cairn.db");
    runner.succeeds();
    runner.kill();

    moved("cairn.db", "moved.db");
    for command in [&list[..], &["--db", "moved.db", "recover"]] {
        program
            .run(command)
            .exits(2)
            .says(&["its log was left there, with what was written last", "mv "]);
    }
    moved("cairn.db-wal", "moved.db-wal");
    let volumes = program.json(&list);
    let ids: Vec<_> = volumes
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert!(
        ids.len() == 2 && ids.contains(&&json!(volume)),
        "{volumes:#}"
    );
    // A symbolic link in its old place is not a second name.
    symlink("moved.db", program.path("cairn.db")).unwrap();
    program.run(&["recover"]).exits(0);
    create(&program, r#"{"size": 1}"#, &[], 0);
}

/// Runs the program in its own mount namespace, where `from` is also mounted at `to`. Returns `None` if that is not permitted.
fn mounted(program: &Program, test: &str, from: &str, to: &str, arguments: &[&str]) -> Option<Run> {
    let in_namespace = |script: &str, arguments: &[&str]| {
        let command = program.command(arguments);
        let mut unshare = Command::new("unshare");
        unshare
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
                from,
                to,
            ])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(program.path(""));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => unshare.env(name, value),
                None => unshare.env_remove(name),
            };
        }
        let unshare = unshare
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        unshare.map(end)
    };
    const MOUNT: &str = r#"mount --bind "$1" "$2" || exit 125; shift 2; "#;
    match in_namespace(&format!("{MOUNT} exit 0"), &[]) {
        Ok(run) if run.exit == 0 => {}
        Ok(run) => {
            not_run(test, "a mount namespace", run.stderr.trim());
            return None;
        }
        Err(error) => {
            not_run(test, "`unshare`", &error.to_string());
            return None;
        }
    }
    let run = in_namespace(&format!("{MOUNT} exec \"$@\""), arguments);
    Some(run.expect("it started before"))
}

#[test]
fn a_folder_that_is_mounted_twice_holds_one_database_and_a_file_has_one_name() {
    let test = "a_folder_that_is_mounted_twice_holds_one_database_and_a_file_has_one_name";
    let program = program();
    for folder in ["data", "again"] {
        fs::create_dir(program.path(folder)).unwrap();
    }
    program.write("other.db", "");
    let mut runner = Stream::start(&program, &["--db", "data/cairn.db"]);
    runner.succeeds();
    let again = ["--db", "again/cairn.db", "recover", "--json"];
    let Some(run) = mounted(&program, test, "data", "again", &again) else {
        return;
    };
    assert_eq!(run.exits(0).json(), json!([]));
    runner.succeeds();
    let other = ["--db", "other.db", "recover"];
    let run = mounted(&program, test, "data/cairn.db", "other.db", &other).unwrap();
    let first = program.path("data/cairn.db").display().to_string();
    run.exits(2)
        .says(&["is a second name of the database", &first]);
    runner.succeeds();
    runner.end().exits(0);
}

#[test]
fn a_name_is_a_path_and_nothing_else() {
    let program = program();
    for name in [
        "file:x.db",
        "file:x.db?mode=memory",
        ":memory:",
        "x.db?immutable=1",
        "x%20y.db",
    ] {
        let on = |command: &[&str]| program.run(&[&["--db", name], command].concat());
        on(&["volumes", "list"])
            .exits(2)
            .says(&[&format!("there is no database at {name}")]);
        assert!(!program.path(name).exists(), "{name}");
        on(&["zones", "create", "north"]).exits(0);
        assert!(program.path(name).metadata().unwrap().len() > 0, "{name}");
        let zones = on(&["zones", "list", "--json"]).exits(0).json();
        assert_eq!(zones[0]["name"], "north", "{name}");
        let copy = format!("{name}.copy");
        on(&["db", "backup", &copy]).exits(0);
        assert!(program.path(&copy).metadata().unwrap().len() > 0, "{name}");
    }
    assert_eq!(
        files(&program)
            .iter()
            .filter(|name| *name == "x.db" || *name == "x y.db")
            .count(),
        0
    );
}

#[test]
fn what_cannot_be_a_database_is_said() {
    let program = program();
    fs::create_dir(program.path("folder")).unwrap();
    program.write("some.txt", "text");
    let made = Command::new("mkfifo").arg(program.path("pipe")).status();
    assert!(made.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(program.path("socket")).unwrap();
    let long = "x".repeat(250);
    let before = files(&program);
    for (name, what) in [
        (".", "this is a folder"),
        ("folder", "this is a folder"),
        ("new.db/", "this is the name of a folder"),
        ("/dev/null", "this is a device"),
        ("pipe", "this is a pipe"),
        ("socket", "this is a socket"),
        (&long, "the name is too long"),
    ] {
        let request = super::request(&program, r#"{"size": 1}"#);
        let request = request.each_ref().map(String::as_str);
        for command in [
            &["volumes", "list"][..],
            &["zones", "create", "z"],
            &request,
            &["recover"],
        ] {
            let run = program.run(&[&["--db", name], command].concat()).exits(2);
            run.says(&[what, "name a file with --db"]);
        }
    }
    fs::remove_file(program.path("request.json")).unwrap();
    assert_eq!(files(&program), before);
    // A command that needs no database does not examine it.
    program
        .run(&[
            "--db",
            ".",
            "plan",
            &repository("examples/volume-create/flow.toml"),
        ])
        .exits(0);
}

#[test]
fn a_command_that_is_refused_makes_no_database() {
    let program = program();
    program.write("image.raw", "bytes");
    program.write("request.json", r#"{"size": 1, "volume_type": "nope"}"#);
    let before = files(&program);
    let flow = repository("examples/volume-create/flow.toml");
    for command in [
        &["quota", "set", "bogus=5"][..],
        &["quota", "set", "volumes=5", "bogus=5"],
        &["quota", "set", "--class", "gold", "bogus=5"],
        &["volume", "import", "--size", "1", "--type", "nope"],
        &["snapshots", "create", "nope"],
        &["run", &flow, "--input", "request.json"],
        &[
            "run",
            &flow,
            "--input",
            "request.json",
            "--input",
            "request.json",
        ],
    ] {
        program.run(command).exits(2);
        assert_eq!(files(&program), before, "{command:?}");
    }
    program.write("cairn.db", "");
    program.run(&["quota", "set", "bogus=5"]).exits(2);
    assert_eq!(program.path("cairn.db").metadata().unwrap().len(), 0);
    program.run(&["quota", "set", "volumes=5"]).exits(0);
    program.run(&["images", "create", "image.raw"]).exits(0);
}
