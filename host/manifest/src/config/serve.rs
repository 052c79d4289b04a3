//! `[serve]`: where `cairn serve` listens, whom it answers, and its limits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use cairn_model::error::Diagnostic;

use super::WebOrigin;
use crate::document::{Item, Table};

/// How the server listens, and whom it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// Where it listens.
    pub listen: Listen,
    /// The certificate chain and the private key, both in PEM; without them it speaks clear text.
    pub tls: Option<TlsFiles>,
    /// How callers show who they are; `None` is [`AuthConfig::None`], on loopback and Unix sockets only.
    pub auth: Option<AuthConfig>,
    /// The names by which it is called, besides its own address and `localhost`: other `Host` headers are refused.
    pub hosts: Vec<String>,
    /// The origins whose pages may use the interface, with tokens.
    pub cors: Vec<WebOrigin>,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Where the metrics are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// The longest body of a request, in bytes.
    pub body: u64,
    /// How many connections may be open.
    pub connections: usize,
    /// How many streams of events may be open.
    pub streams: usize,
    /// How long a request may take until its answer begins.
    pub timeout: Duration,
    /// How long a login of the dashboard lasts without use.
    pub idle: Duration,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At an address and a port.
    Tcp(SocketAddr),
    /// At a Unix socket.
    Unix(PathBuf),
}

/// Files of a server's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// How callers show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthConfig {
    /// Not at all: each caller is the operator.
    None,
    /// By tokens of the table `tokens`.
    Tokens,
    /// By passwords; the file has users with hashes, projects and roles.
    Basic(PathBuf),
}

/// A range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

const KEYS: &[&str] = &[
    "listen",
    "tls_cert",
    "tls_key",
    "auth",
    "users",
    "hosts",
    "cors",
    "trusted_proxies",
    "metrics",
    "body",
    "connections",
    "streams",
    "timeout",
    "idle",
];

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp((Ipv4Addr::LOCALHOST, 7411).into()),
            tls: None,
            auth: None,
            hosts: Vec::new(),
            cors: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics: Some((Ipv4Addr::LOCALHOST, 7412).into()),
            body: 1 << 20,
            connections: 16_384,
            streams: 512,
            timeout: Duration::from_secs(30),
            idle: Duration::from_secs(30 * 60),
        }
    }
}

impl Listen {
    /// Returns whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err("names no socket: write unix:PATH".to_owned()),
                false => Ok(Self::Unix(path.into())),
            };
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        address.parse().map(Self::Tcp).map_err(|_| {
            "is no address with a port: write, for example, 127.0.0.1:7411, [::1]:7411 or unix:PATH"
                .to_owned()
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Network {
    /// Returns whether an address is in the range. An IPv4 address that is written as an IPv6 one is taken as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= bits
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "is no address or network: write, for example, 10.0.0.5 or 10.0.0.0/24".to_owned();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wrong())?,
            None => most,
        };
        match bits <= most {
            true => Ok(Self { address, bits }),
            false => Err(wrong()),
        }
    }
}

/// Reads `[serve]`.
pub(super) fn read(item: &Item<'_>, folder: &Path) -> Result<ServeConfig, Diagnostic> {
    let table = item.table()?.only(KEYS)?;
    let defaults = ServeConfig::default();
    let number = |key, default: u64, most: i64| match table.get(key) {
        Some(item) => match item.at_least(1, "1 is the least")? {
            number if number > most => {
                Err(item.error(format!("must be {most} or less, not {number}")))
            }
            number => Ok(number.unsigned_abs()),
        },
        None => Ok(default),
    };
    let time = |key, default, most| match table.get(key) {
        Some(item) => item.duration_within(Duration::from_secs(1), most),
        None => Ok(default),
    };
    let count = |key, default: usize| {
        let found = number(key, default as u64, 1_000_000)?;
        Ok::<_, Diagnostic>(usize::try_from(found).unwrap_or(default))
    };
    let auth = auth(&table, folder)?;
    let cors = list(&table, "cors")?;
    if let (Some(item), false) = (table.get("cors"), auth == Some(AuthConfig::Tokens)) {
        let error = item.error("has no effect without auth = \"tokens\"");
        return Err(error.help("pages of other origins show who they are by a token alone"));
    }
    Ok(ServeConfig {
        listen: parsed(&table, "listen")?.unwrap_or(defaults.listen),
        tls: tls(&table, folder)?,
        auth,
        hosts: list(&table, "hosts")?,
        cors,
        trusted_proxies: list(&table, "trusted_proxies")?,
        metrics: match table.get("metrics") {
            Some(item) if item.as_bool() == Some(false) => None,
            Some(item) => Some(item.text()?.parse().map_err(|_| {
                let error = item.error("is no address with a port");
                error.help("write, for example, \"127.0.0.1:7412\", or false for no metrics")
            })?),
            None => defaults.metrics,
        },
        body: match table.get("body") {
            Some(item) => crate::manifest::size(&item, 1 << 10, 64 << 20)?,
            None => defaults.body,
        },
        connections: count("connections", defaults.connections)?,
        streams: count("streams", defaults.streams)?,
        timeout: time("timeout", defaults.timeout, Duration::from_secs(3600))?,
        idle: time("idle", defaults.idle, Duration::from_secs(30 * 24 * 3600))?,
    })
}

fn tls(table: &Table<'_>, folder: &Path) -> Result<Option<TlsFiles>, Diagnostic> {
    match (table.text("tls_cert")?, table.text("tls_key")?) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert: folder.join(cert),
            key: folder.join(key),
        })),
        (None, None) => Ok(None),
        (cert, _) => {
            let missing = if cert.is_some() {
                "tls_key"
            } else {
                "tls_cert"
            };
            Err(table
                .error(format!("[serve] has no `{missing}`"))
                .help("write both: the certificate chain and its private key, in PEM"))
        }
    }
}

fn auth(table: &Table<'_>, folder: &Path) -> Result<Option<AuthConfig>, Diagnostic> {
    let users = table.get("users");
    let Some(item) = table.get("auth") else {
        return match users {
            Some(users) => Err(users.error("has no effect without auth = \"basic\"")),
            None => Ok(None),
        };
    };
    let auth = match (item.text()?, &users) {
        ("none", _) => AuthConfig::None,
        ("tokens", _) => AuthConfig::Tokens,
        ("basic", Some(users)) => AuthConfig::Basic(folder.join(users.text()?)),
        ("basic", None) => {
            return Err(item
                .error("needs the file of users")
                .help("write users = \"FILE\": `cairn serve --help` says what is in it"));
        }
        (other, _) => {
            return Err(item
                .error(format!("is `{}`", other.escape_debug()))
                .help("write \"none\", \"tokens\" or \"basic\""));
        }
    };
    match (&auth, users) {
        (AuthConfig::None | AuthConfig::Tokens, Some(users)) => {
            Err(users.error("has no effect without auth = \"basic\""))
        }
        _ => Ok(Some(auth)),
    }
}

fn parsed<T: FromStr<Err = String>>(table: &Table<'_>, key: &str) -> Result<Option<T>, Diagnostic> {
    let item = table.get(key);
    item.map(|item| one(&item)).transpose()
}

fn one<T: FromStr<Err = impl fmt::Display>>(item: &Item<'_>) -> Result<T, Diagnostic> {
    item.text()?.parse().map_err(|problem| item.error(problem))
}

fn list<T: FromStr<Err = impl fmt::Display>>(
    table: &Table<'_>,
    key: &str,
) -> Result<Vec<T>, Diagnostic> {
    let Some(item) = table.get(key) else {
        return Ok(Vec::new());
    };
    item.array()?.map(|item| one(&item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.5", "::ffff:10.0.0.5"));
        assert!(!holds("10.0.0.5", "10.0.0.4"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fd12::1"));
        for wrong in ["", "10.0.0.0/33", "a", "10.0.0.0/x", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_to_listen_is_an_address_or_a_socket() {
        let listen = |text: &str| text.parse::<Listen>();
        assert_eq!(
            listen("localhost:1"),
            Ok(Listen::Tcp(([127, 0, 0, 1], 1).into()))
        );
        assert_eq!(listen("unix:/a b"), Ok(Listen::Unix("/a b".into())));
        assert!(listen("[::1]:7411").unwrap().is_local());
        assert!(!listen("0.0.0.0:7411").unwrap().is_local());
        for wrong in ["", "7411", "unix:", "example.org:80", "127.0.0.1"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
