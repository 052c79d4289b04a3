//! Inputs of a command may be pipes, devices, links, and files of any length.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::program::{Program, Run, end, volume_create};
use cairn::value::Digest;

use super::{create, program};

const REQUEST: &str = r#"{"size": 1}"#;

/// Creates a pipe that no process has open.
fn pipe(program: &Program, name: &str) {
    let made = Command::new("mkfifo").arg(program.path(name)).status();
    assert!(made.expect("mkfifo is there").success());
}

/// Creates a sparse file of 3 GiB.
fn giant(program: &Program, name: &str) {
    let file = File::create(program.path(name)).expect("the folder is ours");
    file.set_len(3 << 30).expect("a file may have holes");
}

/// Runs the program, which must end soon and with little memory: its address space is limited.
#[track_caller]
fn run(program: &Program, arguments: &[&str]) -> Run {
    let mut child = program.start(arguments);
    let since = Instant::now();
    while child.try_wait().expect("it can be waited for").is_none() {
        if since.elapsed() > Duration::from_secs(60) {
            child.kill().expect("it still runs");
            panic!("{arguments:?} reads on and on");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end(child)
}

/// Returns a command line for every option and argument that names a file.
fn readers(file: &str) -> Vec<Vec<String>> {
    let flow = volume_create();
    let commands = [
        &["run", file][..],
        &["run", &flow, "--policy", file],
        &["run", &flow, "--config", file],
        &["plan", file],
        &["plan", "own.toml"],
        &["images", "create", file],
        &["plugin", "inspect", file],
        &["plugin", "check", file],
        &["plugin", "diff", file, "builtin:inject"],
        &["plugin", "call", file],
        &["plugin", "call", "builtin:inject", "--state", file],
        &["plugin", "test", file, "--cases", "case.toml"],
        &["plugin", "test", "builtin:inject", "--cases", file],
        &[
            "policy",
            "check",
            "--rule",
            "x",
            "--as",
            "user.json",
            "--target",
            "{}",
            "--policy",
            file,
        ],
    ];
    let mut commands: Vec<Vec<String>> = commands
        .iter()
        .map(|command| command.iter().map(|&word| word.to_owned()).collect())
        .collect();
    let fake = format!("--fake=quota={file}");
    commands.push(
        ["plugin", "call", "builtin:inject", &fake]
            .map(str::to_owned)
            .to_vec(),
    );
    commands
}

#[test]
fn what_is_no_regular_file_is_refused_and_never_waited_for() {
    let program = program();
    program.write("user.json", r#"{"user_id": "u", "project_id": "p"}"#);
    program.write("case.toml", "[[case]]\nname = 'x'\n");
    pipe(&program, "pipe");
    for file in ["pipe", "/dev/zero"] {
        let flow =
            format!("[flow]\nname = 'x'\n[plugins.x]\npath = '{file}'\n[[task]]\nplugin = 'x'\n");
        program.write("own.toml", flow);
        for command in readers(file) {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            run(&program, &command).exits(2).says(&["no regular file"]);
        }
    }
    for file in ["/dev/zero", "."] {
        let command = ["run", &volume_create(), "--input", file];
        run(&program, &command)
            .exits(2)
            .says(&["the request cannot be read", "no regular file"]);
    }
    assert!(!program.has_database());
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let program = program();
    program.write("user.json", r#"{"user_id": "u", "project_id": "p"}"#);
    program.write("case.toml", "[[case]]\nname = 'x'\n");
    giant(&program, "giant");
    program.write(
        "own.toml",
        "[flow]\nname = 'x'\n[plugins.x]\npath = 'giant'\n[[task]]\nplugin = 'x'\n",
    );
    for command in readers("giant") {
        // An image may have any length: it is read in chunks, for as long as necessary.
        if command[0] == "images" {
            continue;
        }
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        run(&program, &command).exits(2).says(&["3221225472 bytes"]);
    }
    run(&program, &["run", &volume_create(), "--input", "giant"])
        .exits(2)
        .says(&["it has 3221225472 bytes, and at most 16777216 bytes are read"]);
    assert!(!program.has_database());
}

#[test]
fn files_beside_a_database_or_a_plugin_may_be_anything() {
    let program = program();
    create(&program, REQUEST, &[], 0);
    // A component of an older version, and a pipe in its folder.
    let (sound, name) = (Digest::of(b"sound"), Digest::of(b"a pipe"));
    fs::create_dir(program.path("cairn.db.components")).unwrap();
    program.write(&format!("cairn.db.components/{sound}.wasm"), "sound");
    let left = format!("cairn.db.components/{name}.wasm");
    pipe(&program, &left);
    let recovered = run(&program, &["recover"]).exits(0);
    assert!(recovered.stderr.contains(&left), "{}", recovered.stderr);
    let left = fs::read_dir(program.path("cairn.db.components")).unwrap();
    assert_eq!(left.count(), 1);
    fs::remove_dir_all(program.path("cairn.db.components")).unwrap();

    // A pipe in place of the lock file of a dead process.
    pipe(
        &program,
        "cairn.db.locks/01a20616-1920-776a-9907-780232c46d47",
    );
    run(&program, &["recover"]).exits(0);

    // The files that a backup copies.
    pipe(&program, "cairn.db.key");
    run(&program, &["db", "backup", "copy.db"])
        .exits(1)
        .says(&["cairn.db.key cannot be read", "a pipe"]);
    assert!(!program.path("copy.db").exists());

    // The lock file of a manifest.
    program.write("flow.toml", fs::read_to_string(volume_create()).unwrap());
    pipe(&program, "flow.lock");
    run(&program, &["run", "flow.toml", "--locked"])
        .exits(2)
        .says(&["the lock file cannot be read", "a pipe"]);

    // The files in a plugin's folder.
    fs::create_dir(program.path("plugin")).unwrap();
    pipe(&program, "plugin/Cargo.toml");
    run(&program, &["plugin", "build", "plugin"])
        .exits(2)
        .says(&["the plugin's Cargo.toml cannot be read", "a pipe"]);
}

#[test]
fn a_request_and_a_policy_question_may_come_through_a_pipe() {
    let program = program();
    let shell = |script: &str| {
        let mut command = program.command(&[]);
        let mut shell = Command::new("bash");
        shell
            .current_dir(program.path("."))
            .args(["-c", script])
            .env("cairn", command.get_program())
            .env("flow", volume_create())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        command.arg("--version");
        end(shell.spawn().expect("bash is there"))
    };
    for script in [
        r#""$cairn" run "$flow" --json --input <(echo '{"size": 1}')"#,
        r#"echo '{"size": 1}' | "$cairn" run "$flow" --json --input -"#,
        r#"echo '{"size": 1}' | "$cairn" run "$flow" --json --input /dev/stdin"#,
        r#"(sleep 0.1; echo -n '{"size"'; sleep 0.1; echo ': 1}') | "$cairn" run "$flow" --json --input /dev/fd/0"#,
        r#"mkfifo p; (sleep 0.1; echo '{"size": 1}' > p) & "$cairn" run "$flow" --json --input p"#,
        r#"echo '{"size": 1}' > r; "$cairn" run "$flow" --json --input /dev/stdin < r"#,
    ] {
        let run = shell(script).exits(0).json();
        assert_eq!(run["flow"]["state"], "SUCCESS", "{script}");
    }
    let user = r#"{"user_id": "u", "project_id": "p"}"#;
    for script in [
        format!(
            r#""$cairn" policy check --rule volume:create --as <(echo '{user}') --target <(echo '{{"project_id": "p"}}')"#
        ),
        format!(
            r#"echo '{user}' | "$cairn" policy check --rule volume:create --as - --target <(echo '{{"project_id": "p"}}')"#
        ),
    ] {
        assert!(
            shell(&script).exits(0).stdout.starts_with("allowed"),
            "{script}"
        );
    }
    // Stdin can be read only once.
    shell(r#"echo '{}' | "$cairn" run "$flow" --input - --input -"#)
        .exits(2)
        .says(&["from stdin: another document of this command is read from it"]);
    shell(r#"echo '{}' | "$cairn" policy check --rule x --as - --target /dev/stdin"#)
        .exits(2)
        .says(&["the user is not a JSON object that describes a caller"]);
    // A pipe without an end: the limit is its end.
    shell(r#""$cairn" run "$flow" --input <(yes)"#)
        .exits(2)
        .says(&["it is longer, and at most 16777216 bytes are read"]);
    // A pipe without data is not a request.
    shell(r#""$cairn" run "$flow" --input <(true)"#)
        .exits(2)
        .says(&["the request is no JSON"]);
}

#[test]
fn settings_that_are_there_in_any_form_are_read_or_an_error() {
    let flow = volume_create();
    let check = |make: &dyn Fn(&Path), reason: &str| {
        let program = program();
        make(&program.path("cairn.toml"));
        for command in [
            &["run", &flow][..],
            &["plan", &flow],
            &["zones", "create", "nova"],
        ] {
            run(&program, command).exits(2).says(&[
                &format!("error: the settings cannot be read: {reason}"),
                "--> cairn.toml",
                "help: ",
            ]);
        }
        assert!(!program.has_database(), "{reason}");
    };
    check(
        &|path| symlink("gone.toml", path).unwrap(),
        "it is a link to gone.toml, where nothing is",
    );
    check(
        &|path| symlink("cairn.toml", path).unwrap(),
        "Too many levels of symbolic links",
    );
    check(&|path| fs::create_dir(path).unwrap(), "it is a folder");
    check(
        &|path| symlink("/dev/null", path).unwrap(),
        "it is a device",
    );
    check(
        &|path| fs::write(path, b"zone = 'x\xff'").unwrap(),
        "it is no text in UTF-8",
    );
    check(
        &|path| File::create(path).unwrap().set_len(3 << 30).unwrap(),
        "it has 3221225472 bytes",
    );
    // A file without read permission, unless the user may read everything.
    let program = program();
    let path = program.path("cairn.toml");
    let mut unreadable = File::options();
    unreadable
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o000);
    unreadable.open(&path).unwrap();
    if File::open(&path).is_err() {
        run(&program, &["plan", &flow])
            .exits(2)
            .says(&["the settings cannot be read: Permission denied"]);
    }
    // A link to a file is followed, and a missing file means no settings.
    fs::remove_file(&path).unwrap();
    run(&program, &["plan", &flow]).exits(0);
    symlink("real.toml", &path).unwrap();
    program.write("real.toml", "zone = 1\n");
    run(&program, &["plan", &flow])
        .exits(2)
        .says(&["`zone` must be a string"]);
}

#[test]
fn what_stands_beside_and_leads_nowhere_is_not_passed_over() {
    let program = program();
    create(&program, REQUEST, &[], 0);
    symlink("gone", program.path("cairn.db.key")).unwrap();
    run(&program, &["db", "backup", "copy.db"])
        .exits(1)
        .says(&["cairn.db.key cannot be read"]);
    fs::remove_file(program.path("cairn.db.key")).unwrap();
    symlink("gone", program.path("cairn.db.components")).unwrap();
    run(&program, &["db", "backup", "copy.db"])
        .exits(1)
        .says(&["cairn.db.components cannot be read"]);
    assert!(!program.path("copy.db").exists());
    program.write("flow.toml", fs::read_to_string(volume_create()).unwrap());
    symlink("gone", program.path("flow.lock")).unwrap();
    run(&program, &["run", "flow.toml", "--locked"])
        .exits(2)
        .says(&["the lock file cannot be read: it is a link to gone"]);
}
