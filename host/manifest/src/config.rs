//! `cairn.toml`: the operator's settings, which apply to every command.
//!
//! Parsing is pure: no path is accessed. Flags and variables take precedence over these settings; see the command line.

mod deliver;
mod keys;
mod origin;
mod postgres;
mod secret;
mod serve;
mod status;
mod traces;
mod url;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_model::audit::AuditConfig;
use cairn_model::error::Diagnostic;
use cairn_model::idempotency::IdempotencyConfig;
use cairn_model::secret::SecretSource;
use cairn_model::status::StatusLimits;
use cairn_model::text::Text;

use crate::allow::Allow;
use crate::document::{Document, Item, Table};
use crate::manifest::{GrantKinds, Limits, size};

pub use deliver::{AmqpConfig, DeliverConfig, HttpConfig, TransportConfig};
pub use keys::KeysConfig;
pub use origin::WebOrigin;
pub use postgres::PostgresSettings;
pub use serve::{AuthConfig, Listen, Network, ServeConfig, TlsFiles};
pub use traces::TracesConfig;
pub use url::Url;
pub use written::written;

/// The contents of a `cairn.toml`. A key that is left out is `None`, or its default. Domains read their own keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The database.
    ///
    /// A file, or the URL of a server, `postgres://…`, which is kept as it is written.
    pub db: Option<PathBuf>,
    /// The folder of compiled plugins.
    pub cache: Option<PathBuf>,
    /// The folder in which an older version kept the components of stored plans, which the database holds now.
    pub components: Option<PathBuf>,
    /// `[keys]`, or `master_key`.
    pub keys: Option<KeysConfig>,
    /// `[hosts]`, `locks`: the folder of this machine's locks.
    pub locks: Option<PathBuf>,
    /// The file of the policy's rules.
    pub policy: Option<PathBuf>,
    /// The user that requests are made for.
    pub user: Option<String>,
    /// The project that requests are made for.
    pub project: Option<String>,
    /// How long a process may be stopped before another one takes its flows over.
    pub lease: Option<Duration>,
    /// How long to wait for another process that writes.
    pub patience: Option<Duration>,
    /// `[limits]`: upper bounds of the limits in manifests.
    pub ceilings: Option<Limits>,
    /// `[compile]`.
    pub compile: CompileConfig,
    /// `[idempotency]`.
    pub idempotency: IdempotencyConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[allow]`.
    pub allow: Allow,
    /// `[postgres]`.
    pub postgres: PostgresSettings,
    /// `[deliver]`; `None` where messages wait until a process takes them.
    pub deliver: Option<DeliverConfig>,
    /// `[status]`: what needs a person.
    pub status: StatusLimits,
    /// `[secrets]`: where the values of secrets come from, by their names in grants.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `[http]`, `ca`: a file of authorities in PEM that plugins' requests trust besides those of the system.
    pub http_ca: Option<PathBuf>,
    /// `[serve]`.
    pub serve: ServeConfig,
    /// `[traces]`; `None` where no traces are recorded.
    pub traces: Option<TracesConfig>,
}

/// The warning for the setting `components`.
pub const COMPONENTS_MOVED: &str = "`components` has no effect any more, because the database holds the components of its flows; those in \
     that folder were stored there, and its files stay: remove the setting";

/// `[compile]`: limits of compiling one untrusted component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileConfig {
    /// Maximum time; Python's interpreter takes half a minute on a slow machine.
    pub time: Duration,
    /// Maximum processor time, on all processors together. Whole seconds.
    pub processor: Duration,
    /// Maximum address space, in bytes.
    pub memory: u64,
}

impl Default for CompileConfig {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(120),
            processor: Duration::from_secs(240),
            memory: 4 << 30,
        }
    }
}

const KEYS: &[&str] = &[
    "db",
    "cache",
    "components",
    "master_key",
    "keys",
    "hosts",
    "policy",
    "user",
    "project",
    "lease",
    "patience",
    "limits",
    "compile",
    "idempotency",
    "audit",
    "allow",
    "postgres",
    "deliver",
    "status",
    "secrets",
    "http",
    "serve",
    "traces",
];

/// A database of which the path begins with one of these is on a server.
const URLS: [&str; 2] = ["postgres://", "postgresql://"];

const COMPILE_KEYS: &[&str] = &["time", "processor", "memory"];

impl Config {
    /// Parses the text of a `cairn.toml`. `file` names it in messages; relative paths in it start at the folder of `file`.
    /// `[allow]` may name the capabilities in `kinds`. Keys in `others` are not read: domains read them from the same text.
    ///
    /// # Errors
    /// The first problem, with its line and the fix: text that is not TOML, an unknown key, a value of a wrong type or out of
    /// its range.
    pub fn parse(
        text: &str,
        file: &Path,
        kinds: &GrantKinds,
        others: &[&str],
    ) -> Result<Self, Diagnostic> {
        let document = Document::new(text, file)?;
        let entries = document.parse()?;
        let root = document.root(&entries).only(&[KEYS, others].concat())?;
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let path = |key| -> Result<Option<PathBuf>, Diagnostic> {
            Ok(root.text(key)?.map(|path| folder.join(path)))
        };
        let word = |key, limits| -> Result<Option<String>, Diagnostic> {
            Ok(root.limited(key, limits)?.map(str::to_owned))
        };
        let time = |key, least| root.get(key).map(|item| item.duration(least)).transpose();
        Ok(Self {
            db: match root.text("db")? {
                Some(url) if URLS.iter().any(|scheme| url.starts_with(scheme)) => Some(url.into()),
                _ => path("db")?,
            },
            cache: path("cache")?,
            components: path("components")?,
            keys: KeysConfig::read(&root, folder)?,
            locks: match root.get("hosts") {
                Some(item) => {
                    let hosts = item.table()?.only(&["locks"])?;
                    hosts.text("locks")?.map(|path| folder.join(path))
                }
                None => None,
            },
            policy: path("policy")?,
            user: word("user", Text::Name)?,
            project: word("project", Text::Name)?,
            lease: time("lease", Duration::from_secs(1))?,
            patience: time("patience", Duration::from_millis(1))?,
            ceilings: match root.get("limits") {
                Some(item) => Some(Limits::most().read(item.table()?)?.0),
                None => None,
            },
            compile: match root.get("compile") {
                Some(item) => compile(&item.table()?.only(COMPILE_KEYS)?)?,
                None => CompileConfig::default(),
            },
            idempotency: match root.get("idempotency") {
                Some(item) => IdempotencyConfig {
                    keep: keep(&item, IdempotencyConfig::default().keep)?,
                },
                None => IdempotencyConfig::default(),
            },
            audit: match root.get("audit") {
                Some(item) => AuditConfig {
                    keep: keep(&item, AuditConfig::default().keep)?,
                },
                None => AuditConfig::default(),
            },
            allow: match root.get("allow") {
                Some(item) => Allow::read(&item.table()?, file, kinds)?,
                None => Allow::default(),
            },
            postgres: match root.get("postgres") {
                Some(item) => PostgresSettings::read(item.table()?, folder)?,
                None => PostgresSettings::default(),
            },
            deliver: match root.get("deliver") {
                Some(item) => Some(deliver::read(&item, folder)?),
                None => None,
            },
            status: match root.get("status") {
                Some(item) => status::read(item.table()?)?,
                None => StatusLimits::default(),
            },
            secrets: match root.get("secrets") {
                Some(item) => secret::read_all(&item, folder)?,
                None => BTreeMap::new(),
            },
            http_ca: match root.get("http") {
                Some(item) => {
                    let http = item.table()?.only(&["ca"])?;
                    http.text("ca")?.map(|path| folder.join(path))
                }
                None => None,
            },
            serve: match root.get("serve") {
                Some(item) => serve::read(&item, folder)?,
                None => ServeConfig::default(),
            },
            traces: match root.get("traces") {
                Some(item) => Some(traces::read(item.table()?, folder)?),
                None => None,
            },
        })
    }
}

/// Reads a table whose one key, `keep`, says how long something is kept.
fn keep(item: &Item<'_>, default: Duration) -> Result<Duration, Diagnostic> {
    /// A hundred years.
    const MOST: Duration = Duration::from_secs(36_525 * 24 * 3600);
    match item.table()?.only(&["keep"])?.get("keep") {
        Some(item) => item.duration_within(Duration::ZERO, MOST),
        None => Ok(default),
    }
}

fn compile(table: &Table<'_>) -> Result<CompileConfig, Diagnostic> {
    const SECOND: Duration = Duration::from_secs(1);
    let defaults = CompileConfig::default();
    let time = |key, default| match table.get(key) {
        Some(item) => item.duration(SECOND),
        None => Ok(default),
    };
    let processor = time("processor", defaults.processor)?;
    if let Some(item) = table.get("processor")
        && processor.subsec_nanos() != 0
    {
        // The system's limit is in whole seconds.
        return Err(item.error("must be whole seconds"));
    }
    Ok(CompileConfig {
        time: time("time", defaults.time)?,
        processor,
        memory: match table.get("memory") {
            // The program itself needs the minimum.
            Some(item) => size(&item, 256 << 20, 1 << 40)?,
            None => defaults.memory,
        },
    })
}

#[cfg(test)]
mod tests {
    use cairn_model::trace::Sample;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(
            text,
            Path::new("etc/cairn.toml"),
            &crate::testing::kinds(),
            &["shelves"],
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn every_key_is_read_and_paths_start_at_the_file() {
        let text = "db = 'a.db'\ncache = '/c'\ncomponents = 'k'\nmaster_key = '../m'\npolicy = 'p.json'\nshelves = 1\n\
                    user = 'u'\nproject = 'p'\nlease = '2s'\npatience = '3ms'\n[limits]\nmemory = '8MiB'\n[compile]\ntime = '6s'\n\
                    processor = '7s'\nmemory = '1GiB'\n\
                    [idempotency]\nkeep = '90d'\n[audit]\nkeep = '2y'\n[hosts]\nlocks = '/l'\n\
                    [postgres]\npassword_file = 'p'\nroot_certificate = '/r.pem'\nunsafe_server = true\n\
                    [status]\nrun = '2h'\nwait = '3d'\noverdue = '6m'\nundelivered = '1m'\nbackup = '1d'\n\
                    [secrets]\npdns = { file = 'k' }\nother.variable = 'V'\n[http]\nca = 'ca.pem'\n\
                    [serve]\nlisten = 'unix:s'\ntls_cert = 'c.pem'\ntls_key = '/k.pem'\nauth = 'basic'\nusers = 'u'\n\
                    hosts = ['cairn.example']\ntrusted_proxies = ['10.0.0.0/8']\nmetrics = false\n\
                    body = '2MiB'\nconnections = 3\nstreams = 4\ntimeout = '5s'\nidle = '6m'\n\
                    [traces]\nendpoint = 'http://[::1]:4318'";
        let path = |path| Some(PathBuf::from(path));
        let word = |word: &str| Some(word.to_owned());
        let expected = Config {
            db: path("etc/a.db"),
            cache: path("/c"),
            components: path("etc/k"),
            keys: Some(KeysConfig::File("etc/../m".into())),
            locks: path("/l"),
            policy: path("etc/p.json"),
            user: word("u"),
            project: word("p"),
            lease: Some(Duration::from_secs(2)),
            patience: Some(Duration::from_millis(3)),
            ceilings: Some(Limits {
                memory: 8 << 20,
                ..Limits::most()
            }),
            compile: CompileConfig {
                time: Duration::from_secs(6),
                processor: Duration::from_secs(7),
                memory: 1 << 30,
            },
            idempotency: IdempotencyConfig {
                keep: Duration::from_secs(90 * 86_400),
            },
            audit: AuditConfig {
                keep: Duration::from_secs(2 * 31_557_600),
            },
            allow: Allow::default(),
            postgres: PostgresSettings {
                password: Some(SecretSource::File("etc/p".into())),
                root_certificate: path("/r.pem"),
                unsafe_server: true,
            },
            deliver: None,
            status: StatusLimits {
                run: Duration::from_secs(2 * 3600),
                wait: Duration::from_secs(3 * 86_400),
                overdue: Duration::from_secs(6 * 60),
                undelivered: Duration::from_secs(60),
                backup: Some(Duration::from_secs(86_400)),
            },
            secrets: BTreeMap::from([
                ("pdns".to_owned(), SecretSource::File("etc/k".into())),
                ("other".to_owned(), SecretSource::Variable("V".to_owned())),
            ]),
            http_ca: path("etc/ca.pem"),
            serve: ServeConfig {
                listen: Listen::Unix("s".into()),
                tls: Some(TlsFiles {
                    cert: "etc/c.pem".into(),
                    key: "/k.pem".into(),
                }),
                auth: Some(AuthConfig::Basic("etc/u".into())),
                hosts: vec!["cairn.example".to_owned()],
                cors: Vec::new(),
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
                metrics: None,
                body: 2 << 20,
                connections: 3,
                streams: 4,
                timeout: Duration::from_secs(5),
                idle: Duration::from_secs(360),
            },
            traces: Some(TracesConfig {
                endpoint: Url::parse("http://[::1]:4318").unwrap(),
                sample: Sample::ALL,
                headers: BTreeMap::new(),
                ca: None,
            }),
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn the_url_of_a_database_is_no_path() {
        for url in ["postgres://u@db/d", "postgresql://u@db/d?sslmode=require"] {
            let config = parse(&format!("db = '{url}'")).unwrap();
            assert_eq!(config.db, Some(url.into()));
        }
        let program = parse("[postgres]\npassword_command = ['pass', 'a b']").unwrap();
        let words = ["pass", "a b"].map(str::to_owned).to_vec();
        let expected = Some(SecretSource::Command(words));
        assert_eq!(program.postgres.password, expected);
    }

    #[test]
    fn a_master_key_comes_from_a_file_or_a_command() {
        let keys = |text: &str| parse(text).map(|config| config.keys);
        let file = KeysConfig::File("etc/k".into());
        assert_eq!(keys("[keys]\nfile = 'k'"), Ok(Some(file.clone())));
        assert_eq!(keys("master_key = 'k'"), Ok(Some(file)));
        for (program, expected) in [
            ("pass", "pass"),
            ("./pass", "etc/./pass"),
            ("/pass", "/pass"),
        ] {
            let command = [expected, "show", "a b"].map(str::to_owned).to_vec();
            let text = format!("[keys]\ncommand = ['{program}', 'show', 'a b']");
            assert_eq!(keys(&text), Ok(Some(KeysConfig::Command(command))));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_fix() {
        for (text, expected) in [
            (
                "\n[keys]\nfile = 'k'\ncommand = ['c']",
                "`keys.command` is given beside `keys.file`\n  --> etc/cairn.toml:4\n  help: keep one of the two",
            ),
            (
                "master_key = 'k'\n[keys]\nfile = 'k'",
                "`master_key` is given beside [keys], which replaces it\n  --> etc/cairn.toml:1\n  help: remove it",
            ),
            (
                "[keys]",
                "[keys] names neither `file` nor `command`\n  --> etc/cairn.toml:1\n  help: name one of them, or leave [keys] out",
            ),
            (
                "[keys]\nfile = ''",
                "`keys.file` is empty\n  --> etc/cairn.toml:2\n  help: say what it is, or leave `file` out",
            ),
            (
                "[keys]\ncommand = 'pass show'",
                "`keys.command` must be an array, not a string\n  --> etc/cairn.toml:2",
            ),
            (
                "[keys]\ncommand = []",
                "`keys.command` names no program\n  --> etc/cairn.toml:2\n  help: write the program and its arguments, as in [\"pass\", \"show\", \"cairn\"]; no shell reads them",
            ),
            (
                "[keys]\ncommand = ['']",
                "`keys.command` names no program\n  --> etc/cairn.toml:2\n  help: write the program and its arguments, as in [\"pass\", \"show\", \"cairn\"]; no shell reads them",
            ),
            (
                "[keys]\ncommand = ['a', 1]",
                "`keys.command` must be a string, not an integer\n  --> etc/cairn.toml:2",
            ),
            (
                "[keys]\nfiel = 'k'",
                "unknown key `fiel` in [keys]\n  --> etc/cairn.toml:2\n  help: did you mean `file`?",
            ),
            (
                "[hosts]\nlock = 'k'",
                "unknown key `lock` in [hosts]\n  --> etc/cairn.toml:2\n  help: did you mean `locks`?",
            ),
            (
                "\ndbb = 'x'",
                "unknown key `dbb` in the file\n  --> etc/cairn.toml:2\n  help: did you mean `db`?",
            ),
            (
                "db = 1",
                "`db` must be a string, not an integer\n  --> etc/cairn.toml:1",
            ),
            (
                "user = ''",
                "`user` is empty\n  --> etc/cairn.toml:1\n  help: say what it is, or leave `user` out",
            ),
            (
                "\nproject = ' blue'",
                "`project` begins or ends with a blank\n  --> etc/cairn.toml:2",
            ),
            (
                "[idempotency]\nkeep = '101y'",
                "`idempotency.keep` must be from 0s to 100years, not 101y\n  --> etc/cairn.toml:2",
            ),
            (
                "[status]\nruns = '1h'",
                "unknown key `runs` in [status]\n  --> etc/cairn.toml:2\n  help: did you mean `run`?",
            ),
            (
                "status.wait = '0s'",
                "`status.wait` must be from 1s to 10years 12h, not 0s\n  --> etc/cairn.toml:1",
            ),
            (
                "[audit]\nkept = '1d'",
                "unknown key `kept` in [audit]\n  --> etc/cairn.toml:2\n  help: did you mean `keep`?",
            ),
            (
                "[limits]\nmemroy = '1MiB'",
                "unknown key `memroy` in [limits]\n  --> etc/cairn.toml:2\n  help: did you mean `memory`?",
            ),
            (
                "[compile]\nprocessor = '1500ms'",
                "`compile.processor` must be whole seconds\n  --> etc/cairn.toml:2",
            ),
            (
                "compile.time = '100ms'",
                "`compile.time` must be from 1s to 1h, not 100ms\n  --> etc/cairn.toml:1",
            ),
            (
                "compile.memory = '1MiB'",
                "`compile.memory` must be from 256.0 MiB to 1.0 TiB, not 1MiB\n  --> etc/cairn.toml:1",
            ),
            (
                "[postgres]\nfile = 'p'",
                "unknown key `file` in [postgres]\n  --> etc/cairn.toml:2\n  help: known keys here: password_file, password_variable, \
                 password_command, root_certificate, unsafe_server",
            ),
            (
                "[postgres]\npassword_command = 'pass'",
                "`postgres.password_command` must be an array, not a string\n  --> etc/cairn.toml:2",
            ),
            (
                "[postgres]\npassword_command = []",
                "`postgres.password_command` names no program\n  --> etc/cairn.toml:2\n  help: write the program and its arguments, \
                 as in [\"pass\", \"show\", \"cairn\"]; no shell reads them",
            ),
            (
                "[postgres]\npassword_file = 'p'\npassword_command = ['x']",
                "`postgres.password_command` is a second source of `password`\n  --> etc/cairn.toml:3\n  help: keep one of \
                 password_file, password_variable, password_command",
            ),
            (
                "postgres.unsafe_server = 1",
                "`postgres.unsafe_server` must be true or false\n  --> etc/cairn.toml:1",
            ),
            (
                "[secrets]\n'a b' = { file = 'k' }",
                "`secrets.a b` has a name that no secret can have\n  --> etc/cairn.toml:2\n  help: use at most 128 letters, digits, \
                 `-`, `_` and `.`",
            ),
            (
                "[secrets]\npdns = { file = 'k', variable = 'V' }",
                "`secrets.pdns.variable` is a second source of `pdns`\n  --> etc/cairn.toml:2\n  help: keep one of file, variable, \
                 command",
            ),
            (
                "http.authorities = 'x'",
                "unknown key `authorities` in [http]\n  --> etc/cairn.toml:1\n  help: known keys here: ca",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        for text in ["[secrets]\npdns = 'hunter2'", "[secrets]\npdns = {}"] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with(
                    "`secrets.pdns` names no source\n  --> etc/cairn.toml:2\n  help: write where"
                ) && !error.contains("hunter2"),
                "{error}"
            );
        }
        assert!(parse("db = ").unwrap_err().starts_with("this is no TOML"));
    }
}
