//! `cairn plan --lock`, and what `--locked` refuses.

use std::fs;

use acceptance::admission_guest::Asked;
use acceptance::program::Program;
use acceptance::stranger::Stranger;

use super::program;

/// Writes a flow of a built-in plugin and a stranger.
fn flow(program: &Program, stranger: Stranger) {
    program
        .write("stranger.wat", stranger.component())
        .write(
            "flow.toml",
            "[flow]\nname = \"f\"\n\n[plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [\"size\"] }\n\n\
             [plugins.stranger]\npath = \"stranger.wat\"\ngrants = { quota = true, rpc = true }\n\n\
             [[task]]\nplugin = \"inject\"\n\n[[task]]\nplugin = \"stranger\"\n",
        )
        .write("request.json", "{\"size\": 1}");
}

const FIRST: Stranger = Stranger {
    name: "stranger",
    minor: 0,
    imports: &["quota"],
    requires: &["size"],
    provides: &["x"],
    schema: "{}",
    says: "reverted",
};

const RUN: &[&str] = &[
    "run",
    "flow.toml",
    "--input",
    "request.json",
    "--locked",
    "--json",
];

#[test]
fn a_plan_is_locked_and_runs_as_it_was_locked() {
    let program = program();
    flow(&program, FIRST);
    program
        .run(&["plan", "flow.toml", "--lock"])
        .exits(0)
        .says(&["wrote flow.lock"]);
    let first = fs::read(program.path("flow.lock")).expect("the lock file");
    program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    let again = fs::read(program.path("flow.lock")).expect("the lock file");
    assert_eq!(first, again, "the same plugins have the same bytes");
    let text = String::from_utf8(first).expect("text");
    for line in [
        "builtin = \"inject\"",
        "contract = \"cairn:plugin@0.1.0\"",
        "imports = [\"log\", \"quota\"]",
        "requires = [\"size\"]",
        "grants = { quota = true }",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert_eq!(text.matches("sha256 = ").count(), 1, "{text}");
    program.run(&["plan", "flow.toml", "--locked"]).exits(0);
    program.run(RUN).exits(0);
    let left: Vec<_> = fs::read_dir(program.path("."))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().starts_with(".new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_plugin_that_differs_is_refused_line_by_line_before_anything_runs() {
    let program = program();
    flow(&program, FIRST);
    program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    flow(
        &program,
        Stranger {
            minor: 1,
            imports: &["rpc"],
            requires: &[],
            ..FIRST
        },
    );
    for arguments in [&["plan", "flow.toml", "--locked"][..], RUN] {
        let refused = program.run(arguments).exits(2).says(&[
            "the plugins are not those of the lock file",
            "\n    stranger: sha256 ",
            " -> ",
            "\n    stranger: version 1.0 -> 1.1\n",
            "\n    stranger: imports - quota\n    stranger: imports + rpc\n",
            "\n    stranger: requires - size\n",
            "\n    stranger: grants - { quota = true }\n    stranger: grants + { rpc = true }\n",
            "--> flow.lock",
            "help: ",
        ]);
        assert_eq!(refused.stdout, "");
        assert!(!refused.stderr.contains("inject:"), "{}", refused.stderr);
    }
    assert!(!program.has_database());
    // An operator who accepts the changes inspects them, and locks again.
    program
        .run(&["plan", "flow.toml", "--lock"])
        .exits(0)
        .says(&["stranger: version 1.0 -> 1.1"]);
    program.run(RUN).exits(0);
}

#[test]
fn without_a_lock_file_nothing_runs_that_must_be_locked() {
    let program = program();
    flow(&program, FIRST);
    program.run(RUN).exits(2).says(&[
        "there is no lock file",
        "--> flow.lock",
        "`cairn plan flow.toml --lock`",
    ]);
    program.write("flow.lock", "lock = 1\n");
    program
        .run(RUN)
        .exits(2)
        .says(&["`plugins` is missing", "flow.lock"]);
    assert!(!program.has_database());
}

#[test]
fn a_manifest_is_not_overwritten_by_its_lock() {
    let program = program();
    flow(&program, FIRST);
    let text = fs::read(program.path("flow.toml")).expect("the manifest");
    program.write("flow.lock", &text);
    program
        .run(&["plan", "flow.lock", "--lock"])
        .exits(2)
        .says(&["the manifest has the name of its own lock file"]);
    assert_eq!(
        fs::read(program.path("flow.lock")).expect("it is there"),
        text
    );
}

/// Writes a flow with the guest as its policy, as its validator, and as the plugin that a rule asks.
fn asked(program: &Program, guest: Asked) {
    program
        .write("guest.wat", guest.component())
        .write("policy.json", r#"{"volume:create": "wasm:rule"}"#)
        .write("request.json", "{\"size\": 1}")
        .write(
            "flow.toml",
            "[flow]\nname = \"f\"\naction = \"volume:create\"\n\n\
             [plugins.inject]\nbuiltin = \"inject\"\nsettings = { provides = [\"size\"] }\n\n\
             [plugins.gate]\npath = \"guest.wat\"\n\n[plugins.form]\npath = \"guest.wat\"\n\n\
             [plugins.rule]\npath = \"guest.wat\"\n\n\
             [[policy]]\nplugin = \"gate\"\n\n[[validator]]\nplugin = \"form\"\n\n[[task]]\nplugin = \"inject\"\n",
        );
}

#[test]
fn policies_and_validators_are_locked_too() {
    let with_rules =
        |arguments: &[&'static str]| [arguments, &["--policy", "policy.json"]].concat();
    let program = program();
    asked(&program, Asked::Agrees);
    program
        .run(&with_rules(&["plan", "flow.toml", "--lock"]))
        .exits(0);
    let text = fs::read_to_string(program.path("flow.lock")).expect("the lock file");
    for plugin in ["form", "gate", "inject", "rule"] {
        assert!(text.contains(&format!("[plugins.{plugin}]\n")), "{text}");
    }
    // The three strangers have a digest, and no grants.
    assert_eq!(text.matches("sha256 = ").count(), 3, "{text}");
    assert_eq!(text.matches("imports = [\"log\"]").count(), 3, "{text}");
    program.run(&with_rules(RUN)).exits(0);

    asked(&program, Asked::Refuses);
    for arguments in [&["plan", "flow.toml", "--locked"][..], RUN] {
        let refused = program.run(&with_rules(arguments)).exits(2).says(&[
            "the plugins are not those of the lock file",
            "\n    form: sha256 ",
            "\n    gate: sha256 ",
            "\n    rule: sha256 ",
            "--> flow.lock",
        ]);
        assert_eq!(refused.stdout, "");
    }
    // Without the lock file the new components are asked, and they refuse.
    let run = ["run", "flow.toml", "--input", "request.json", "--json"];
    let report = program.run(&with_rules(&run)).exits(3).json();
    assert_eq!(report["error"]["details"]["policy"], "gate");
}

#[test]
fn a_policy_that_the_manifest_no_longer_names_differs_from_its_lock() {
    let program = program();
    asked(&program, Asked::Agrees);
    program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    let flow = fs::read_to_string(program.path("flow.toml")).expect("the manifest");
    let table = "[[policy]]\nplugin = \"gate\"\n\n";
    assert!(flow.contains(table), "{flow}");
    program.write("flow.toml", flow.replace(table, ""));
    program
        .run(RUN)
        .exits(2)
        .says(&["\n    gate: plugin - check-guest==1.0 ("]);
}

#[test]
fn a_lock_file_that_is_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let program = program();
    flow(&program, FIRST);
    fs::create_dir(program.path("locks")).expect("a folder");
    let lock = || fs::read_to_string(program.path("locks/flow.lock")).expect("the lock file");
    // A dangling link, by way of another link.
    symlink("locks/link", program.path("flow.lock")).expect("a link");
    symlink("flow.lock", program.path("locks/link")).expect("a link");
    program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    let first = lock();
    assert!(
        first.contains("[plugins.stranger]") || first.contains("stranger"),
        "{first}"
    );
    fs::set_permissions(
        program.path("locks/flow.lock"),
        fs::Permissions::from_mode(0o640),
    )
    .expect("the file is ours");

    program.write("stranger.wat", Stranger { minor: 1, ..FIRST }.component());
    let run = program.run(&["plan", "flow.toml", "--lock"]).exits(0);
    run.says(&["wrote flow.lock"]);
    assert_ne!(lock(), first);
    for link in ["flow.lock", "locks/link"] {
        let link = fs::symlink_metadata(program.path(link)).expect("the link");
        assert!(link.is_symlink());
    }
    let file = fs::metadata(program.path("locks/flow.lock")).expect("the lock file");
    assert_eq!(file.permissions().mode() & 0o777, 0o640);
    program.run(RUN).exits(0);

    // Links that refer to each other are refused, and nothing is overwritten.
    fs::remove_file(program.path("locks/flow.lock")).expect("the file is ours");
    symlink("link", program.path("locks/flow.lock")).expect("a link");
    let run = program.run(&["plan", "flow.toml", "--lock"]).exits(2);
    run.says(&["the lock file cannot be written"]);
}
