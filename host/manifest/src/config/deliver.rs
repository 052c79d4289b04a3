//! `[deliver]`: how messages leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_model::error::Diagnostic;
use cairn_model::id::ContextPart;
use cairn_model::secret::SecretSource;

use super::secret;
use super::url::Url;
use crate::document::{Item, Table};

/// How messages leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverConfig {
    /// What takes them.
    pub transport: TransportConfig,
    /// What receivers are told of the sender.
    pub identity: Vec<ContextPart>,
    /// How often a message is published before it is `failed`.
    pub attempts: u32,
    /// How long it is tried before it is `failed`.
    pub max_age: Duration,
    /// How many messages of a project may be undelivered before its new flows are refused.
    pub most: u64,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a command that runs flows waits for delivery at its end.
    pub wait: Duration,
}

/// What takes messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportConfig {
    /// RabbitMQ, in the envelope of oslo.messaging.
    Amqp(AmqpConfig),
    /// HTTP requests.
    Http(HttpConfig),
}

/// A RabbitMQ broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpConfig {
    /// `amqp://` or `amqps://`, with the user and the virtual host.
    pub url: Url,
    /// The password of the user.
    pub password: Option<SecretSource>,
    /// The topic exchange of the receivers: their `control_exchange`.
    pub exchange: String,
    /// The version of the interface that the receivers implement.
    pub version: String,
    /// A file of authorities, in PEM, in place of the usual ones.
    pub ca: Option<PathBuf>,
}

/// Receivers behind URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Topic, or the beginning of topics and `*` -> where they are sent.
    pub topics: BTreeMap<String, Url>,
    /// The key that signs bodies.
    pub key: SecretSource,
    /// A file of authorities, in PEM, in place of the usual ones.
    pub ca: Option<PathBuf>,
}

const KEYS: &[&str] = &[
    "transport",
    "identity",
    "attempts",
    "max_age",
    "most",
    "timeout",
    "wait",
    "ca",
];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads `[deliver]`.
pub(super) fn read(item: &Item<'_>, folder: &Path) -> Result<DeliverConfig, Diagnostic> {
    let table = item.table()?;
    let Some(transport) = table.get("transport") else {
        return Err(table
            .error("[deliver] names no transport")
            .help("write transport = \"amqp\" or transport = \"http\""));
    };
    let transport = match transport.text()? {
        "amqp" => TransportConfig::Amqp(amqp(&table, folder)?),
        "http" => TransportConfig::Http(http(&table, folder)?),
        other => {
            return Err(transport
                .error(format!("is `{}`", other.escape_debug()))
                .help("write \"amqp\" or \"http\""));
        }
    };
    let number = |key, default, most: i64| match table.get(key) {
        Some(item) => match item.at_least(1, "1 is the least")? {
            number if number > most => {
                Err(item.error(format!("must be {most} or less, not {number}")))
            }
            number => Ok(number.unsigned_abs()),
        },
        None => Ok(default),
    };
    let time = |key, default, least, most| match table.get(key) {
        Some(item) => item.duration_within(least, most),
        None => Ok(default),
    };
    Ok(DeliverConfig {
        transport,
        identity: match table.get("identity") {
            Some(item) => identity(&item)?,
            None => ContextPart::DEFAULT.to_vec(),
        },
        attempts: u32::try_from(number("attempts", 20, 1_000_000)?).unwrap_or(u32::MAX),
        max_age: time("max_age", DAY, SECOND, DAY * 365)?,
        most: number("most", 100_000, 1 << 40)?,
        timeout: time(
            "timeout",
            10 * SECOND,
            Duration::from_millis(100),
            120 * SECOND,
        )?,
        wait: time("wait", 5 * SECOND, Duration::ZERO, 3600 * SECOND)?,
    })
}

/// Refuses every key but those of all transports and of this one.
fn only<'d>(table: &Table<'d>, own: &[&str], secret: &str) -> Result<Table<'d>, Diagnostic> {
    let secrets = secret::keys(secret);
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    table.clone().only(&[KEYS, own, &secrets].concat())
}

fn amqp(table: &Table<'_>, folder: &Path) -> Result<AmqpConfig, Diagnostic> {
    let table = only(table, &["url", "exchange", "version"], "password")?;
    let Some(item) = table.get("url") else {
        return Err(table
            .error("[deliver] has no `url` of the broker")
            .help("write url = \"amqp://USER@HOST/VHOST\""));
    };
    let url = Url::read(&item, "password_file")?;
    if !matches!(url.scheme.as_str(), "amqp" | "amqps") {
        return Err(item
            .error(format!("begins with `{}://`", url.scheme.escape_debug()))
            .help("write amqp://, or amqps:// for TLS"));
    }
    let vhost = url.path.strip_prefix('/').unwrap_or(&url.path);
    if vhost.contains(['/', '?']) {
        return Err(item
            .error("has more than a virtual host after the broker")
            .help("write a `/` in the virtual host's name as %2f"));
    }
    let text = |key, default: &str| -> Result<String, Diagnostic> {
        Ok(table.text(key)?.unwrap_or(default).to_owned())
    };
    let exchange = text("exchange", "openstack")?;
    if let Some(item) = table.get("exchange").filter(|_| exchange.len() > 255) {
        return Err(item.error("has more than 255 bytes"));
    }
    Ok(AmqpConfig {
        password: secret::read(&table, "password", folder)?,
        exchange,
        version: text("version", "1.2")?,
        ca: table.text("ca")?.map(|path| folder.join(path)),
        url,
    })
}

fn http(table: &Table<'_>, folder: &Path) -> Result<HttpConfig, Diagnostic> {
    let table = only(table, &["topics"], "key")?;
    let mut topics = BTreeMap::new();
    let listed = table.get("topics").map(|item| item.table()).transpose()?;
    for (topic, item) in listed.iter().flat_map(Table::items) {
        let url = Url::read(&item, "key_file")?;
        if topic.trim_end_matches('*').len() + 1 < topic.len()
            || topic.trim_end_matches('*').contains('*')
        {
            return Err(item
                .error("has a `*` that is not its end")
                .help("write a topic, or the beginning of topics and `*`"));
        }
        url.require_tls(&item)?;
        if url.user.is_some() {
            return Err(item
                .error("names a user")
                .help("requests are signed instead"));
        }
        topics.insert(topic.to_owned(), url);
    }
    if topics.is_empty() {
        return Err(table
            .error("[deliver] names no URL for any topic")
            .help("write [deliver.topics] and \"*\" = \"https://HOST/PATH\""));
    }
    let Some(key) = secret::read(&table, "key", folder)? else {
        return Err(table
            .error("[deliver] has no key that signs requests")
            .help("write key_file = \"FILE\", key_variable or key_command"));
    };
    Ok(HttpConfig {
        topics,
        key,
        ca: table.text("ca")?.map(|path| folder.join(path)),
    })
}

fn identity(item: &Item<'_>) -> Result<Vec<ContextPart>, Diagnostic> {
    let names = || {
        let parts = ContextPart::CINDER.iter().map(|part| part.as_str());
        format!(
            "write \"cinder\" for the whole context, or a list of {}",
            parts.collect::<Vec<_>>().join(", ")
        )
    };
    if let Ok(text) = item.text() {
        return match text {
            "cinder" => Ok(ContextPart::CINDER.to_vec()),
            _ => Err(item
                .error(format!("is `{}`", text.escape_debug()))
                .help(names())),
        };
    }
    let mut parts = Vec::new();
    for item in item.array().map_err(|error| error.help(names()))? {
        let name = item.text()?;
        let Some(part) = ContextPart::named(name) else {
            return Err(item
                .error(format!(
                    "names `{}`, which is no part of an identity",
                    name.escape_debug()
                ))
                .help(names()));
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Option<DeliverConfig>, String> {
        let file = Path::new("etc/cairn.toml");
        Config::parse(text, file, &crate::testing::kinds(), &[])
            .map(|config| config.deliver)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn messages_stay_unless_a_transport_is_named() {
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn a_broker_is_read() {
        let text = "[deliver]\ntransport = 'amqp'\nurl = 'amqp://cairn@broker/%2f'\npassword_file = 'pw'\nexchange = 'cinder'\n\
                    version = '3.0'\nca = 'ca.pem'\nidentity = 'cinder'\nattempts = 3\nmax_age = '1h'\nmost = 7\ntimeout = '2s'\nwait = '0s'";
        let expected = DeliverConfig {
            transport: TransportConfig::Amqp(AmqpConfig {
                url: Url::parse("amqp://cairn@broker/%2f").unwrap(),
                password: Some(SecretSource::File("etc/pw".into())),
                exchange: "cinder".to_owned(),
                version: "3.0".to_owned(),
                ca: Some("etc/ca.pem".into()),
            }),
            identity: ContextPart::CINDER.to_vec(),
            attempts: 3,
            max_age: Duration::from_secs(3600),
            most: 7,
            timeout: Duration::from_secs(2),
            wait: Duration::ZERO,
        };
        assert_eq!(parse(text), Ok(Some(expected)));
    }

    #[test]
    fn receivers_are_read_with_defaults() {
        let text = "[deliver]\ntransport = 'http'\nkey_command = ['pass', 'show', 'k']\n[deliver.topics]\n'*' = 'https://h/x'\n\
                    'a.*' = 'http://127.0.0.1:8/y'";
        let config = parse(text).unwrap().unwrap();
        assert_eq!(config.identity, ContextPart::DEFAULT);
        assert_eq!((config.attempts, config.most), (20, 100_000));
        assert_eq!((config.max_age, config.wait), (DAY, 5 * SECOND));
        let TransportConfig::Http(http) = config.transport else {
            panic!("another transport");
        };
        assert_eq!(http.topics.len(), 2);
        let command = ["pass", "show", "k"].map(str::to_owned).to_vec();
        assert_eq!(http.key, SecretSource::Command(command));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_fix() {
        let http = "[deliver]\ntransport = 'http'\nkey_file = 'k'\n";
        let amqp = "[deliver]\ntransport = 'amqp'\n";
        for (text, expected) in [
            (
                "\n[deliver]\n".to_owned(),
                "[deliver] names no transport\n  --> etc/cairn.toml:2\n",
            ),
            (
                "[deliver]\ntransport = 'smoke'".to_owned(),
                "`deliver.transport` is `smoke`\n  --> etc/cairn.toml:2\n",
            ),
            (amqp.to_owned(), "[deliver] has no `url` of the broker"),
            (
                format!("{amqp}url = 'amqp://u:hunter2@h'"),
                "`deliver.url` holds a password\n  --> etc/cairn.toml:3\n  help: leave it out, and name it with `password_file`",
            ),
            (
                format!("{amqp}url = 'https://h'"),
                "`deliver.url` begins with `https://`\n  --> etc/cairn.toml:3",
            ),
            (
                format!("{amqp}url = 'amqp://h/a/b'"),
                "`deliver.url` has more than a virtual host",
            ),
            (
                format!("{amqp}url = 'amqp://h'\nexchang = 'x'"),
                "unknown key `exchang` in [deliver]\n  --> etc/cairn.toml:4\n  help: did you mean `exchange`?",
            ),
            (
                format!("{amqp}url = 'amqp://h'\nattempts = 0"),
                "`deliver.attempts` must be 1 or more, not 0\n  --> etc/cairn.toml:4",
            ),
            (
                format!("{amqp}url = 'amqp://h'\nidentity = ['password']"),
                "`deliver.identity` names `password`, which is no part of an identity\n  --> etc/cairn.toml:4",
            ),
            (
                format!("{amqp}url = 'amqp://h'\npassword_file = 'a'\npassword_variable = 'B'"),
                "`deliver.password_variable` is a second source of `password`\n  --> etc/cairn.toml:5",
            ),
            (http.to_owned(), "[deliver] names no URL for any topic"),
            (
                "[deliver]\ntransport = 'http'\ntopics = { x = 'https://h' }".to_owned(),
                "[deliver] has no key that signs requests",
            ),
            (
                format!("{http}topics.a = 'http://example.com/'"),
                "`deliver.topics.a` is not encrypted, and its host is another machine\n  --> etc/cairn.toml:4",
            ),
            (
                format!("{http}topics.a = 'https://u@example.com/'"),
                "`deliver.topics.a` names a user",
            ),
            (
                format!("{http}topics.'a*b' = 'https://h'"),
                "`deliver.topics.a*b` has a `*` that is not its end",
            ),
            (
                format!("{http}url = 'amqp://h'"),
                "unknown key `url` in [deliver]",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
