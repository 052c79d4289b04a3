use acceptance::program::volume_create;

use super::program;

#[test]
fn an_unknown_key_of_the_settings() {
    let program = program();
    program.write("cairn.toml", "user = \"u\"\n[quota]\nvolume = 1\n");
    program.run(&["zones", "create", "nova"]).exits(2).says(&[
        "unknown key `volume` in [quota]",
        "cairn.toml:3",
        "did you mean `volumes`?",
    ]);
    assert!(!program.has_database());
}

#[test]
fn a_policy_that_cannot_be_read() {
    let program = program();
    program.write("policy.json", "{\n \"volume:create\": \"role member\"\n}");
    let run = program.run(&["run", &volume_create(), "--policy", "policy.json"]);
    run.exits(2)
        .says(&["rule `volume:create`", "policy.json:2", "help:"]);
    assert!(!program.has_database());
}
