//! Requests over TLS: the receiver's certificate must be of a known authority, and for its host.

#![cfg(feature = "http")]

use std::fs::Permissions;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_deliver::http::Http;
use cairn_deliver::{Outcome, Transport as _};
use cairn_effects::outbox::Message;
use cairn_manifest::config::{HttpConfig, Url};
use cairn_model::secret::SecretSource;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
}

/// Makes an authority, `NAME.pem`.
fn authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} \
             -days 2 -addext keyUsage=critical,keyCertSign"
        ),
    );
}

/// Makes a certificate for a host by `ca`: `leaf.pem`, `leaf.key`.
fn certificate(folder: &Path, host: &str) {
    std::fs::write(
        folder.join("extensions"),
        format!("subjectAltName={host}\n"),
    )
    .unwrap();
    openssl(
        folder,
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf",
    );
    openssl(
        folder,
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out leaf.pem",
    );
}

/// A server that answers what comes first with 200.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = Command::new("openssl")
            .args([
                "s_server", "-quiet", "-cert", "leaf.pem", "-key", "leaf.key", "-accept",
            ])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is there");
        // What is written here goes to whoever is connected.
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        child.stdin.as_mut().unwrap().write_all(answer).unwrap();
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_key(path: &Path) {
    std::fs::write(path, "secret").unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn sent(folder: &Path, server: &Server, ca: Option<&str>) -> Outcome {
    write_key(&folder.join("key"));
    let url = format!("https://127.0.0.1:{}/in", server.port);
    let config = HttpConfig {
        topics: [("*".to_owned(), Url::parse(&url).unwrap())].into(),
        key: SecretSource::File(folder.join("key")),
        ca: ca.map(|ca| folder.join(ca)),
    };
    let mut http = Http::open(&config, Duration::from_secs(5)).unwrap();
    let message = Message {
        id: "0193a1b2-0000-7000-8000-000000000001".into(),
        arguments: "{}".into(),
        ..Message::default()
    };
    // Until it listens.
    let since = Instant::now();
    loop {
        let outcome = http.publish(std::slice::from_ref(&message)).remove(0);
        let is_early =
            matches!(&outcome, Outcome::Retry { reason, .. } if reason.contains("refused"));
        if !is_early || since.elapsed() > Duration::from_secs(20) {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_certificate_must_be_of_a_known_authority_and_for_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    authority(folder, "ca");
    authority(folder, "other");
    certificate(folder, "IP:127.0.0.1");
    for (ca, is_known) in [
        (Some("ca.pem"), true),
        (Some("other.pem"), false),
        (None, false),
    ] {
        let outcome = sent(folder, &Server::start(folder), ca);
        match is_known {
            true => assert_eq!(outcome, Outcome::Confirmed),
            false => assert!(
                matches!(&outcome, Outcome::Retry { reason, .. } if reason.contains("certificate")),
                "{ca:?}: {outcome:?}"
            ),
        }
    }
    certificate(folder, "DNS:elsewhere.example");
    let outcome = sent(folder, &Server::start(folder), Some("ca.pem"));
    assert!(
        matches!(&outcome, Outcome::Retry { reason, .. } if reason.contains("certificate")),
        "{outcome:?}"
    );
}

#[test]
fn a_file_of_authorities_holds_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_key(&folder.join("key"));
    authority(folder, "ca");
    std::fs::write(folder.join("empty.pem"), "no certificate\n").unwrap();
    for (file, expected) in [
        ("gone.pem", "the authorities cannot be used"),
        ("empty.pem", "it holds no certificate"),
        ("ca.key", "it holds more than certificates"),
    ] {
        let config = HttpConfig {
            topics: [("*".to_owned(), Url::parse("https://h/").unwrap())].into(),
            key: SecretSource::File(folder.join("key")),
            ca: Some(folder.join(file)),
        };
        let error = Http::open(&config, Duration::from_secs(5))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(expected) && error.contains(file), "{error}");
    }
}
