//! Operations that take longer than their forms wait.

use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::serving::Serving;
use acceptance::slow::{slower_after, start_slow};

use super::deployed;
use super::pages::{form, token};

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_late_failure_of_an_operation_is_shown_on_the_flows_page() {
    let program = deployed("");
    slower_after(&program, "inject", 8);
    let serving = Serving::start(&program, &[]);
    let mut run = start_slow(&program, &["run", "slow.toml", "--input", "slow.json"]);
    let flows = serving.get("/v1/flows").is(200).json();
    let id = flows["flows"][0]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{flows}"));
    let path = format!("/ui/flows/{id}");
    let page = serving.get(&path).is(200).body;
    assert!(page.contains("id=\"notice\"") && !page.contains("goes on."));
    // The other process does not answer while it is stopped.
    signal("-STOP", run.id());
    let csrf = token(&page);
    let fields = [("csrf", csrf.as_str()), ("reason", "it takes <b>long")];
    let begun = Instant::now();
    let done = form(&serving, &format!("{path}/accept"), "", &fields);
    let took = begun.elapsed();
    let page = serving.get(&path).is(200).body;
    signal("-CONT", run.id());
    assert_eq!(done.is(303).header("location"), Some(path.as_str()));
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(
        page.contains("Accept as it is</strong> was asked for"),
        "{page}"
    );
    let page = loop {
        let page = serving.get(&path).is(200).body;
        if page.contains("Accept as it is failed") {
            break page;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{page}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(page.contains("role=\"alert\""), "{page}");
    run.kill().unwrap();
    run.wait().unwrap();
}
