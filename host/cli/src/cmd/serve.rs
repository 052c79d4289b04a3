use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn::clock::SystemClock;
use cairn::config::{AuthConfig, Listen, ServeConfig, TlsFiles};
use cairn::store::hosts::{FileHosts, Hosts};
use cairn::store::postgres::{PostgresConfig, ServerHosts};
use cairn::store::view::Reader;
use cairn::store::{DatabaseFile, Location};
use cairn::{Host, SqliteConfig, StoreError};
use cairn_service::{Database, Handle, Parts, Service};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Placement;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::session::Session;

/// Run flows that clients ask for over HTTP
///
/// Clients ask for flows by the names under which `cairn flow deploy` has stored them. The interface is described by /v1/openapi.json. Flows
/// of dead processes are recovered, and flows that are due are woken, as by `cairn recover --watch`.
///
/// Without `auth` in [serve] of cairn.toml callers are not asked who they are: each is the operator, for the user and the project of cairn.toml.
/// The server then listens on loopback or a Unix socket only. `auth = "tokens"` asks for a token of `cairn token create`, `auth = "basic"` for a
/// user and a password of the file that `users` names: [users.NAME], password = "HASH" (of `htpasswd -nB`), projects = ["P"], roles = ["R"].
///
/// SIGTERM or SIGINT: no more connections are accepted and no more flows begin; running flows end first.
#[derive(Args, Debug)]
pub struct Serve {
    /// Address and port, or unix:PATH [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDRESS", value_parser = listen)]
    listen: Option<Listen>,
    /// Certificate chain of the server, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the server, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen on an address that other machines reach, although everyone who connects may do everything
    #[arg(long)]
    insecure_no_auth: bool,
    /// Serve no dashboard, only the interface for programs
    #[arg(long)]
    no_ui: bool,
    /// Number of tasks that run at the same time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    #[command(flatten)]
    placement: Placement,
}

/// Interval between two looks at whether a held database was released, or whether flows still run.
const LOOK: Duration = Duration::from_millis(50);

fn listen(text: &str) -> Result<Listen, String> {
    text.parse()
}

impl Serve {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let config = self.config(&session.settings.serve);
        cairn_service::check(&config, self.insecure_no_auth)?;
        if config
            .auth
            .as_ref()
            .is_none_or(|auth| *auth == AuthConfig::None)
            && !config.listen.is_local()
        {
            session.warn(
                "everyone who connects may do everything: callers are not asked who they are",
            );
        }
        most_files();
        let service = Service::open(Parts {
            database: Arc::new(Connections::new(session)?),
            policy: session.policy()?,
            config,
            status: session.settings.status,
            operator: session.operator(),
            ui: !self.no_ui,
        })?;
        let handle = service.handle();
        let interrupt = Interrupt::with(&session.settings.global, {
            let handle = handle.clone();
            move || handle.stop()
        })?;
        let scheme = if self.tls_cert.is_some() || session.settings.serve.tls.is_some() {
            "https"
        } else {
            "http"
        };
        session.note(&match service.listens_on() {
            Listen::Tcp(address) => format!("listening on {scheme}://{address}"),
            socket @ Listen::Unix(_) => format!("listening on {socket}"),
        });
        std::thread::scope(|scope| {
            let serving = std::thread::Builder::new()
                .name("cairn-serve".to_owned())
                .spawn_scoped(scope, move || service.run())
                .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))?;
            let host = self.begin(session, &handle);
            if host.is_err() {
                handle.stop();
            }
            let served = serving.join();
            let Some(host) = host? else { return Ok(()) };
            served.map_err(|_| Failure::host("the thread that serves panicked"))?;
            while host.unfinished() > 0 {
                std::thread::sleep(LOOK);
            }
            drop(interrupt);
            session.settle(&host);
            Ok(())
        })
    }

    /// Returns `[serve]` with what the command line changes.
    fn config(&self, settings: &ServeConfig) -> ServeConfig {
        let mut config = settings.clone();
        if let Some(listen) = &self.listen {
            config.listen = listen.clone();
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            config.tls = Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
            });
        }
        config
    }

    /// Starts the host, and recovers flows; `None` if the server is stopped while the database is held.
    fn begin(&self, session: &Session, handle: &Handle) -> Result<Option<Arc<Host>>, Failure> {
        if !wait_for_release(session, handle)? {
            return Ok(None);
        }
        let policy = session.policy()?;
        let planner = session.planner()?.policy(Arc::clone(&policy));
        let builder = session.host(planner, policy)?.share(true).wake(true);
        let mut builder = builder.intercept(handle.measuring());
        if let Some(workers) = self.workers {
            builder = builder.workers(workers.into());
        }
        let host = Arc::new(builder.build()?);
        host.leave_waiting();
        handle.begin(Arc::clone(&host));
        if handle.is_stopping() {
            host.drain();
        }
        host.recover(false)?;
        Ok(Some(host))
    }
}

/// Waits while the database is held after a restore; returns false if the server is stopped meanwhile.
fn wait_for_release(session: &Session, handle: &Handle) -> Result<bool, Failure> {
    if !session.settings.db.exists()? {
        return Ok(true);
    }
    let operator = session.operator();
    let mut is_told = false;
    while let Some(since) = session.any_reader()?.view(&operator).held()? {
        if handle.is_stopping() {
            return Ok(false);
        }
        if !std::mem::replace(&mut is_told, true) {
            let held = StoreError::Held { since };
            session.warn(&format!("{held}; until then only reads are served"));
        }
        std::thread::sleep(LOOK * 10);
    }
    Ok(true)
}

/// Raises the limit of open files as far as this process may: each connection is one.
fn most_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files was not raised");
    }
}

/// Opens connections to the database for the server.
enum Connections {
    File(DatabaseFile, SqliteConfig),
    Server(PostgresConfig),
}

impl Connections {
    fn new(session: &Session) -> Result<Self, Failure> {
        Ok(match &session.settings.db {
            Location::File(file) => Self::File(file.clone(), session.config()?),
            Location::Server(url) => Self::Server(session.server(url)?),
        })
    }
}

impl Database for Connections {
    fn reader(&self) -> Result<Reader, StoreError> {
        let clock = Arc::new(SystemClock);
        let reader = match self {
            Self::File(file, config) => Reader::open(file.path(), config.clone(), clock)?,
            Self::Server(config) => Reader::connect(config, clock)?,
        };
        reader.require_newest()?;
        Ok(reader)
    }

    fn hosts(&self) -> Result<Box<dyn Hosts>, StoreError> {
        Ok(match self {
            Self::File(file, config) => Box::new(FileHosts {
                path: file.path().to_owned(),
                config: config.clone(),
                clock: Arc::new(SystemClock),
            }),
            Self::Server(config) => Box::new(ServerHosts::connect(config)?),
        })
    }
}
