use super::program;

/// Compares every help page, as displayed.
#[test]
fn every_command_has_a_page_of_help() {
    let program = program();
    for command in [
        "",
        "init",
        "run",
        "plan",
        "flow",
        "flow list",
        "flow show",
        "flow interrupt",
        "flow resume",
        "flow reset",
        "flow rollback",
        "flow prune",
        "flow deploy",
        "flow versions",
        "flow undeploy",
        "recover",
        "quota",
        "quota set",
        "quota unset",
        "quota check",
        "quota sync",
        "quota expire",
        "volume",
        "volume create",
        "volume import",
        "volume set",
        "snapshot",
        "type",
        "type create",
        "image",
        "image create",
        "zone",
        "record",
        "record list",
        "record put",
        "record release",
        "outbox",
        "token",
        "token create",
        "token list",
        "token revoke",
        "audit",
        "audit list",
        "plugin",
        "plugin new",
        "plugin build",
        "plugin check",
        "plugin inspect",
        "plugin diff",
        "plugin call",
        "plugin test",
        "policy",
        "policy check",
        "db",
        "db backup",
        "db restore",
        "db release",
        "db migrate",
        "db move",
        "db vacuum",
        "config",
        "config check",
        "config show",
        "bench",
        "completions",
        "man",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("-h");
        let run = program.run(&arguments).exits(0);
        assert_eq!(run.stderr, "");
        insta::assert_snapshot!(
            format!("help {command}").trim().replace(' ', "-"),
            run.stdout
        );
    }
}

#[test]
fn the_long_page_has_every_option() {
    let run = program().run(&["--help"]).exits(0);
    insta::assert_snapshot!("help-long", run.stdout);
}

#[test]
fn the_long_page_of_a_plugins_tests_says_how_cases_are_written_and_what_the_laws_are() {
    let program = program();
    for command in ["test", "call"] {
        let run = program.run(&["plugin", command, "--help"]).exits(0);
        insta::assert_snapshot!(format!("help-long-plugin-{command}"), run.stdout);
    }
}

#[test]
fn bad_usage_is_told_on_stderr() {
    let program = program();
    for (arguments, words) in [
        (&["runn"][..], "a similar subcommand exists: 'run'"),
        (&["run"], "<FLOW>"),
        (&["run", "flow.toml", "--jsn"], "--json"),
        (&[], "Usage: cairn"),
    ] {
        let run = program.run(arguments).exits(2).says(&[words]);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    let program = program();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = program.run(&["completions", shell]).exits(0).stdout;
        assert!(
            script.contains("cairn") && script.contains("outbox"),
            "{shell}"
        );
    }
}
