//! The URL of a database: `postgres://user@host[:port][,host2[:port]]/database[?sslmode=…]`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Parameters that a URL may have.
const PARAMETERS: &[&str] = &[
    "application_name",
    "connect_timeout",
    "sslmode",
    "sslrootcert",
];

/// How long to wait for one host, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a URL begins with.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// How far a connection by TCP is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted. The server may be any.
    Require,
    /// Encrypted, and the certificate is of an authority that is trusted. The server may be any that has one.
    VerifyCa,
    /// Encrypted, and the certificate of an authority that is trusted names the host.
    VerifyFull,
}

/// A host that may have the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A name or an address, and a port.
    Tcp(String, u16),
    /// The folder of a Unix socket, and the port in the name of the socket.
    Unix(PathBuf, u16),
}

/// The URL of a database. It holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) user: String,
    pub(super) addresses: Vec<Address>,
    pub(super) database: String,
    /// `None`: `verify-full`, and nothing on loopback.
    pub(super) mode: Option<SslMode>,
    /// The file of the authorities that the URL names.
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) application_name: Option<String>,
    pub(super) connect_timeout: Duration,
}

/// Why a text is no URL of a database. Nothing of the text is repeated that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl PostgresUrl {
    /// Tells whether a text is meant as the URL of a PostgreSQL database.
    pub fn is_meant_by(text: &str) -> bool {
        SCHEMES.iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`]; also for a URL with a password, which would be seen by others: in lists of processes, or in a file that many read.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
        let Some(scheme) = scheme else {
            return error("a URL of PostgreSQL begins with `postgres://`");
        };
        let rest = &text[scheme.len()..];
        if text.chars().any(char::is_control) {
            return error("the URL of the database has a control character");
        }
        let (place, parameters) = match rest.split_once('?') {
            Some((place, parameters)) => (place, Some(parameters)),
            None => (rest, None),
        };
        // A password may hold any character but `@`, so it ends at the last one.
        if let Some((login, _)) = place.rsplit_once('@')
            && login.contains(':')
        {
            return Err(with_password());
        }
        let own = parameters.map(Parameters::read).transpose()?;
        let own = own.unwrap_or_default();
        let url = format!("postgres://{place}");
        let Ok(config) = Config::from_str(&url) else {
            return error(
                "the URL of the database cannot be read; it is `postgres://USER@HOST[:PORT]/DATABASE`",
            );
        };
        if config.get_password().is_some() {
            return Err(with_password());
        }
        let needed = |part: Option<&str>, name| match part {
            Some(part) if part.chars().any(char::is_control) => {
                error(&format!("the {name} in the URL has a control character"))
            }
            Some(part) if !part.is_empty() => Ok(part.to_owned()),
            _ => error(&format!(
                "the URL of the database names no {name}; it is `postgres://USER@HOST[:PORT]/DATABASE`"
            )),
        };
        Ok(Self {
            user: needed(config.get_user(), "user")?,
            addresses: addresses(&config)?,
            database: needed(config.get_dbname(), "database")?,
            mode: own.mode,
            root_certificate: own.root_certificate,
            application_name: own.application_name,
            connect_timeout: own.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        })
    }

    /// Returns whether the server is on this machine: on a Unix socket, or on loopback.
    pub fn is_local(&self) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.all(|address| match address {
            Address::Unix(..) => true,
            Address::Tcp(host, _) => is_loopback(host),
        })
    }

    /// Returns the URL of another database on the same server.
    pub(super) fn with_database(&self, name: &str) -> Self {
        Self {
            database: name.to_owned(),
            ..self.clone()
        }
    }

    /// Returns how far the connection to an address is secured.
    pub(super) fn mode_for(&self, address: &Address) -> SslMode {
        match (address, self.mode) {
            // No server offers TLS on a Unix socket.
            (Address::Unix(..), _) => SslMode::Disable,
            (Address::Tcp(..), Some(mode)) => mode,
            (Address::Tcp(host, _), None) if is_loopback(host) => SslMode::Disable,
            (Address::Tcp(..), None) => SslMode::VerifyFull,
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user)?;
        for (at, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(folder, port) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

fn error<T>(problem: &str) -> Result<T, UrlError> {
    Err(UrlError(problem.to_owned()))
}

fn with_password() -> UrlError {
    UrlError(
        "the URL of the database holds a password, where others can read it; leave it out, and name it by `password_file` or \
         `password_command` in [postgres] of cairn.toml, or by the variable CAIRN_POSTGRES_PASSWORD"
            .to_owned(),
    )
}

fn addresses(config: &Config) -> Result<Vec<Address>, UrlError> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    if hosts.is_empty() {
        return error(
            "the URL of the database names no host; it is `postgres://USER@HOST[:PORT]/DATABASE`",
        );
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return error("the URL of the database has another number of ports than of hosts");
    }
    let addresses = hosts.iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) if host.is_empty() || host.chars().any(char::is_control) => {
                error("a host in the URL of the database is empty, or has a control character")
            }
            Host::Tcp(host) => Ok(Address::Tcp(host.clone(), port)),
            Host::Unix(folder) => Ok(Address::Unix(folder.clone(), port)),
        }
    });
    addresses.collect()
}

/// Whether a host is this machine for certain.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[derive(Default)]
struct Parameters {
    mode: Option<SslMode>,
    root_certificate: Option<PathBuf>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
}

impl Parameters {
    fn read(text: &str) -> Result<Self, UrlError> {
        let mut own = Self::default();
        for parameter in text.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("password") {
                return Err(with_password());
            }
            if !PARAMETERS.contains(&name) {
                return error(&format!(
                    "the URL of the database has a parameter besides {}",
                    PARAMETERS.join(", ")
                ));
            }
            let Some(value) = decode(value).filter(|value| !value.chars().any(char::is_control))
            else {
                return error(&format!(
                    "`{name}` in the URL of the database is not percent-encoded UTF-8"
                ));
            };
            match name {
                "sslmode" => own.mode = Some(mode(&value)?),
                "sslrootcert" => own.root_certificate = Some(value.into()),
                "application_name" => own.application_name = Some(value),
                _ => own.connect_timeout = Some(seconds(&value)?),
            }
        }
        Ok(own)
    }
}

fn mode(value: &str) -> Result<SslMode, UrlError> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        "allow" | "prefer" => error(
            "`sslmode` in the URL of the database may not leave it open whether the connection is encrypted; use verify-full, \
             verify-ca, require or disable",
        ),
        _ => error(
            "`sslmode` in the URL of the database is none of verify-full, verify-ca, require and disable",
        ),
    }
}

fn seconds(value: &str) -> Result<Duration, UrlError> {
    match value.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => error("`connect_timeout` in the URL of the database must be from 1 to 3600 seconds"),
    }
}

/// Decodes `%20` and its like.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        PostgresUrl::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_read_with_its_hosts_and_defaults() {
        let url = PostgresUrl::parse("postgresql://cairn@db1,db2:5433/jobs").unwrap();
        assert_eq!(
            url.addresses,
            [
                Address::Tcp("db1".to_owned(), 5432),
                Address::Tcp("db2".to_owned(), 5433)
            ]
        );
        assert_eq!(url.to_string(), "postgres://cairn@db1:5432,db2:5433/jobs");
        assert_eq!(url.connect_timeout, CONNECT_TIMEOUT);
    }

    #[test]
    fn a_connection_is_verified_unless_it_stays_on_this_machine() {
        for (place, mode) in [
            ("u@db/d", SslMode::VerifyFull),
            ("u@192.0.2.1/d", SslMode::VerifyFull),
            ("u@localhost.example.org/d", SslMode::VerifyFull),
            ("u@localhost/d", SslMode::Disable),
            ("u@127.0.0.2/d", SslMode::Disable),
            ("u@[::1]:5433/d", SslMode::Disable),
            ("u@%2Frun%2Fpostgresql/d", SslMode::Disable),
            ("u@localhost/d?sslmode=verify-ca", SslMode::VerifyCa),
            ("u@db/d?sslmode=disable", SslMode::Disable),
            ("u@db/d?sslmode=require", SslMode::Require),
        ] {
            let url = PostgresUrl::parse(&format!("postgres://{place}")).unwrap();
            assert_eq!(url.mode_for(&url.addresses[0]), mode, "{place}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        for text in [
            "postgres://u:secret@db/d",
            "postgres://u:@db/d",
            "postgres://u:sec@ret@db/d",
            "postgres://u:sec/ret@db/d",
            "postgres://u@db/d?password=secret",
            "postgres://u@db/d?sslmode=require&Password=secret",
            "postgres://u%3Asecret@db/d:x@y",
        ] {
            let found = fails(text);
            assert!(!found.contains("ret"), "{found}");
            assert!(found.contains("password"), "{text}: {found}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_by_its_fault() {
        for (text, expected) in [
            ("postgres://", "names no user"),
            ("postgres://db/d", "names no user"),
            ("postgres://u@db", "names no database"),
            ("postgres://u@/d", "names no host"),
            ("postgres://u@db:x/d", "cannot be read"),
            ("postgres://u@db/d?ssl=1", "has a parameter besides"),
            ("postgres://u@db/d?sslmode=prefer", "may not leave it open"),
            ("postgres://u@db/d?sslmode=on", "is none of verify-full"),
            ("postgres://u@db/d?connect_timeout=0", "from 1 to 3600"),
            ("postgres://u@db/d?sslrootcert=%f", "not percent-encoded"),
            ("postgres://u@db/d%0A", "control character"),
            ("postgres://u@d\x1bb/d", "control character"),
            ("mysql://u@db/d", "begins with `postgres://`"),
        ] {
            let found = fails(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
