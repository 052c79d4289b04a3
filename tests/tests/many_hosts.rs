//! Runs the commands of `host/docs/many-hosts.md` as they are written, in an empty folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use acceptance::program::{Program, repository};
use cairn_test_postgres::Setup;

/// How long the page's commands may take, in seconds.
const MOST_SECONDS: &str = "240";

/// Returns the page's commands as one script. Blocks of lists are indented.
fn script(page: &str) -> String {
    let mut script = "set -eo pipefail\n".to_owned();
    let mut is_open = false;
    for line in page.lines() {
        match (line.trim(), is_open) {
            ("```bash", false) => is_open = true,
            ("```", true) => is_open = false,
            (line, true) => script += &format!("{line}\n"),
            (_, false) => {}
        }
    }
    script
}

#[test]
fn an_operator_sets_up_two_hosts_as_the_page_says() {
    // The server keeps what it commits: nothing accepts one that does not.
    let setup = Setup {
        fsync: true,
        ..Setup::default()
    };
    let Some(server) = cairn_test_postgres::own(&setup) else {
        return;
    };
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let (folder, bin) = (program.path("empty"), program.path("bin"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_cairn-under-test"), bin.join("cairn")).unwrap();
    let port = server.port().to_string();
    let page = fs::read_to_string(repository("host/docs/many-hosts.md")).unwrap();
    let place = "127.0.0.1:5432";
    assert!(page.contains(place), "{place}");
    let script = script(&page).replace(place, &format!("127.0.0.1:{port}"));
    let path = std::env::var("PATH").unwrap();
    // Ends the hosts that the script starts, too.
    let output = Command::new("timeout")
        .args(["--kill-after=5", MOST_SECONDS, "bash", "-c", &script])
        .current_dir(&folder)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CAIRN_CACHE", program.beside("acceptance-cache"))
        .envs([
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &*port),
            ("PGUSER", "cairn"),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} (124: it took more than {MOST_SECONDS} s)\n{stdout}\n{stderr}",
        output.status
    );
    assert!(
        stdout.contains("Hello Ada") && stdout.contains("PARTITIONS"),
        "{stdout}"
    );
    assert!(
        stderr.contains("works on this database: records.greetings.max_keys\n"),
        "{stderr}"
    );
    assert!(
        folder.join("locks").is_dir(),
        "both hosts keep their locks there"
    );
    let told = fs::read_to_string(folder.join("told")).unwrap();
    let there = fs::read_to_string(folder.join("there")).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(there.contains(told.trim()), "{there}");
}
