//! Connections to checked addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{DnsName, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Client;
use super::io::Io;
use crate::address;
use crate::error::OutboundError;
use crate::grant::Permit;
use crate::url::{Host, Origin, Scheme};

/// The most addresses of a name that are tried.
const TRIED: usize = 4;

/// Bytes that are kept of an error of TLS.
const PROBLEM: usize = 400;

/// An address that a request may go to. Only [`check_all`] makes one, and only to one a connection is made.
#[derive(Clone, Copy)]
struct Checked(IpAddr);

/// Checks every address of a host. If one is refused, the request is: a name of which one address is private may give it alone
/// the next time.
fn check_all(
    addresses: Vec<IpAddr>,
    host: &Host,
    is_named: bool,
) -> Result<Vec<Checked>, OutboundError> {
    let check = |address: IpAddr| {
        let checked = address::check(address, is_named);
        checked.map_err(|why| OutboundError::Address {
            host: host.to_string(),
            address,
            why,
        })?;
        Ok(Checked(address))
    };
    addresses.into_iter().map(check).collect()
}

impl Client {
    /// Connects to the host of a permitted URL, and secures the connection if the scheme asks for it.
    pub(super) async fn connect(
        &self,
        permit: &Permit,
        deadline: Instant,
    ) -> Result<Io<Stream>, OutboundError> {
        let origin = &permit.url.origin;
        let addresses = self.addresses(&origin.host, permit.is_named).await?;
        let stream = self.open(&addresses, origin, deadline).await?;
        // A request is one or two writes, and nothing follows that could go with it.
        let _ = stream.set_nodelay(true);
        Ok(Io::new(match origin.scheme {
            Scheme::Http => Stream::Plain(stream),
            Scheme::Https => Stream::Tls(Box::new(self.secure(stream, origin).await?)),
        }))
    }

    async fn addresses(&self, host: &Host, is_named: bool) -> Result<Vec<Checked>, OutboundError> {
        let found = match host {
            Host::Address(address) => vec![*address],
            // Not looked up (RFC 6761).
            Host::Name(name) if name == Host::LOCALHOST => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Host::Name(name) => {
                let found = self.resolver.resolve(name).await;
                found.map_err(|error| OutboundError::Lookup {
                    host: name.clone(),
                    problem: error.to_string(),
                })?
            }
        };
        if found.is_empty() {
            return Err(OutboundError::NoAddress {
                host: host.to_string(),
            });
        }
        check_all(found, host, is_named)
    }

    /// Connects to the first address that takes the connection. Each gets an equal part of the time that is left.
    async fn open(
        &self,
        addresses: &[Checked],
        origin: &Origin,
        deadline: Instant,
    ) -> Result<TcpStream, OutboundError> {
        let tried = &addresses[..addresses.len().min(TRIED)];
        let mut problem = String::new();
        for (at, Checked(address)) in tried.iter().enumerate() {
            let others = u32::try_from(tried.len() - at).unwrap_or(1);
            let left = deadline.saturating_duration_since(Instant::now());
            let until = Instant::now() + left.max(Duration::from_millis(1)) / others;
            let connected = self
                .connector
                .connect(SocketAddr::new(*address, origin.port));
            problem = match timeout_at(until, connected).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => format!("{address}: {error}"),
                Err(_) => format!("{address}: it does not answer"),
            };
        }
        Err(OutboundError::Connect {
            origin: origin.clone(),
            problem,
        })
    }

    async fn secure(
        &self,
        stream: TcpStream,
        origin: &Origin,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let failed = |mut problem: String, certificate: bool| {
            // It repeats the names in the certificate, of which a server may send many.
            problem.truncate(problem.floor_char_boundary(PROBLEM));
            OutboundError::Tls {
                origin: origin.clone(),
                problem,
                certificate,
            }
        };
        let name = match &origin.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                let name = DnsName::try_from(name.clone());
                ServerName::from(name.map_err(|error| failed(error.to_string(), false))?)
            }
        };
        let connector = TlsConnector::from(self.authorities.config()?);
        connector.connect(name, stream).await.map_err(|error| {
            let source = error.get_ref();
            let source = source.and_then(|source| source.downcast_ref::<rustls::Error>());
            let certificate = matches!(source, Some(rustls::Error::InvalidCertificate(_)));
            failed(error.to_string(), certificate)
        })
    }
}

/// A connection in clear or over TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
