//! Listens for connections, with TLS or without, on TCP or a Unix socket.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::Diagnostic;
use cairn::config::{Listen, TlsFiles};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// A socket that listens.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removed when the server ends.
        _path: UnixPath,
    },
}

/// The path of a Unix socket, which is removed at the end.
pub(crate) struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        // A socket that stays is removed by the next server.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The bytes of a connection.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection that was accepted.
pub(crate) type Connection = Box<dyn Bytes>;

impl Socket {
    /// Opens a socket.
    ///
    /// # Errors
    /// When the address is in use or not this machine's, or the path cannot be used.
    pub(crate) async fn open(listen: &Listen) -> Result<Self, Diagnostic> {
        let failed = |error: io::Error| {
            Diagnostic::new(format!("cannot listen on {listen}: {error}"))
                .help("--listen names another place")
        };
        match listen {
            Listen::Tcp(address) => {
                Ok(Self::Tcp(TcpListener::bind(address).await.map_err(failed)?))
            }
            Listen::Unix(path) => {
                remove_stale(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let own = UnixPath(path.clone());
                let only_owner = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(path, only_owner).map_err(failed)?;
                Ok(Self::Unix {
                    listener,
                    _path: own,
                })
            }
        }
    }

    /// Returns where it listens: of port 0 the one that was chosen.
    pub(crate) fn place(&self, listen: &Listen) -> Listen {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| listen.clone(), Listen::Tcp),
            Self::Unix { .. } => listen.clone(),
        }
    }

    /// Waits for a connection, and returns it with the address of its other end.
    ///
    /// # Errors
    /// Of one connection, or because the process has too many open files.
    pub(crate) async fn accept(&self) -> io::Result<(Connection, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Some(peer.ip())))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), None))
            }
        }
    }
}

/// Removes the socket that a server which was killed has left. One that is served stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("there is something else than a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::other("another process listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

/// Reads the certificate chain and the private key of a server.
///
/// # Errors
/// When a file cannot be read, or the two do not belong together.
pub(crate) fn tls(files: &TlsFiles) -> Result<TlsAcceptor, Diagnostic> {
    let wrong = |path: &Path, problem: &dyn std::fmt::Display| {
        Diagnostic::new(format!("{}: {problem}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.cert, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.cert, &"the file has no certificate")
            .help("write the certificate chain in PEM, the server's own first"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.cert, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.cert, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
