//! The network: names to addresses, addresses to connections.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::net::TcpStream;

/// The addresses of a name, once they are known.
pub type Resolution<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks names up. A [`Client`](crate::Client) asks once for each request, and connects only to addresses of that answer.
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a name, in the order in which they are to be tried.
    ///
    /// The caller checks the addresses, and drops the future when the time is over.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolution<'a>;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolution<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A connection, once it is made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Makes connections. A [`Client`](crate::Client) passes on addresses that were checked, and no others.
pub trait Connector: Send + Sync {
    /// Connects to an address. The caller drops the future when the time is over.
    fn connect(&self, address: SocketAddr) -> Connecting;
}

/// Connections of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemConnector;

impl Connector for SystemConnector {
    fn connect(&self, address: SocketAddr) -> Connecting {
        Box::pin(TcpStream::connect(address))
    }
}
