//! The exit codes of `cairn recover`, and its messages about quotas when a flow succeeds.

use serde_json::json;

use super::{create, killed_after, program, request};

#[test]
fn a_flow_that_recovery_rolled_back_is_no_failure_of_recovery() {
    for (died_after, verdict) in [("quota-reserve", "clean"), ("quota-commit", "kept")] {
        let program = program();
        killed_after(&program, died_after);
        let rows = program.run(&["recover", "--json"]).exits(0).json();
        assert_eq!(
            (&rows[0]["state"], &rows[0]["verdict"]),
            (&json!("FAILURE"), &json!(verdict)),
            "{died_after}"
        );
    }
}

#[test]
fn a_successful_run_names_the_quotas_that_it_used_and_no_others() {
    let program = program();
    for name in ["gold", "silver", "lead"] {
        program.run(&["types", "create", name]).exits(0);
    }
    program.run(&["types", "delete", "lead"]).exits(0);
    create(&program, r#"{"size": 5, "volume_type": "silver"}"#, &[], 0);
    for (body, expected) in [
        (
            r#"{"size": 1}"#,
            &["gigabytes: 6 of 1000 in use", "volumes: 2 of 10 in use"][..],
        ),
        (
            r#"{"size": 2, "volume_type": "gold"}"#,
            &[
                "gigabytes: 8 of 1000 in use",
                "gigabytes_gold: 2 without limit in use",
                "volumes: 3 of 10 in use",
                "volumes_gold: 1 without limit in use",
            ],
        ),
    ] {
        let arguments = request(&program, body);
        let run = program.run(&arguments.each_ref().map(String::as_str));
        let text = run.exits(0).stdout;
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("quota     "))
            .collect();
        assert_eq!(lines, expected, "{body}");
    }
}
