//! Checks `examples/alerts.yml` with Prometheus' own tool, and against the metrics of a server.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};

use acceptance::powerdns::free_port;
use acceptance::program::{Program, repository};
use acceptance::serving::{Serving, send, try_send};
use acceptance::slow::eventually;
use acceptance::tools::not_run;
use cairn::store::view::FindingKind;
use serde_json::Value;
use tempfile::TempDir;

fn alerts() -> String {
    fs::read_to_string(repository("examples/alerts.yml")).expect("the alerts")
}

#[test]
fn prometheus_accepts_the_alerts_and_they_fire_when_they_should() {
    let test = "prometheus_accepts_the_alerts_and_they_fire_when_they_should";
    if let Err(error) = Command::new("promtool").arg("--version").output() {
        return not_run(test, "promtool (prometheus)", &error.to_string());
    }
    for (kind, file) in [
        ("check", "examples/alerts.yml"),
        ("test", "tests/alerts.test.yml"),
    ] {
        let ran = Command::new("promtool")
            .args([kind, "rules", &repository(file)])
            .output()
            .expect("promtool is there");
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// A Prometheus in a folder of its own. It ends with the test.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes this address each second, and evaluates the alerts.
    fn scraping(metrics: &str) -> std::io::Result<Self> {
        let folder = TempDir::new()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let address = format!("127.0.0.1:{}", free_port());
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
             scrape_configs: [{{ job_name: cairn, static_configs: [{{ targets: ['{metrics}'] }}] }}]\n",
            repository("examples/alerts.yml")
        );
        fs::write(path("prometheus.yml"), config)?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            address,
            _folder: folder,
        })
    }

    /// Returns the data that it answers with; `None` while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = try_send(&self.address, "GET", path, &[], None).ok()?;
        (answer.status == 200).then(|| answer.json()["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_a_server_and_sees_what_needs_a_person() {
    let test = "prometheus_scrapes_a_server_and_sees_what_needs_a_person";
    let (_program, _serving, metrics) = with_a_finding();
    let prometheus = match Prometheus::scraping(&metrics) {
        Ok(prometheus) => prometheus,
        Err(error) => return not_run(test, "prometheus", &error.to_string()),
    };
    let wanted = names(&alerts());
    eventually("it knows the metrics of all alerts", || {
        let names = prometheus.ask("/api/v1/label/__name__/values");
        let known = names.unwrap_or_default();
        let known = known.as_array().map_or(&[][..], |known| known);
        wanted
            .iter()
            .all(|name| known.contains(&Value::from(name.as_str())))
    });
    eventually("an alert is pending", || {
        let alerts = prometheus.ask("/api/v1/alerts").unwrap_or_default();
        let alerts = alerts["alerts"].as_array().cloned().unwrap_or_default();
        !alerts.is_empty()
    });
    let targets = prometheus.ask("/api/v1/targets").unwrap();
    let target = &targets["activeTargets"][0];
    assert_eq!(
        (&target["health"], &target["lastError"]),
        (&"up".into(), &"".into())
    );
}

/// Returns the names of metrics in the alerts.
fn names(text: &str) -> BTreeSet<String> {
    let expressions = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("cairn_"));
    expressions.map(str::to_owned).collect()
}

/// Starts a server with a flow that waits for longer than expected. Returns where its metrics are, too.
fn with_a_finding() -> (Program, Serving, String) {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let metrics = format!("127.0.0.1:{}", free_port());
    let settings = "[records.greetings]\n[status]\nwait = \"1s\"\n";
    program
        .write(
            "cairn.toml",
            format!("{settings}[serve]\nmetrics = \"{metrics}\"\n"),
        )
        .write(
            "flow.toml",
            "flow = { name = \"waits\" }\ntask = [{ wait = { signal = \"approved\" } }]\n",
        );
    program
        .run(&["run", "flow.toml", "--input", "{}", "--no-wait"])
        .exits(5);
    program.run(&["db", "backup", "backup"]).exits(0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let serving = Serving::start(&program, &[]);
    (program, serving, metrics)
}

#[test]
fn a_server_has_the_metrics_that_the_alerts_read() {
    let (_program, serving, metrics) = with_a_finding();
    let scraped = send(&metrics, "GET", "/metrics", &[], None).is(200).body;
    let wanted = names(&alerts());
    assert!(wanted.len() > 6, "{wanted:?}");
    for name in &wanted {
        let sample = scraped.lines().find(|line| {
            let rest = line.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        assert!(sample.is_some(), "{name} is missing:\n{scraped}");
    }
    for (name, label) in [
        ("cairn_findings", "kind=\"waiting\""),
        ("cairn_undelivered_messages", "state=\"failed\""),
        ("cairn_oldest_message_seconds", "state=\"sending\""),
        ("cairn_http_requests_total", "status=\"200\""),
    ] {
        let found = scraped
            .lines()
            .any(|line| line.starts_with(name) && line.contains(label));
        assert!(found, "{name} with {label} is missing:\n{scraped}");
    }
    serving.kill();
}

#[test]
fn the_alerts_name_each_kind_of_finding_that_has_no_measure_of_its_own() {
    // Messages and backups have one.
    let kinds = [
        FindingKind::Held,
        FindingKind::Stuck,
        FindingKind::Incomplete,
        FindingKind::Unknown,
        FindingKind::Interrupted,
        FindingKind::Running,
        FindingKind::Overdue,
        FindingKind::Waiting,
        FindingKind::Check("quota"),
        FindingKind::LateHost,
    ];
    let kinds: BTreeSet<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let alerts = alerts();
    let named = alerts.split("{kind=").skip(1).flat_map(|rest| {
        let kinds = rest.split('"').nth(1).unwrap_or_default();
        kinds.split('|')
    });
    assert_eq!(named.collect::<BTreeSet<&str>>(), kinds);
}
