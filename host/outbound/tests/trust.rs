//! Requests over TLS: the server's certificate must be of a known authority, for the URL's host, and valid now.

mod support;

use std::path::Path;
use std::sync::Arc;

use cairn_outbound::{Authorities, Client, OutboundError, SystemResolver};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use support::{Detour, LIMITS, Names, Server, get, grant, head, ok, send};

/// An authority.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// Starts a server with a certificate for a name, valid in these years.
    fn serve(&self, name: &str, years: (i32, i32)) -> Server {
        self.serve_all(vec![name.to_owned()], years)
    }

    fn serve_all(&self, names: Vec<String>, years: (i32, i32)) -> Server {
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key.into())
                .unwrap();
        let config = Arc::new(config);
        Server::start(move |mut stream| {
            use std::io::{Read as _, Write as _};
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut secured = rustls::Stream::new(&mut tls, &mut stream);
            let mut request = [0; 4096];
            if secured.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = secured.write_all(ok("secured").as_bytes());
                tls.send_close_notify();
                let _ = tls.write_tls(&mut stream);
            }
        })
    }
}

const VALID: (i32, i32) = (2020, 2120);

/// A client that trusts an authority.
fn trusting(folder: &Path, authority: &Authority) -> Client {
    let path = folder.join("ca.pem");
    std::fs::write(&path, authority.certificate.pem()).unwrap();
    Client::new(
        Arc::new(SystemResolver),
        Authorities::with_file(&path).unwrap(),
    )
}

fn url(host: &str, server: &Server) -> String {
    format!("https://{host}:{}/x", server.address.port())
}

#[track_caller]
fn refused(client: &Client, url: &str, server: &Server, expected: &str) {
    let error = send(client, &grant(&[url]), get(url), None, LIMITS).unwrap_err();
    let OutboundError::Tls {
        problem,
        certificate,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!(*certificate && problem.contains(expected), "{error}");
    assert!(error.is_before_sending());
    assert_eq!(server.accepted(), 1, "it was connected to");
}

#[test]
fn a_certificate_must_be_of_a_known_authority_for_the_host_and_valid_now() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let client = trusting(folder.path(), &right);
    for (name, host) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")] {
        let server = right.serve(name, VALID);
        let url = url(host, &server);
        let response = send(&client, &grant(&[&url]), get(&url), None, LIMITS).unwrap();
        assert_eq!(response.body(), "secured", "{name}");
    }
    for (authority, name, years, expected) in [
        (&wrong, "localhost", VALID, "UnknownIssuer"),
        (&right, "elsewhere.example", VALID, "not valid for name"),
        (&right, "127.0.0.1", VALID, "not valid for name"),
        (&right, "localhost", (2020, 2021), "expired"),
        (&right, "localhost", (2119, 2120), "not valid yet"),
    ] {
        let server = authority.serve(name, years);
        refused(&client, &url("localhost", &server), &server, expected);
    }
    let server = right.serve("localhost", VALID);
    refused(
        &client,
        &url("127.0.0.1", &server),
        &server,
        "not valid for name",
    );
}

#[test]
fn an_error_does_not_repeat_all_names_of_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let right = Authority::new("right");
    let names = (0..300).map(|at| format!("name-{at}.example")).collect();
    let server = right.serve_all(names, VALID);
    let (client, url) = (trusting(folder.path(), &right), url("localhost", &server));
    let error = send(&client, &grant(&[&url]), get(&url), None, LIMITS).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("not valid for name") && text.len() < 500,
        "{text}"
    );
}

#[test]
fn an_authority_that_no_one_named_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let own = Authority::new("own");
    // Another one is named, so that there is one where the system has none.
    let client = trusting(folder.path(), &Authority::new("other"));
    let server = own.serve("localhost", VALID);
    refused(
        &client,
        &url("localhost", &server),
        &server,
        "UnknownIssuer",
    );
}

#[test]
fn the_certificate_is_for_the_name_and_not_for_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let right = Authority::new("right");
    for (name, is_right) in [("service.example", true), ("93.184.216.34", false)] {
        let server = right.serve(name, VALID);
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, right.certificate.pem()).unwrap();
        let names = Names::new(&[&["93.184.216.34"]]);
        let client = Client::new(names, Authorities::with_file(&path).unwrap())
            .with_connector(Detour::to(&server));
        let url = "https://service.example/x";
        let found = send(&client, &grant(&[url]), get(url), None, LIMITS);
        assert_eq!(found.is_ok(), is_right, "{name}: {found:?}");
    }
}

#[test]
fn a_server_without_tls_is_not_spoken_to_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let client = trusting(folder.path(), &Authority::new("right"));
    let server = Server::start(|mut stream| {
        use std::io::Write as _;
        let mut first = [0; 1];
        let _ = std::io::Read::read(&mut stream, &mut first);
        // The first byte of TLS, not of a request's line.
        assert_eq!(first, [0x16]);
        let _ = stream.write_all(ok("in clear").as_bytes());
        head(&mut stream);
    });
    let url = url("localhost", &server);
    let error = send(&client, &grant(&[&url]), get(&url), None, LIMITS).unwrap_err();
    assert!(
        matches!(
            error,
            OutboundError::Tls {
                certificate: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_file_of_authorities_holds_certificates() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, expected) in [
        ("gone.pem", None, "cannot be used"),
        (
            "empty.pem",
            Some("no certificate\n"),
            "it holds no certificate",
        ),
        (
            "broken.pem",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "no authority's",
        ),
    ] {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = Authorities::with_file(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
}
