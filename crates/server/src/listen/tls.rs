//! The certificate of a server.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// A certificate with its key.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<rustls::ServerConfig>);

impl Tls {
    /// Reads two PEM files.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        Self::parse(&fs::read(certificate)?, &fs::read(key)?)
    }

    /// Reads a certificate chain, the server's own first, and its key, both PEM.
    ///
    /// # Errors
    ///
    /// If one is not PEM, or the two do not belong together.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Tls(source);
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.into()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong(error.into()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.into()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| wrong(error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Returns the same, with a configuration of one's own (client certificates, versions).
    #[must_use]
    pub fn of_config(config: Arc<rustls::ServerConfig>) -> Self {
        Self(config)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
