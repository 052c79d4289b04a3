//! Which servers are trusted.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use cairn_model::error::Diagnostic;
use cairn_model::file;

use crate::error::OutboundError;

/// The authorities whose certificates are accepted: those of the system, and those of an operator's file.
#[derive(Debug, Default)]
pub struct Authorities {
    own: Vec<CertificateDer<'static>>,
    /// Made for the first request over TLS: to read the system's authorities takes milliseconds.
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Authorities {
    /// Adds the authorities of a file of certificates in PEM to those of the system.
    ///
    /// # Errors
    /// The file cannot be read, holds no certificate, or one that cannot be used.
    pub fn with_file(path: &Path) -> Result<Self, Diagnostic> {
        let wrong = |problem: String| {
            Diagnostic::new(format!("the authorities cannot be used: {problem}"))
                .at(path, None)
                .help("name a file of certificates in PEM")
        };
        let text = file::text(path, file::MAX_TEXT).map_err(|error| wrong(error.to_string()))?;
        let mut own = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone()).map_err(|error| {
                wrong(format!(
                    "it holds a certificate that is no authority's: {error}"
                ))
            })?;
            own.push(certificate);
        }
        match own.is_empty() {
            true => Err(wrong("it holds no certificate".to_owned())),
            false => Ok(Self {
                own,
                config: OnceLock::new(),
            }),
        }
    }

    /// Returns the settings of TLS.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, OutboundError> {
        let config = self.config.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // One that the system trusts and rustls cannot read is left out.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            roots.add_parsable_certificates(self.own.iter().cloned());
            if roots.is_empty() {
                return Err(
                    "this system trusts no authority, so that no server is trusted over TLS: give the operator's file of authorities"
                        .to_owned(),
                );
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Ok(Arc::new(config))
        });
        config.clone().map_err(OutboundError::Authorities)
    }
}
