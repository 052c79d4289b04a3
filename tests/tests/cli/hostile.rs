//! Checks that text from outside, in every place where it can appear, neither controls a terminal nor forges a line.

use std::fs;

use acceptance::program::{Program, Run, end, volume_create};
use serde_json::{Value, json};

use super::{create, program, sql};

/// A name with a line end, a bell, erasing and colouring codes, and a reversed text direction.
const NAME: &str =
    "x\nforged\r\u{1b}[2J\u{7}\u{8}\u{7f}\u{9b}31m\u{85}\u{2028}forged\u{202e}\u{2066}'\"y";

/// Returns whether a character must never be printed.
fn is_hostile(c: char) -> bool {
    c != '\n' && (c.is_control() || "\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(c))
}

#[track_caller]
fn check(run: &Run, what: &str) {
    assert!(
        run.exit >= 0 && run.exit != 101,
        "{what} ended with {}: {}",
        run.exit,
        run.stderr
    );
    for text in [&run.stdout, &run.stderr] {
        let hostile = text.find(is_hostile);
        assert_eq!(hostile, None, "{what}: {text:?}");
        let forged = text
            .lines()
            .find(|line| line.trim_start().starts_with("forged"));
        assert_eq!(forged, None, "{what}: {text}");
    }
}

/// Returns every command without subcommands, such as `flow list`.
fn commands(program: &Program, of: &[&str]) -> Vec<String> {
    let mut arguments = of.to_vec();
    arguments.push("-h");
    let help = program.run(&arguments).exits(0).stdout;
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return vec![of.join(" ")];
    };
    let names = list
        .lines()
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    names
        .flat_map(|name| {
            let mut of = of.to_vec();
            of.push(name);
            commands(program, &of)
        })
        .collect()
}

/// Creates a database that contains the name wherever possible, including places where the command line would refuse
/// it. Returns a flow's id.
fn world(program: &Program) -> String {
    let request = json!({"size": 1, "name": NAME, "description": NAME, "metadata": {"k": NAME}});
    let made = create(program, &request.to_string(), &[], 0);
    let volume = super::result(&made, "entry-create")["volume_id"].clone();
    let volume = volume.as_str().expect("a volume was made");
    // A flow that fails.
    let over = json!({"size": 1_000_000, "name": NAME});
    create(program, &over.to_string(), &[], 3);
    program.write("image", "bytes");
    program.write("records.toml", "[records.dns.counters.n]\n");
    program.write(
        "deliver.toml",
        "[deliver]\ntransport = \"http\"\nkey_file = \"k\"\ntopics.x = \"http://127.0.0.1:1/\"\n",
    );
    for set_up in [
        "zones create nova",
        "types create gold",
        "images create image",
        "volumes set VOLUME --status available",
        "snapshots create --volume VOLUME",
        "record put dns k 1 --config records.toml",
    ] {
        let words = set_up.replace("VOLUME", volume);
        let words: Vec<&str> = words.split(' ').collect();
        program.run(&words).exits(0);
    }
    let name = format!("'{}'", NAME.replace('\'', "''"));
    for change in [
        "volume_types SET name = @",
        "images SET name = @, status = @",
        "zones SET name = @",
        "volumes SET display_name = @, availability_zone = @, status = @, project_id = @, user_id = @",
        "snapshots SET display_name = @, status = @, project_id = @, user_id = @",
        "quota_usages SET project_id = @",
        "outbox SET topic = @, method = @, last_error = @",
        "flows SET name = @, project_id = @, user_id = @, stuck = @ WHERE id = (SELECT min(id) FROM flows)",
    ] {
        sql(program, &format!("UPDATE {}", change.replace('@', &name)));
    }
    let value = json!({NAME: NAME}).to_string().replace('\'', "''");
    sql(
        program,
        &format!("UPDATE records SET key = {name}, value = '{value}'"),
    );
    sql(
        program,
        &format!(
            "INSERT INTO externals (provider, kind, id, project_id, task, state, spec, result, digest, token, created_at, updated_at) \
             VALUES ({name}, {name}, {name}, 'demo', {name}, {name}, '{value}', '{value}', {name}, 1, 0, 0)"
        ),
    );
    made["flow"]["id"].as_str().expect("an id").to_owned()
}

/// Writes files that contain the name wherever possible.
fn files(program: &Program) {
    let toml = toml_string(NAME);
    let flow = fs::read_to_string(volume_create()).expect("the example is there");
    for (file, text) in [
        (NAME, NAME.to_owned()),
        (
            "named.toml",
            flow.replacen("\"volume_create_api\"", &toml, 1).replacen(
                "\"volume:create\"",
                &toml,
                1,
            ),
        ),
        (
            "wrong.toml",
            "[flow]\nname = @\n[plugins.@]\nbuiltin = @\n[[task]]\nplugin = @\n"
                .replace('@', &toml),
        ),
        ("settings.toml", "@ = 1\n".replace('@', &toml)),
        (
            "who.toml",
            "zone = @\nuser = @\nproject = @\n".replace('@', &toml),
        ),
        (
            "case.toml",
            "[[case]]\nname = @\ninputs = { @ = @ }\nsettings = { provides = [@] }\n"
                .replace('@', &toml),
        ),
        ("bad.json", format!("{{\"size\": {NAME}")),
        (
            "type.json",
            json!({"size": 1, "volume_type": NAME}).to_string(),
        ),
        (
            "zone.json",
            json!({"size": 1, "availability_zone": NAME}).to_string(),
        ),
        ("size.json", json!({"size": NAME, NAME: NAME}).to_string()),
        (
            "user.json",
            json!({"user_id": NAME, "project_id": NAME, "roles": [NAME]}).to_string(),
        ),
        (
            "target.json",
            json!({"project_id": NAME, NAME: NAME}).to_string(),
        ),
        (
            "policy.json",
            json!({"a": "user_id:x and rule:b or roles:%(project_id)s", "b": "project_id:x"})
                .to_string(),
        ),
        (
            "wrong-policy.json",
            json!({NAME: format!("rule:{NAME} or {NAME}")}).to_string(),
        ),
    ] {
        program.write(file, text);
    }
}

/// Calls of every command. `@` is the name, `{@}` a JSON object with it, `FLOW` the first example, `ID` the id of a
/// flow.
const CALLS: &str = "
run FLOW --input type.json
run FLOW --input type.json --input zone.json --input size.json
run FLOW --input zone.json -vvv
run FLOW --input size.json
run FLOW --input bad.json
run FLOW --input @
run FLOW --config who.toml -vvv
run FLOW --workers @
run FLOW --locked --key @
run FLOW --policy wrong-policy.json
run FLOW --policy @/@
run named.toml -vvv
run wrong.toml
run @/@
run --@=1
plan named.toml
plan named.toml -o mermaid
plan named.toml -o @
plan named.toml --lock
plan wrong.toml
plan @
plan FLOW --config settings.toml
plan FLOW --config @/@
init @
init @
init @ --example @
flow list
flow list --cursor @
flow list --stuck
flow list --name @ --key @
flow list --since @
flow list --verdict @
flows list --verdict clean
flow list --state @
flow list --limit @
flow list --project @ --user @ --error @ --unfinished
flow list --longer-than @
status
status --json
find @
find volume_create_api
find ID
flow show ID
flow events ID
flow logs ID
flow show @
flow show --@
flow events @
flow logs @
flow interrupt @
flow resume @
flow reset @
flow rollback @ --reason @
flow signal @ @ --input {@}
flow signal ID @
flow rollback ID --accept @
flow rollback ID --reason @
flow show ID
flow prune --older-than @
flow prune --older-than 30d
flow deploy named.toml
flow deploy @
flow deploy FLOW --as @
flow deploy wrong.toml --no-test
flow versions
flow versions @
flow undeploy @
token create --user @ --project @ --role @
token create --user @ --project p --expires @
token list
token revoke @
audit list
audit list --subject @ --user @
audit list --since @
serve --listen @
serve --listen 0.0.0.0:0
serve --tls-cert @ --tls-key @ --listen 127.0.0.1:0
man @/@
flow @
recover @
recover
quota show --project @
quota show --class @
quota set @
quota set @=1
quota set volumes=@
quota unset @
quota set volumes=7 --class @
quota check --admin
quota sync
quota check --admin --project @
quota expire @
volume create @
volume create --size 1 --name @ --type @ --availability-zone @
volume create --size 1 --name @ --metadata @=@ --description @
volume create --size 1 --host @
volume create --snapshot @ --key @
volume create --source-volume @
volume create --image @ --size 1
volume import @
volume import --size 1 --name @ --type @ --availability-zone @
volume import --size 1 --name @ --metadata @
volume import --size 1 --name @ --metadata @=@ --description @ --host @
volume list --project @
volume list --all-projects --admin
volume show @ --project @
volume show @
volume set @ --status @ --admin
volume delete @
snapshot create --volume @ --name @
snapshot list --all-projects --admin
snapshot show @ --admin
snapshot delete @
type create @ --extra @ --qos @=@
type create other@ --extra @=@ --encrypt @ --cipher @
type list
type show @
type show other@
type delete missing@
image create @ --name @
image create @ --min-disk @
image create @/@
image list
image show @
image delete missing@
zone create other@
zone list
zone list --config who.toml
zone show @
zone show missing@
zone delete missing@
record list dns --config records.toml
record list dns --config records.toml --json --prefix @
record list @
record show dns @ --config records.toml
record show dns @
record put dns @ {@} --config records.toml
record put dns @ @ --config records.toml
record put @ k 1 --config records.toml
record put dns k --input @
record put dns k 1 --expect @
record remove dns @ --config records.toml
record release dns @ --flow ID --reason @ --config records.toml
record release dns k --flow @ --reason @
record counters dns --config records.toml
record counters @
outbox list --all --admin
outbox ack @
outbox show @
outbox retry @ --admin --config deliver.toml
outbox discard @ --admin
host list
host drain @
host end @ --dead
external list --provider @ --kind @
external list
external list --cursor @
external list --limit 1 --json --page
external list --all-projects --admin --state @
external look @ @ @
external look shelf book 6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11 --admin --manifest @
external look @ book 6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11 --admin
external scan @ @ --admin
external scan shelf book --admin --manifest @
external adopt shelf @ 6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11 --admin --reason @
external remove shelf @ 6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11 --admin --yes
plugin new @ --lang @
plugin new @
plugin build @
plugin check @
plugin check @/@
plugin inspect @
plugin inspect builtin:@
plugin inspect builtin:inject --settings {@}
plugin diff @ @
plugin diff builtin:inject builtin:quota-reserve --settings @
plugin diff builtin:inject builtin:quota-reserve --settings {@}
plugin call builtin:inject --inputs {@} --settings {\"provides\":[\"x\"]}
plugin call builtin:quota-reserve --inputs {@} --project @
plugin call builtin:inject --fake @
plugin call builtin:@
plugin test builtin:inject --cases case.toml
plugin test builtin:inject --cases @
plugin test @/@
policy check --rule a --as user.json --target target.json --policy policy.json
policy check --rule @ --as user.json --target target.json
policy check --rule @ --as user.json --target target.json --policy wrong-policy.json
policy check --rule x --as bad.json --target @
policy check --rule x --as user.json --target bad.json
config check
config show --user @
config show --config settings.toml
config show --db @ --zone @
config check --config @/@
run FLOW --input {@}
run FLOW -o @
db check
db check --db @
db check --db @/@
db backup @
db restore @
db restore @/@
db vacuum
db vacuum @
db migrate --db @
db migrate @
db release
db release --db @
db move --to @
db move --to postgres://@
bench --case @
bench --messages 1 --topic @
completions @
--log-level @ recover
@
";

#[test]
fn no_text_that_is_printed_acts_on_a_terminal_or_forges_a_line() {
    let program = program();
    let id = world(&program);
    files(&program);
    let (flow, object) = (volume_create(), json!({NAME: NAME}).to_string());
    let calls: Vec<Vec<String>> = CALLS
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let words = line.split(' ').map(|word| match word {
                "FLOW" => flow.clone(),
                "ID" => id.clone(),
                "{@}" => object.clone(),
                word => word.replace('@', NAME),
            });
            words.collect()
        })
        .collect();
    for command in commands(&program, &[]) {
        let fed = CALLS.lines().any(|line| {
            line.strip_prefix(&command)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        assert!(
            fed,
            "`{command}` is fed no hostile names: add it to the calls"
        );
    }
    for call in &calls {
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        let what = format!("{call:?}");
        check(&program.run(&words), &what);
        // In JSON, every line of the log is a document.
        let run = program.run(&[&words[..], &["--log-format", "json"]].concat());
        check(&run, &what);
        for line in run.stderr.lines().filter(|line| line.starts_with('{')) {
            let line: Result<Value, _> = serde_json::from_str(line);
            assert!(line.is_ok(), "{what}: {}", run.stderr);
        }
    }
    for variable in [
        "CAIRN_DB",
        "CAIRN_CONFIG",
        "CAIRN_ZONE",
        "CAIRN_PROJECT",
        "CAIRN_LOG_LEVEL",
    ] {
        let mut command = program.command(&["volumes", "list"]);
        command.env(variable, NAME);
        check(&end(command.spawn().expect("it starts")), variable);
    }
}

#[test]
fn what_is_escaped_is_still_told() {
    let program = program();
    world(&program);
    let shown = "x\\nforged\\r\\u{1b}[2J\\u{7}\\u{8}\\u{7f}\\u{9b}31m\\u{85}\\u{2028}forged\\u{202e}\\u{2066}'\"y";
    for call in [
        &["volumes", "list", "--all-projects", "--admin"][..],
        &["volumes", "show", NAME, "--admin"],
        &["snapshots", "list", "--all-projects", "--admin"],
        &["types", "list"],
        &["types", "show", NAME],
        &["zones", "list"],
        &["images", "list"],
        &["outbox", "list", "--all", "--admin"],
        &["flows", "list"],
    ] {
        let run = program.run(call).exits(0);
        assert!(run.stdout.contains(shown), "{call:?}: {}", run.stdout);
    }
    for call in [
        &["zones", "show", &format!("a{NAME}")][..],
        &["types", "show", &format!("a{NAME}")],
        &["flows", "show", NAME],
        &["flows", &format!("--{NAME}")],
        &["quota", "set", &format!("volumes={NAME}")],
        &["run", NAME],
    ] {
        program.run(call).exits(2).says(&[shown]);
    }
}

#[test]
fn documents_hold_the_same_text_in_escapes() {
    let program = program();
    let id = world(&program);
    for call in [
        &["volumes", "list", "--all-projects", "--admin", "--json"][..],
        &["volumes", "show", NAME, "--admin", "--json"],
        &["types", "list", "--json"],
        &["zones", "list", "--json"],
        &["images", "list", "--json"],
        &["outbox", "list", "--all", "--admin", "--json"],
        &["flows", "list", "--json"],
        &["flows", "events", &id, "--json"],
    ] {
        let run = program.run(call).exits(0);
        check(&run, &format!("{call:?}"));
        assert!(holds(&run.json(), NAME), "{call:?}: {}", run.stdout);
    }
    // In a stream, every line is a report.
    let request = json!({"request": {"size": 1, "volume_type": "\u{9b}"}, "key": NAME});
    program.write("requests.jsonl", request.to_string());
    let requests = fs::File::open(program.path("requests.jsonl")).expect("it was written");
    let mut stream = program.command(&["run", &volume_create(), "--jsonl"]);
    let run = end(stream.stdin(requests).spawn().expect("it starts"));
    check(&run, "a stream");
    assert_eq!(run.json()["key"], NAME);
}

/// Returns whether this text is a value anywhere in a document.
fn holds(document: &Value, text: &str) -> bool {
    match document {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(fields) => fields.values().any(|value| holds(value, text)),
        _ => false,
    }
}

/// Returns a TOML string in which every hostile character is escaped.
fn toml_string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if is_hostile(c) || c == '\n' => format!("\\U{:08X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
