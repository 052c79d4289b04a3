//! Lists in pages.

use std::fs;

use acceptance::program::{Program, end, volume_create};
use serde_json::{Value, json};

use super::program;

/// Runs the first example's flow for each of this many requests, which all fail.
fn flows(program: &Program, number: usize) {
    program.write("requests", "{\"size\": 0}\n".repeat(number));
    let requests = fs::File::open(program.path("requests")).expect("the requests");
    let mut command = program.command(&["run", &volume_create(), "--jsonl"]);
    end(command.stdin(requests).spawn().expect("the program starts")).exits(3);
}

fn ids(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().or(row["name"].as_str()).expect("an id"))
        .collect()
}

#[test]
fn a_list_of_flows_that_goes_on_says_so_and_how() {
    let program = program();
    flows(&program, 102);
    let all = program.json(&["flows", "list", "--limit", "102", "--json"]);
    let all = ids(&all);
    assert_eq!(all.len(), 102);
    let next = format!("--cursor {}", all[99]);
    for arguments in [&["flows", "list"][..], &["flows", "list", "--json"]] {
        let run = program.run(arguments).exits(0);
        assert!(
            run.stderr.contains("there are more rows than these 100") && run.stderr.contains(&next),
            "{}",
            run.stderr
        );
    }
    // The cursor is also logged in JSON, without the note.
    let run = program.run(&["flows", "list", "--log-format", "json"]);
    let run = run.exits(0);
    let told: Value = serde_json::from_str(run.stderr.trim()).expect("one line");
    assert_eq!(told["fields"]["next"], all[99], "{told}");

    let rest = program.run(&["flows", "list", "--json", "--cursor", all[99]]);
    let rest = rest.exits(0);
    assert_eq!(rest.stderr, "");
    assert_eq!(ids(&rest.json()), all[100..]);
    let whole = program.run(&["flows", "list", "--limit", "102"]).exits(0);
    assert_eq!(whole.stderr, "", "nothing is left out");
}

#[test]
fn a_page_for_programs_names_the_next_one() {
    let program = program();
    flows(&program, 5);
    let all = program.json(&["flows", "list", "--json"]);
    let page = |more: &[&str]| {
        let run = program.run(&[&["flows", "list", "--json", "--page"], more].concat());
        let run = run.exits(0);
        assert_eq!(run.stderr, "");
        run.json()
    };
    assert_eq!(page(&[]), json!({"rows": all, "next": null}));
    let first = page(&["--limit", "3"]);
    assert_eq!(first["next"], all[2]["id"]);
    let second = page(&[
        "--limit",
        "3",
        "--cursor",
        first["next"].as_str().expect("one"),
    ]);
    assert_eq!(second, json!({"rows": [all[3], all[4]], "next": null}));
    // Filters combine with the cursor.
    let success = page(&["--state", "success", "--limit", "3"]);
    assert_eq!(success, json!({"rows": [], "next": null}));

    for (arguments, why) in [
        (&["--page"][..], "--json"),
        (&["--limit", "0"], "0 is not in 1"),
        (&["--cursor", "x"], "`x` is not a cursor"),
        (&["--cursor", ""], "--cursor"),
    ] {
        let run = program.run(&[&["flows", "list"], arguments].concat());
        run.exits(2).says(&[why]);
    }
}

#[test]
fn every_list_has_pages() {
    let program = program();
    for number in ["1", "2", "3"] {
        program
            .run(&["types", "create", &format!("type-{number}")])
            .exits(0);
        program
            .run(&["zones", "create", &format!("zone-{number}")])
            .exits(0);
        let volume = ["volume", "import", "--size", number, "--name", number];
        program.run(&volume).exits(0);
        program
            .run(&["snapshots", "create", "--volume", number])
            .exits(0);
        program.write(number, "an image");
        program.run(&["images", "create", number]).exits(0);
        program.write(
            "request.json",
            r#"{"size": 1, "availability_zone": "zone-1"}"#,
        );
        let run = ["run", &volume_create(), "--input", "request.json"];
        program.run(&run).exits(0);
    }
    // Volumes of another project, between those of this one.
    let other = ["--project", "other"];
    let volume = ["volume", "import", "--size", "1", "--name", "theirs"];
    program.run(&[&volume[..], &other].concat()).exits(0);
    program
        .run(&[&["images", "create", "1", "--private"][..], &other].concat())
        .exits(0);

    for (list, number) in [
        ("volumes", 6),
        ("snapshots", 3),
        ("types", 3),
        ("images", 3),
        ("zones", 3),
        ("outbox", 3),
        ("flows", 3),
    ] {
        let all = program.json(&[list, "list", "--json"]);
        assert_eq!(ids(&all).len(), number, "{list}: {all}");
        let mut found = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let mut arguments = vec![list, "list", "--json", "--page", "--limit", "2"];
            if let Some(cursor) = &cursor {
                arguments.extend(["--cursor", cursor]);
            }
            let page = program.json(&arguments);
            found.extend(page["rows"].as_array().expect("rows").clone());
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
            assert!(found.len() < 10, "{list} has no end");
        }
        assert_eq!(json!(found), all, "{list}");
        let run = program.run(&[list, "list", "--limit", "2"]).exits(0);
        let next = format!("--cursor {}", ids(&all)[1]);
        run.says(&["there are more rows than these 2", &next]);
    }
}
