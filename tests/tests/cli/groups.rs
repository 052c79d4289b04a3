//! Groups of commands have singular names; the plural names remain as aliases.

use super::{create, program};

#[test]
fn a_group_answers_to_its_singular_and_to_its_plural() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    program.run(&["zone", "create", "nova"]).exits(0);
    program.run(&["type", "create", "gold"]).exits(0);
    program.write("image", "an image");
    program.run(&["image", "create", "image"]).exits(0);
    for (one, many) in [
        ("flow", "flows"),
        ("volume", "volumes"),
        ("zone", "zones"),
        ("type", "types"),
        ("image", "images"),
        ("snapshot", "snapshots"),
    ] {
        let listed = program.json(&[one, "list", "--json"]);
        assert_eq!(program.json(&[many, "list", "--json"]), listed, "{one}");
        let is_empty = listed.as_array().is_some_and(Vec::is_empty);
        assert_eq!(is_empty, one == "snapshot", "{listed}");
    }
    for (one, many) in [
        ("quota", "quotas"),
        ("record", "records"),
        ("host", "hosts"),
        ("plugin", "plugins"),
        ("policy", "policies"),
    ] {
        let help = |group| program.run(&[group, "--help"]).exits(0).stdout;
        assert_eq!(help(one), help(many));
    }
    let help = program.run(&["--help"]).exits(0).stdout;
    for name in [
        "flow", "quota", "volume", "snapshot", "type", "image", "zone", "record", "host",
    ] {
        assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
    }
}

#[test]
fn an_option_of_storage_is_one_of_the_commands_that_use_it() {
    let program = program();
    let zone = ["--zone", "west"];
    for command in [
        &["quota", "set", "volumes=1"][..],
        &["flow", "list"],
        &["record", "list", "things"],
        &["volume", "list"],
        &["db", "check"],
    ] {
        let run = program.run(&[command, &zone].concat()).exits(2);
        run.says(&["unexpected argument '--zone'"]);
    }
    let run = program
        .run(&[&zone[..], &["zone", "list"]].concat())
        .exits(2);
    run.says(&["unexpected argument '--zone'"]);
    program.run(&["zone", "create", "west"]).exits(0);
    program.run(&["zone", "create", "east"]).exits(0);
    let default = |more: &[&str]| {
        let show = ["zone", "show", "west", "--json"];
        program.json(&[&show[..], more].concat())["default"].clone()
    };
    assert_eq!(default(&[]), false);
    assert_eq!(default(&zone), true);
    program.write("cairn.toml", "zone = \"west\"\n");
    assert_eq!(default(&[]), true);
    assert_eq!(default(&["--zone", "east"]), false);
}
