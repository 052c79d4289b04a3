//! Making a connection: each host in turn, and words for what is wrong with each.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, Connection, Socket, config};

use cairn_model::secret::{Secret, SecretSource};

use super::link::error::LinkError;
use super::link::kind::Session;
use super::password;
use super::tls::{Stream, Tls, TlsError};
use super::url::{Address, PostgresUrl, SslMode};

/// Settings of every session: a database or a role may have others. Batches end in one round trip, so no time limit is of use to them.
/// Statements are short, and a plan that avoids a disabled kind of scan or join looks so dear that the server would compile it each time.
const SETTINGS: [(&str, &str); 7] = [
    ("jit", "off"),
    ("search_path", "cairn"),
    ("client_min_messages", "warning"),
    ("default_transaction_isolation", "read\\ committed"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// When a connection that is silent is probed, how often, and how many probes may be lost.
const KEEPALIVES: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// What a link connects to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the database is.
    pub url: PostgresUrl,
    /// Where its password comes from.
    pub password: Option<SecretSource>,
    /// The file of the authorities that are trusted, in PEM, unless the URL names one. Without either they are those of the system.
    pub root_certificate: Option<PathBuf>,
    /// How long sent data may stay unacknowledged before the connection counts as lost.
    pub tcp_user_timeout: Duration,
    /// How long to try to reach the server again when a connection was lost.
    pub patience: Duration,
}

/// What a connection needs besides its target.
#[derive(Debug)]
pub(super) struct Prepared {
    password: Option<Secret>,
    /// A mode for each host.
    tls: Vec<(Address, Tls, bool)>,
}

impl Target {
    /// Returns the same target for a caller that tries again by itself.
    pub(super) fn without_patience(&self) -> Arc<Self> {
        Arc::new(Self {
            patience: Duration::ZERO,
            ..self.clone()
        })
    }

    /// Reads the password, and the authorities that are trusted.
    ///
    /// # Errors
    /// [`LinkError::Refused`].
    pub(super) fn prepare(&self) -> Result<Prepared, LinkError> {
        let password = password::read(self.password.as_ref()).map_err(LinkError::Refused)?;
        let own = self.url.root_certificate.as_ref();
        let root = own.or(self.root_certificate.as_ref());
        let tls = self.url.addresses.iter().map(|address| {
            let mode = self.url.mode_for(address);
            let tls = Tls::new(mode, root.map(PathBuf::as_path));
            let tls = tls.map_err(|TlsError(error)| LinkError::Refused(error))?;
            Ok((address.clone(), tls, mode != SslMode::Disable))
        });
        Ok(Prepared {
            password,
            tls: tls.collect::<Result<_, LinkError>>()?,
        })
    }

    fn config(&self, address: &Address, session: &Session) -> Config {
        let mut config = Config::new();
        match address {
            Address::Tcp(host, port) => config.host(host).port(*port),
            Address::Unix(folder, port) => config.host_path(folder).port(*port),
        };
        let settings = SETTINGS.iter().chain(session.settings);
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("-c {name}={value}"))
            .collect();
        let name = self.url.application_name.as_deref().unwrap_or("cairn");
        let (idle, interval, retries) = KEEPALIVES;
        config
            .user(&self.url.user)
            .dbname(&self.url.database)
            .application_name(format!("{name} {}", session.name))
            .options(settings.join(" "))
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(self.url.connect_timeout / 2)
            .tcp_user_timeout(self.tcp_user_timeout)
            .keepalives_idle(idle)
            .keepalives_interval(interval)
            .keepalives_retries(retries);
        config
    }
}

/// Connects to the first host that can be written to.
///
/// # Errors
/// What is wrong with each host: [`LinkError::Lost`] when that of one may pass.
pub(super) async fn connect(
    target: &Target,
    prepared: &Prepared,
    session: &Session,
) -> Result<(Client, Connection<Socket, Stream>), LinkError> {
    let mut failures = Vec::new();
    for (address, tls, is_encrypted) in &prepared.tls {
        let mut config = target.config(address, session);
        config.ssl_mode(match is_encrypted {
            true => config::SslMode::Require,
            false => config::SslMode::Disable,
        });
        if let Some(password) = &prepared.password {
            config.password(password.expose());
        }
        let limit = target.url.connect_timeout;
        match timeout(limit, config.connect(tls.clone())).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => failures.push(Failure::of(target, address, *is_encrypted, &error)),
            Err(_) => failures.push(Failure {
                is_passing: true,
                words: format!(
                    "{address} has not let this program in within {}; check the host and the port in the URL of the database",
                    humantime::format_duration(limit)
                ),
            }),
        }
    }
    let is_passing = failures.iter().any(|failure| failure.is_passing);
    let words: Vec<String> = failures.into_iter().map(|failure| failure.words).collect();
    let words = words.join("; ");
    Err(match is_passing {
        true => LinkError::Lost(words),
        false => LinkError::Refused(words),
    })
}

/// What is wrong with a host.
struct Failure {
    /// Trying again may help.
    is_passing: bool,
    words: String,
}

impl Failure {
    fn of(
        target: &Target,
        address: &Address,
        is_encrypted: bool,
        error: &tokio_postgres::Error,
    ) -> Self {
        let passing = |words: &dyn fmt::Display| Self {
            is_passing: true,
            words: format!("{address}: {words}"),
        };
        let lasting = |words: &dyn fmt::Display| Self {
            is_passing: false,
            words: format!("{address}: {words}"),
        };
        let user = &target.url.user;
        if let Some(found) = error.as_db_error() {
            let words = super::link::error::words(found);
            return match found.code().code() {
                "28P01" => lasting(&format!(
                    "the password of the user `{user}` is wrong; {}",
                    give(target.password.as_ref())
                )),
                // The words are the server's, in its language; those of an entry without encryption are hardly ever translated.
                "28000" if !is_encrypted && words.contains("no encryption") => lasting(&format!(
                    "the server does not let `{user}` in without TLS: {words}; add `?sslmode=verify-full` to the URL of the database, or \
                     check the user in it, and the server's pg_hba.conf"
                )),
                "28000" => lasting(&format!(
                    "the server does not let `{user}` in: {words}; check the user in the URL of the database, and the server's pg_hba.conf"
                )),
                "3D000" => lasting(&format!(
                    "{words}; create it (`createdb`), or name another in the URL"
                )),
                "25006" => passing(&READ_ONLY),
                _ => passing(&words),
            };
        }
        let Some(cause) = error.source() else {
            return passing(&error);
        };
        if let Some(TlsError(words)) = cause.downcast_ref() {
            return lasting(words);
        }
        let cause_words = cause.to_string();
        match &*cause_words {
            "server does not support TLS" => lasting(
                &"the server has no TLS; turn it on there, or, on a network that others cannot read, add `?sslmode=disable` to the \
                  URL of the database",
            ),
            "password missing" => lasting(&format!(
                "the server asks for the password of the user `{user}`; {}",
                give(target.password.as_ref())
            )),
            "database does not allow writes" => passing(&READ_ONLY),
            words => match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => passing(
                    &"no server answers there; check the host and the port in the URL of the database, and that the server runs",
                ),
                Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    passing(&format!("{words}; is that a server of PostgreSQL?"))
                }
                _ => passing(&format!(
                    "{words}; check the host and the port in the URL of the database"
                )),
            },
        }
    }
}

const READ_ONLY: &str = "the database is read-only: a standby, or set so by `default_transaction_read_only`; name the primary in the URL of \
                         the database, or all hosts that may become it";

/// How to give another password.
fn give(source: Option<&SecretSource>) -> &'static str {
    match source {
        None => {
            "name it by `password_file` or `password_command` in [postgres] of cairn.toml, or by the variable CAIRN_POSTGRES_PASSWORD"
        }
        Some(SecretSource::File(_)) => {
            "put it into the file that `password_file` in [postgres] of cairn.toml names"
        }
        Some(SecretSource::Variable(_)) => {
            "put it into the variable that `password_variable` in [postgres] of cairn.toml names"
        }
        Some(SecretSource::Command(_)) => {
            "have `password_command` in [postgres] of cairn.toml write it"
        }
    }
}
