use serde_json::{Value, json};

use super::{create, program};

fn usage(shown: &Value, resource: &str) -> (i64, i64, i64) {
    let quota = &shown["quotas"][resource];
    let number = |name: &str| quota[name].as_i64().unwrap();
    (number("limit"), number("in_use"), number("reserved"))
}

#[test]
fn a_flow_that_fails_leaves_the_usages_as_they_were() {
    let program = program();
    create(&program, r#"{"size": 7}"#, &[], 0);
    let before = program.json(&["quota", "show", "--json"]);
    assert_eq!(before["project"], "demo");
    assert_eq!(usage(&before, "gigabytes"), (1000, 7, 0));
    create(&program, r#"{"size": 994}"#, &[], 3);
    assert_eq!(program.json(&["quota", "show", "--json"]), before);
    create(&program, r#"{"size": 993}"#, &[], 0);
}

#[test]
fn a_limit_is_set_for_a_project_or_a_class() {
    let program = program();
    program
        .run(&["quota", "set", "volumes=1", "gigabytes=-1"])
        .exits(0);
    program
        .run(&["quota", "set", "volumes=5", "--class", "gold"])
        .exits(0);
    let shown = program.json(&["quota", "show", "--json"]);
    assert_eq!(
        (usage(&shown, "volumes").0, usage(&shown, "gigabytes").0),
        (1, -1)
    );
    let class = program.json(&["quota", "show", "--class", "gold", "--json"]);
    assert_eq!(class["class"], "gold");
    assert_eq!(class["quotas"]["volumes"], json!({"limit": 5}));
    let other = [
        "quota",
        "show",
        "--project",
        "other",
        "--quota-class",
        "gold",
        "--json",
    ];
    assert_eq!(usage(&program.json(&other), "volumes").0, 5);

    create(&program, r#"{"size": 5000}"#, &[], 0);
    let over = create(&program, r#"{"size": 1}"#, &[], 3);
    assert_eq!(over["error"]["kind"], "VolumeLimitExceeded");
}

#[test]
fn a_limit_that_is_removed_makes_way_for_that_of_the_class_and_the_default() {
    let program = program();
    let show = ["quota", "show", "--json"];
    let of_gold = [&show[..], &["--quota-class", "gold"]].concat();
    program
        .run(&["quota", "set", "volumes=1", "snapshots=2"])
        .exits(0);
    program
        .run(&["quota", "set", "volumes=5", "--class", "gold"])
        .exits(0);
    program
        .run(&["quota", "unset", "volumes", "gigabytes"])
        .exits(2)
        .says(&["the project `demo` has no limit of its own of gigabytes"]);
    assert_eq!(usage(&program.json(&show), "volumes").0, 1, "all, or none");
    program
        .run(&["quota", "unset", "volumes", "snapshots"])
        .exits(0);
    let shown = program.json(&show);
    assert_eq!(
        (usage(&shown, "volumes").0, usage(&shown, "snapshots").0),
        (10, 10)
    );
    assert_eq!(usage(&program.json(&of_gold), "volumes").0, 5);
    let unset = ["quota", "unset", "volumes", "--class", "gold"];
    program.run(&unset).exits(0);
    assert_eq!(usage(&program.json(&of_gold), "volumes").0, 10);
    program
        .run(&unset)
        .exits(2)
        .says(&["the class `gold` has no limit of its own of volumes"]);
}

#[test]
fn a_limit_of_nothing_known_is_refused() {
    let program = program();
    program
        .run(&["quota", "set", "volumes"])
        .exits(2)
        .says(&["write RESOURCE=LIMIT"]);
    program
        .run(&["quota", "set", "volumes=many"])
        .exits(2)
        .says(&["`many` is not a limit"]);
    let unknown = ["quota", "set", "volumes=3", "floppies=1"];
    let told = ["there is no quota of floppies"];
    program.run(&unknown).exits(2).says(&told);
    assert!(!program.has_database());
    program.run(&["quota", "set", "gigabytes=50"]).exits(0);
    program.run(&unknown).exits(2).says(&told);
    let shown = program.json(&["quota", "show", "--json"]);
    assert_eq!(
        usage(&shown, "volumes").0,
        10,
        "all limits are set, or none"
    );
}

#[test]
fn a_type_whose_name_holds_an_equals_sign_has_limits_too() {
    let program = program();
    for name in ["a=b", "=", "a=1"] {
        program.run(&["types", "create", name]).exits(0);
        let limit = format!("volumes_{name}=1");
        program.run(&["quota", "set", &limit]).exits(0);
        let shown = program.json(&["quota", "show", "--json"]);
        assert_eq!(usage(&shown, &format!("volumes_{name}")), (1, 0, 0));
        let request = json!({"size": 1, "volume_type": name}).to_string();
        create(&program, &request, &[], 0);
        let over = create(&program, &request, &[], 3);
        assert_eq!(over["error"]["kind"], "VolumeLimitExceeded", "{name}");
    }
    for (limit, reason) in [
        ("=5", "write RESOURCE=LIMIT"),
        ("volumes_a=b=", "`` is not a limit"),
        ("volumes_a=b=c", "`c` is not a limit"),
    ] {
        program
            .run(&["quota", "set", limit])
            .exits(2)
            .says(&[reason]);
    }
}
