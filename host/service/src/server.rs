//! Serves connections until it is told to stop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use cairn::Diagnostic;
use cairn::config::Listen;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::app::stopped;
use crate::auth::peer::Peer;
use crate::listen::{Connection, Socket};

/// How long a client may take to send the head of a request, and a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);

/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const MOST_HEAD: usize = 64 << 10;

/// The most headers of a request.
const MOST_HEADERS: usize = 100;

/// How long open connections may take to end their last request when the server stops.
const LAST: Duration = Duration::from_secs(10);

/// A router behind a socket.
pub(crate) struct Server {
    pub(crate) socket: Socket,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    /// How many connections may be open; more wait.
    pub(crate) connections: usize,
}

impl Server {
    /// Opens the socket of a server.
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub(crate) async fn open(
        listen: &Listen,
        tls: Option<TlsAcceptor>,
        router: Router,
        connections: usize,
    ) -> Result<Self, Diagnostic> {
        Ok(Self {
            socket: Socket::open(listen).await?,
            tls,
            router,
            connections,
        })
    }

    /// Serves until `stop` is true, then lets open connections end the request that they are in.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.connections));
        let mut open = JoinSet::new();
        loop {
            let accept = async {
                // It is never closed.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                (permit, self.socket.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = stopped(&mut stop) => break,
            };
            let (connection, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Of one connection that is gone, or of too many open files, which does not pass at once.
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let (tls, router, stop) = (self.tls.clone(), self.router.clone(), stop.clone());
            open.spawn(async move {
                serve(connection, address, tls, router, stop).await;
                drop(permit);
            });
            // Forgets those that have ended.
            while open.try_join_next().is_some() {}
        }
        drop(self.socket);
        let ended = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, ended).await.is_err() {
            tracing::warn!("connections that did not end were closed");
        }
    }
}

async fn serve(
    connection: Connection,
    address: Option<IpAddr>,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let peer = Peer::of_connection(address, tls.is_some());
    let connection: Connection = match tls {
        None => connection,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(connection)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => {
                return tracing::debug!(?address, %error, "no TLS connection was made");
            }
            Err(_) => return tracing::debug!(?address, "a TLS handshake took too long"),
        },
    };
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEAD)
        .max_buf_size(MOST_HEAD)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(?address, %error, "a connection ended early");
    }
}
