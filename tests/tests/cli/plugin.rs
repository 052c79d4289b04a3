use std::fs;

use acceptance::admission_guest::Asked;
use acceptance::guest::Call;
use acceptance::program::end;
use serde_json::json;

use super::program;

#[test]
fn a_built_in_plugin_shows_its_imports_and_the_grants_they_need() {
    let program = program();
    let shown = program.json(&["plugin", "inspect", "builtin:quota-reserve", "--json"]);
    let imports = shown["imports"].as_array().unwrap();
    let import = |name: &str| imports.iter().find(|import| import["name"] == name);
    assert_eq!(
        import("cairn:plugin/quota@0.1.0").unwrap()["grant"],
        "quota"
    );
    assert_eq!(
        import("cairn:plugin/context@0.1.0").unwrap()["grant"],
        json!(null)
    );
    assert_eq!(
        shown["exports"],
        json!(["cairn:plugin/plugin@0.1.0", "cairn:plugin/task@0.1.0"])
    );
    assert_eq!(shown["descriptor"]["name"], "quota-reserve");
    assert_eq!(
        shown["descriptor"]["requires"],
        json!(["size", "volume_type_id"])
    );
    assert_eq!(shown["sha256"].as_str().map(str::len), Some(64));
    assert!(!program.has_database());
}

#[test]
fn a_plugin_that_needs_settings_is_described_when_it_has_them() {
    let program = program();
    let shown = program.json(&["plugin", "inspect", "builtin:inject", "--json"]);
    assert_eq!(shown["descriptor"], json!(null));
    assert!(
        shown["not_described"]
            .as_str()
            .unwrap()
            .contains("provides"),
        "{shown}"
    );
    let settings = r#"{"provides": ["size"]}"#;
    let shown = program.json(&[
        "plugin",
        "inspect",
        "builtin:inject",
        "--settings",
        settings,
        "--json",
    ]);
    assert_eq!(shown["descriptor"]["provides"], json!(["size"]));
}

#[test]
fn a_policy_and_validator_shows_what_it_is_and_no_wiring() {
    let program = program();
    program.write("guest.wat", Asked::Agrees.component());
    let shown = program.json(&["plugin", "inspect", "guest.wat", "--json"]);
    assert_eq!(shown["roles"], json!(["policy", "validator"]));
    assert_eq!(
        shown["exports"],
        json!([
            "cairn:plugin/plugin@0.1.0",
            "cairn:plugin/policy-check@0.1.0",
            "cairn:plugin/validator@0.1.0"
        ])
    );
    assert_eq!(
        shown["imports"],
        json!([{"name": "cairn:plugin/log@0.1.0", "grant": null}])
    );
    assert_eq!(shown["descriptor"]["name"], "check-guest");
    let text = program.run(&["plugin", "inspect", "guest.wat"]).exits(0);
    let text = text.stdout;
    assert!(
        text.contains("\npolicy and validator check-guest 1.0\n\nsettings schema\n"),
        "{text}"
    );
    // Without settings the kind of the plugin is shown nevertheless.
    let inject = program.run(&["plugin", "inspect", "builtin:inject"]);
    let inject = inject.exits(0).stdout;
    assert!(inject.contains("\ntask, not described: "), "{inject}");
    let settings = r#"{"provides": ["size"]}"#;
    let inject = [
        "plugin",
        "inspect",
        "builtin:inject",
        "--settings",
        settings,
    ];
    let inject = program.run(&inject).exits(0).stdout;
    assert!(inject.contains("\n  provides  size\n"), "{inject}");
}

#[test]
fn a_policy_and_validator_is_checked_by_what_it_answers() {
    for (guest, exit, found) in [
        (
            Asked::Agrees,
            0,
            "  ok      call         lets the request pass\n",
        ),
        (
            Asked::Refuses,
            0,
            "  ok      call         refuses the request: PolicyNotAuthorized: ",
        ),
        (Asked::Traps, 3, "  FAILED  call         "),
    ] {
        let program = program();
        program.write("guest.wat", guest.component());
        let run = program.run(&["plugin", "check", "guest.wat"]).exits(exit);
        assert!(run.stdout.contains(found), "{found}: {}", run.stdout);
        let reverted = run.stdout.contains("nothing to revert: it changes nothing");
        assert_eq!(reverted, exit == 0, "{}", run.stdout);
    }
}

#[test]
fn what_is_no_plugin_is_bad_usage() {
    let program = program();
    program.write("text", "hello");
    program.run(&["plugin", "inspect", "text"]).exits(2).says(&[
        "no WebAssembly component",
        "--> text",
        "help:",
    ]);
    program
        .run(&["plugin", "inspect", "gone.wasm"])
        .exits(2)
        .says(&["the plugin cannot be read", "--> gone.wasm"]);
    program
        .run(&["plugin", "inspect", "builtin:quota"])
        .exits(2)
        .says(&["there is no built-in plugin `quota`", "quota-commit"]);
}

#[test]
fn a_new_plugin_bears_a_name_that_tools_can_use_and_replaces_nothing() {
    let program = program();
    for (name, reason) in [
        ("Demo", "lower-case letters"),
        ("1st", "begins with a letter"),
        ("../demo", "lower-case letters"),
        ("fn", "choose another"),
        ("inject", "choose another"),
    ] {
        let new = ["plugin", "new", name, "--lang", "rust"];
        program.run(&new).exits(2).says(&[reason]);
    }
    let new = ["plugin", "new", "demo", "--lang", "js"];
    program.run(&new).exits(0);
    let before = fs::read_to_string(program.path("demo/app.js")).unwrap();
    program.write("demo/app.js", "mine");
    program.run(&new).exits(2).says(&["`demo` exists already"]);
    assert_eq!(
        fs::read_to_string(program.path("demo/app.js")).unwrap(),
        "mine"
    );
    assert!(before.contains("name: 'demo'"), "{before}");
}

#[test]
fn a_new_world_imports_what_was_asked_for_and_nothing_else() {
    let program = program();
    for lang in ["python", "js"] {
        let new = [
            "plugin",
            "new",
            lang,
            "--lang",
            lang,
            "--with",
            "quota,images,quota",
        ];
        program.run(&new).exits(0);
        let world = fs::read_to_string(program.path(&format!("{lang}/wit/world.wit"))).unwrap();
        let imports = world
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("import"));
        assert_eq!(
            imports.collect::<Vec<_>>(),
            [
                "import cairn:plugin/images@0.1.0;",
                "import cairn:plugin/quota@0.1.0;"
            ]
        );
        let flow = fs::read_to_string(program.path(&format!("{lang}/flow.toml"))).unwrap();
        assert!(
            flow.contains(".grants]\nimages = true\nquota = true\n"),
            "{flow}"
        );
    }
    let asked = ["plugin", "new", "x", "--lang", "js", "--with", "files"];
    program
        .run(&asked)
        .exits(2)
        .says(&["the capabilities are results, policy"]);
}

#[test]
fn a_tool_that_is_missing_is_named_with_the_command_that_gets_it() {
    let program = program();
    for (lang, command) in [
        (
            "python",
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        ),
        ("js", "npm install"),
    ] {
        program
            .run(&["plugin", "new", lang, "--lang", lang])
            .exits(0);
        let build = |arguments: &[&str]| {
            let mut build = program.command(arguments);
            build.env("PATH", "").env_remove("VIRTUAL_ENV");
            end(build.spawn().unwrap()).exits(2)
        };
        build(&["plugin", "build", lang, "--no-install"]).says(&["is not installed", command]);
        // The installer of the tool is missing too.
        build(&["plugin", "build", lang]).says(&["is not installed", "apt-get install"]);
    }
    let run = program.run(&["plugin", "check", "js"]).exits(2);
    run.says(&["the plugin is not built", "cairn plugin build js"]);
    program
        .run(&["plugin", "build", "."])
        .exits(2)
        .says(&["not a plugin's folder"]);
}

#[test]
fn a_plugin_that_breaks_the_contract_is_told_where() {
    let program = program();
    for (call, exit, item, word) in [
        (Call::Behaves, 0, "call", "returned"),
        (Call::Traps, 3, "call", "Trap"),
        (Call::ReturnsNoJson, 3, "call", "ResultInvalid"),
        (Call::LacksAName, 3, "call", "ResultIncomplete"),
    ] {
        program.write("guest.wat", call.component());
        let run = program
            .run(&["plugin", "check", "guest.wat", "--json"])
            .exits(exit);
        let checked = run.json();
        assert_eq!(checked["passed"], json!(exit == 0), "{checked}");
        let checks = checked["checks"].as_array().unwrap();
        let item = checks.iter().find(|check| check["check"] == item).unwrap();
        assert!(
            item["found"].as_str().unwrap().contains(word),
            "{call:?}: {item}"
        );
        let last = &checks.last().unwrap()["state"];
        assert_eq!(
            last,
            if exit == 0 { "passed" } else { "not_checked" },
            "{call:?}"
        );
    }
    program.write("guest.wat", "(component)");
    let run = program.run(&["plugin", "check", "guest.wat"]).exits(3);
    assert!(run.stdout.contains("FAILED  world"), "{}", run.stdout);
    assert!(!program.has_database());
}

#[test]
fn what_is_no_component_is_held_against_nothing() {
    let program = program();
    program
        .write("text.wasm", "hello")
        .write("module.wasm", b"\0asm\x01\0\0\0");
    for (file, reason) in [
        ("gone.wasm", "the plugin cannot be read"),
        ("text.wasm", "this is no WebAssembly component"),
        ("module.wasm", "a core WebAssembly module, not a component"),
    ] {
        for more in [&[][..], &["--json"]] {
            let run = program.run(&[&["plugin", "check", file], more].concat());
            let run = run.exits(2).says(&[reason, &format!("--> {file}")]);
            assert_eq!(run.stdout, "");
        }
    }
}

#[test]
fn a_component_of_another_version_of_the_contract_fails_for_its_world() {
    let program = program();
    let newer = Call::Behaves
        .component()
        .replace("cairn:plugin/task@0.1.0", "cairn:plugin/task@0.2.0");
    program.write("newer.wat", newer);
    let run = program.run(&["plugin", "check", "newer.wat"]).exits(3);
    for line in [
        "  ok      component    valid, ",
        "  FAILED  world        the component was built for `cairn:plugin/task@0.2.0`",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}
