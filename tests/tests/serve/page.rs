//! Runs the first commands of `host/docs/serving.md` as they are written, in an empty folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use acceptance::program::{Program, repository};

/// Returns the commands of the page's first section as one script.
fn script(page: &str) -> String {
    let first = page.split("\n## Submitting").next().unwrap();
    let mut script = "set -eo pipefail\n".to_owned();
    for block in first.split("```bash\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            script += &format!("{line}\n");
            if line == "cairn serve &" {
                // A reader is slower.
                script += "trap 'kill %1' EXIT\n";
                script += "curl -s --retry 50 --retry-connrefused --retry-delay 1 localhost:7411/readyz\n";
            }
        }
    }
    script
}

#[test]
fn a_newcomer_submits_follows_and_rolls_back_with_curl() {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let bin = program.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_cairn-under-test"), bin.join("cairn")).unwrap();
    let page = fs::read_to_string(repository("host/docs/serving.md")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let run = Command::new("timeout")
        .args(["120", "bash", "-c", &script(&page)])
        .current_dir(program.path(""))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CAIRN_CACHE", program.beside("acceptance-cache"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    let messages = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{printed}\n{messages}");
    for part in [
        "HTTP/1.1 202 Accepted",
        "\"state\":\"SUCCESS\"",
        "event: entry",
        "event: end",
        "\"verdict\":\"clean\"",
    ] {
        assert!(printed.contains(part), "{part}: {printed}\n{messages}");
    }
}
