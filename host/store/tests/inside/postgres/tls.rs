//! TLS with certificates of the test's own making: one that is right, and those that are wrong in one way each.

use std::fs;
use std::path::PathBuf;

use cairn_test_postgres::{Database, Server, Setup, Stop};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use super::config;
use crate::postgres::link::{ADMIN, Link, LinkError};
use crate::postgres::{PostgresConfig, Target};

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

    /// A certificate and its key, for a name, valid in these years.
    fn issue(&self, name: &str, years: (i32, i32)) -> [String; 2] {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        [certificate.pem(), key.serialize_pem()]
    }
}

fn files([certificate, key]: [String; 2]) -> Vec<(String, String)> {
    vec![
        ("server.crt".to_owned(), certificate),
        ("server.key".to_owned(), key),
    ]
}

/// A server with TLS, and the file of the authority of its certificate.
struct World {
    server: Server,
    authority: Authority,
    folder: TempDir,
}

const VALID: (i32, i32) = (2020, 2120);

impl World {
    fn new() -> Option<Self> {
        let authority = Authority::new("the right authority");
        let setup = Setup {
            settings: vec!["ssl = on".to_owned()],
            hba: vec!["hostssl all cairn 127.0.0.1/32 trust".to_owned()],
            files: files(authority.issue("localhost", VALID)),
            ..Setup::default()
        };
        let server = cairn_test_postgres::own(&setup)?;
        Some(Self {
            server,
            authority,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// Gives the server another certificate.
    fn replace(&self, pair: [String; 2]) {
        for (name, content) in files(pair) {
            fs::write(self.server.data().join(name), content).unwrap();
        }
        self.server.stop(Stop::Fast);
        self.server.start_again().unwrap();
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Connects to `host` with this mode, trusting an authority.
    fn connect(
        &self,
        database: &Database<'_>,
        host: &str,
        mode: &str,
        trusted: &Authority,
    ) -> Result<String, LinkError> {
        let url = database.tcp_url("cairn", &format!("?sslmode={mode}"));
        let url = url.replace("127.0.0.1", host);
        let config = PostgresConfig {
            root_certificate: Some(self.file("root.crt", &trusted.certificate.pem())),
            ..config(&url)
        };
        let mut link = Link::connect(&config.target(), &ADMIN)?;
        let found = link.run(
            "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )?;
        Ok(format!("{:?}", found.rows))
    }
}

#[track_caller]
fn refused(found: Result<String, LinkError>, expected: &str) {
    match found {
        Err(LinkError::Refused(why)) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}, not {expected}"),
    }
}

#[test]
fn a_certificate_is_verified_as_the_mode_says() {
    let Some(world) = World::new() else {
        return;
    };
    let database = world.server.database();
    let stranger = Authority::new("another authority");
    let connect =
        |host: &str, mode: &str, trusted: &Authority| world.connect(&database, host, mode, trusted);
    let right = &world.authority;

    // Right.
    for mode in ["verify-full", "verify-ca", "require"] {
        let version = connect("localhost", mode, right).unwrap();
        assert!(version.contains("TLSv1.3"), "{version}");
    }
    refused(
        connect("localhost", "disable", right),
        "does not let `cairn` in without TLS",
    );

    // The certificate is for `localhost`, not for the address.
    let other_host = "the server's certificate is for another host";
    refused(connect("127.0.0.1", "verify-full", right), other_host);
    connect("127.0.0.1", "verify-ca", right).unwrap();

    // Another authority.
    let untrusted = "is of an authority that is not trusted";
    refused(connect("localhost", "verify-full", &stranger), untrusted);
    refused(connect("localhost", "verify-ca", &stranger), untrusted);
    connect("localhost", "require", &stranger).unwrap();

    // Expired, and not valid yet.
    world.replace(right.issue("localhost", (2001, 2002)));
    let expired = "the server's certificate has expired";
    refused(connect("localhost", "verify-full", right), expired);
    refused(connect("localhost", "verify-ca", right), expired);
    world.replace(right.issue("localhost", (2110, 2120)));
    let early = "the server's certificate is not valid yet";
    refused(connect("localhost", "verify-full", right), early);

    // A name and not an address.
    world.replace(right.issue("127.0.0.1", VALID));
    connect("127.0.0.1", "verify-full", right).unwrap();
    refused(connect("localhost", "verify-full", right), other_host);
}

#[test]
fn a_connection_off_loopback_is_verified_by_the_systems_authorities_unless_told_otherwise() {
    let Some(world) = World::new() else {
        return;
    };
    let database = world.server.database();
    let url = database.tcp_url("cairn", "?sslmode=verify-full");
    let url = url.replace("127.0.0.1", "localhost");
    // The system does not know the test's authority.
    let target = config(&url).target();
    let Err(LinkError::Refused(why)) = Link::connect(&target, &ADMIN).map(drop) else {
        panic!("an unknown authority was trusted");
    };
    assert!(
        why.contains("name the file of that authority with `root_certificate`")
            || why.contains("this system trusts no authority"),
        "{why}"
    );
    // The URL names it.
    let root = world.file("url.crt", &world.authority.certificate.pem());
    let url = format!("{url}&sslrootcert={}", root.display());
    Link::connect(&config(&url).target(), &ADMIN).unwrap();
}

#[test]
fn a_file_of_authorities_that_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.crt");
    let connect = || {
        let target = Target {
            root_certificate: Some(path.clone()),
            ..(*config("postgres://u@db.invalid/d").target()).clone()
        };
        Link::connect(&target.into(), &ADMIN).map(|_| String::new())
    };
    refused(
        connect(),
        "root.crt of the authorities that are trusted cannot be read",
    );
    fs::write(&path, "no certificate").unwrap();
    refused(connect(), "holds no certificate (PEM)");
    fs::write(
        &path,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    refused(connect(), "holds a certificate that cannot be read");
}
