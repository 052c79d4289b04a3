//! `cairn token …`.

use std::fs;

use acceptance::program::Program;
use cairn::value::Digest;
use serde_json::{Value, json};

use super::program;

const CREATE: [&str; 6] = ["token", "create", "--user", "ann", "--project", "blue"];

/// Creates a token, with more arguments.
#[track_caller]
fn create(program: &Program, more: &[&str]) -> Value {
    program.json(&[&CREATE, more, &["--json"]].concat())
}

fn list(program: &Program) -> Value {
    program.json(&["token", "list", "--json"])
}

/// Returns the bytes of every file in the program's folder.
fn bytes(program: &Program) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(program.path(".")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.extend(fs::read(path).unwrap());
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn a_token_is_shown_once_and_only_its_digest_is_stored() {
    let program = program();
    let made = create(
        &program,
        &[
            "--project",
            "green",
            "--project",
            "blue",
            "--role",
            "member",
            "--expires",
            "90d",
        ],
    );
    let token = made["token"].as_str().unwrap();
    assert_eq!(token.len(), "cairn_".len() + 43);
    assert!(token.starts_with("cairn_"), "{token}");
    let digest = Digest::of(token.as_bytes()).to_string();
    assert_eq!(made["id"], digest[..12]);
    assert_eq!(made["projects"], json!(["blue", "green"]));
    assert_eq!(made["roles"], json!(["member"]));
    let bytes = bytes(&program);
    assert!(holds(&bytes, &digest), "the digest is stored");
    assert!(!holds(&bytes, &token["cairn_".len()..]), "the token is not");

    let plain = program
        .run(&CREATE)
        .exits(0)
        .says(&["shown this once only"]);
    assert_eq!(plain.stdout.len(), token.len() + 1);
    assert_ne!(plain.stdout.trim(), token);

    let listed = list(&program);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["id"], made["id"]);
    assert_eq!(listed[0]["expires_at"], made["expires_at"]);
    assert_eq!(
        (&listed[0]["state"], &listed[1]["state"]),
        (&json!("valid"), &json!("valid"))
    );
    assert_eq!(listed[1]["expires_at"], Value::Null);
    assert!(
        listed
            .iter()
            .all(|row| row.get("token").is_none() && row.get("digest").is_none())
    );
    let page = program.json(&["token", "list", "--json", "--page", "--limit", "1"]);
    assert_eq!(page["next"], made["id"]);
    let id = made["id"].as_str().unwrap();
    let rest = program.json(&["token", "list", "--json", "--cursor", id]);
    assert_eq!(rest, json!([listed[1]]));
}

#[test]
fn a_token_is_revoked_for_good() {
    let program = program();
    let made = create(&program, &[]);
    let id = made["id"].as_str().unwrap();
    let revoked = program.json(&["token", "revoke", id, "--json"]);
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(list(&program)[0]["state"], "revoked");
    // Again does nothing more.
    assert_eq!(program.json(&["token", "revoke", id, "--json"]), revoked);
    let told = program.run(&["token", "revoke", id]).exits(0).stdout;
    assert_eq!(told, format!("revoked {id}\n"));
    let audit = program.json(&["audit", "list", "--subject", id, "--json"]);
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert_eq!(
        (&audit[0]["action"], &audit[1]["action"]),
        (&json!("token.revoke"), &json!("token.create"))
    );
    assert_eq!(audit[1]["after"]["user"], "ann");
    program
        .run(&["token", "revoke", "unheard-of"])
        .exits(2)
        .says(&["there is no token `unheard-of`"]);
    let brief = create(&program, &["--expires", "1us"]);
    let states = list(&program);
    assert_eq!(
        (&states[1]["id"], &states[1]["state"]),
        (&brief["id"], &json!("expired"))
    );
}

#[test]
fn what_a_token_cannot_be_is_refused_before_anything_is_written() {
    let program = program();
    let long = "a".repeat(256);
    let many: Vec<String> = (0..65).map(|number| format!("p{number}")).collect();
    let many: Vec<&str> = many.iter().flat_map(|name| ["--project", name]).collect();
    let user = ["token", "create", "--user", "ann"];
    for (arguments, says) in [
        (user.to_vec(), "--project"),
        (vec!["token", "create", "--project", "blue"], "--user"),
        ([&user[..], &["--project", ""]].concat(), "is empty"),
        (
            [&user[..], &["--project", &long]].concat(),
            "256 characters",
        ),
        (
            [&user[..], &["--project", "a\u{1b}[2J"]].concat(),
            "control character",
        ),
        ([&user[..], &many[..]].concat(), "more than 64 times"),
        ([&CREATE[..], &["--role", &long]].concat(), "256 characters"),
        (
            [&CREATE[..], &["--expires", "soon"]].concat(),
            "such as 30d",
        ),
        (
            [&CREATE[..], &["--expires", "0s"]].concat(),
            "is no time at all",
        ),
    ] {
        let run = program.run(&arguments).exits(2).says(&[says]);
        assert!(
            !run.stderr.contains('\u{1b}') && run.stdout.is_empty(),
            "{run:?}"
        );
    }
    assert!(!program.has_database());
}

#[test]
fn tokens_are_kept_on_a_server() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let program = program();
    let database = server.database();
    program.write("cairn.toml", database.settings(""));
    let (first, second) = (
        create(&program, &[]),
        create(&program, &["--expires", "1h"]),
    );
    let id = first["id"].as_str().unwrap();
    program.run(&["token", "revoke", id]).exits(0);
    let listed = list(&program);
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"]),
        (&first["id"], &json!("revoked"))
    );
    assert_eq!(
        (&listed[1]["id"], &listed[1]["state"]),
        (&second["id"], &json!("valid"))
    );
    let rest = program.json(&["token", "list", "--json", "--cursor", id]);
    assert_eq!(rest, json!([listed[1]]));
}
