//! Flows over HTTP, and the dashboard.
//!
//! [`Service::open`] binds the socket, [`Service::run`] serves until it is told to stop. Flows run in this process, by the host that the caller
//! passes to its [`Handle`].

mod access;
mod api;
mod app;
mod auth;
mod calls;
mod cors;
mod counters;
mod database;
mod deployed;
mod error;
mod follow;
mod gists;
mod guard;
mod health;
mod listen;
mod metrics;
mod notices;
mod operators;
mod readers;
mod request_id;
mod runner;
mod scrape;
mod server;
mod status;
mod ui;
mod writes;

pub use app::Parts;
pub use database::Database;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use cairn::config::{AuthConfig, Listen, ServeConfig};
use cairn::plan::PlannedTask;
use cairn::{Diagnostic, Host, Task};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

use app::App;
use auth::{Auth, Means};
use calls::Calls;
use counters::LastCounters;
use deployed::Deployed;
use follow::Follower;
use gists::Gists;
use metrics::Metrics;
use notices::Notices;
use readers::Readers;
use runner::Runner;
use server::Server;
use status::Oversight;
use writes::Writes;

/// How many connections may be open to the measurements.
const SCRAPERS: usize = 16;

/// How many requests wait for room in the host's queue; more are refused.
const WAITING: usize = 64;

/// How many requests ask providers of objects outside the database at once; more are refused.
const ASKING: usize = 4;

/// A server that is bound to its socket.
pub struct Service {
    runtime: Runtime,
    app: Arc<App>,
    server: Server,
    listen: Listen,
    /// Serves the measurements, at a place of its own.
    metrics: Option<Server>,
}

/// Controls a server that runs.
#[derive(Clone)]
pub struct Handle(Arc<App>);

impl Handle {
    /// Lets this host run the flows from now on; until then requests for flows are refused. To be called once.
    pub fn begin(&self, host: Arc<Host>) {
        self.0.runner.begin(host);
    }

    /// Returns what wraps the tasks of the host's plans, so that the server knows how long calls take: for
    /// [`HostBuilder::intercept`](cairn::host::HostBuilder::intercept).
    pub fn measuring(
        &self,
    ) -> impl Fn(&PlannedTask, Arc<dyn Task>) -> Arc<dyn Task> + Send + Sync + 'static {
        let app = Arc::clone(&self.0);
        move |planned, task| app.calls.measured(&planned.plugin, task)
    }

    /// Lets the server accept no more connections, and begin no more flows.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
        if let Ok(host) = self.0.host() {
            host.drain();
        }
    }

    /// Returns whether the server was told to stop.
    pub fn is_stopping(&self) -> bool {
        *self.0.stop.borrow()
    }
}

impl Service {
    /// Reads what `[serve]` names, and binds the socket.
    ///
    /// # Errors
    /// When files cannot be read or are wrong, or the socket cannot be bound.
    pub fn open(parts: Parts) -> Result<Self, Diagnostic> {
        let Parts {
            database,
            policy,
            config,
            status,
            operator,
            ui,
        } = parts;
        let runtime = Builder::new_multi_thread()
            .thread_name("cairn-http")
            .enable_all()
            .build()
            .map_err(|error| Diagnostic::new(format!("a thread cannot be started: {error}")))?;
        let readers = Arc::new(Readers::new(Arc::clone(&database)));
        let runner = Arc::new(Runner::default());
        let means = Means {
            operator: operator.clone(),
            policy: Arc::clone(&policy),
            readers: Arc::clone(&readers),
            runner: Arc::clone(&runner),
        };
        let app = Arc::new(App {
            auth: Auth::new(&config, means)?,
            oversight: Oversight::new(Arc::clone(&readers), Arc::clone(&runner), operator, status),
            follower: Follower::new(Arc::clone(&readers)),
            counters: LastCounters::new(Arc::clone(&readers)),
            deployed: Deployed::default(),
            gists: Gists::default(),
            notices: Notices::default(),
            calls: Calls::default(),
            metrics: Metrics::default(),
            writes: Writes::default(),
            limits: status,
            streams: Arc::new(Semaphore::new(config.streams)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            asking: Arc::new(Semaphore::new(ASKING)),
            stop: Arc::new(watch::Sender::new(false)),
            readers,
            runner,
            policy,
            config,
            database,
        });
        let tls = app.config.tls.as_ref().map(listen::tls).transpose()?;
        let listen = app.config.listen.clone();
        let opened = Server::open(&listen, tls, router(&app, ui), app.config.connections);
        let server = runtime.block_on(opened)?;
        let listen = server.socket.place(&listen);
        let metrics = app.config.metrics.and_then(|address| {
            let place = Listen::Tcp(address);
            let opened = Server::open(&place, None, scrape::router(&app), SCRAPERS);
            // The flows matter more: another server of this machine may have the port.
            runtime
                .block_on(opened)
                .inspect_err(|error| {
                    tracing::warn!(%error, "no measurements are served: set `metrics` in [serve]");
                })
                .ok()
        });
        Ok(Self {
            metrics,
            runtime,
            app,
            server,
            listen,
        })
    }

    /// Returns where the server listens.
    pub fn listens_on(&self) -> &Listen {
        &self.listen
    }

    /// Returns what controls it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.app))
    }

    /// Serves until it is stopped, and every connection has ended its last request.
    pub fn run(self) {
        let Self {
            runtime,
            app,
            server,
            metrics,
            ..
        } = self;
        runtime.block_on(async {
            let following = tokio::spawn(Follower::run(Arc::downgrade(&app.follower)));
            let measuring = metrics.map(|metrics| tokio::spawn(metrics.run(app.stop.subscribe())));
            server.run(app.stop.subscribe()).await;
            if let Some(measuring) = measuring {
                measuring.abort();
            }
            following.abort();
        });
    }
}

/// Checks that a server does not serve strangers by mistake.
///
/// # Errors
/// When it would listen off this machine without authentication, or take secrets in clear text.
pub fn check(config: &ServeConfig, insecure_no_auth: bool) -> Result<(), Diagnostic> {
    if config.listen.is_local() {
        return Ok(());
    }
    let listen = &config.listen;
    match config.auth.as_ref().unwrap_or(&AuthConfig::None) {
        AuthConfig::None if insecure_no_auth => Ok(()),
        AuthConfig::None => Err(Diagnostic::new(format!(
            "{listen} can be reached from other machines, and callers are not asked who they are"
        ))
        .help("set auth in [serve] to \"tokens\" or \"basic\"; or give --insecure-no-auth, which lets everyone who connects do everything")),
        AuthConfig::Tokens | AuthConfig::Basic(_)
            if config.tls.is_none() && config.trusted_proxies.is_empty() =>
        {
            Err(Diagnostic::new(format!(
                "{listen} can be reached from other machines, and tokens and passwords would be sent in clear text"
            ))
            .help("set tls_cert and tls_key in [serve], or name the proxies that do TLS in trusted_proxies"))
        }
        AuthConfig::Tokens | AuthConfig::Basic(_) => Ok(()),
    }
}

fn router(app: &Arc<App>, ui: bool) -> Router {
    let pages = if ui { ui::router() } else { Router::new() };
    let api = match cors::layer(&app.config) {
        Some(cors) => api::router().layer(cors),
        None => api::router(),
    };
    Router::new()
        .merge(api)
        .merge(pages)
        .layer(from_fn_with_state(Arc::clone(app), guard::check))
        .merge(health::router())
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(from_fn_with_state(Arc::clone(app), access::log))
        .layer(from_fn(request_id::name))
        .with_state(Arc::clone(app))
}
