//! TLS by rustls: what is trusted, and which client certificate is shown.

mod details;
mod hint;
mod identity;
mod verify;
mod words;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::options::TlsOptions;

pub(crate) use words::told;

/// Why no TLS connection could be made with what the user gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// `minVersion` is none.
    #[error("unrecognized TLS minimum version {0:?}")]
    Version(String),
    /// A cipher suite that nobody knows.
    #[error("unrecognized TLS cipher suite {0:?}")]
    CipherSuite(String),
    /// Cipher suites that leave nothing to speak with.
    #[error("no usable TLS cipher suite among {0:?}")]
    NoCipherSuite(Vec<String>),
    /// A group that nobody knows.
    #[error("unrecognized TLS named group {0:?}")]
    Group(String),
    /// No groups at all.
    #[error("no TLS named group is left to use")]
    NoGroup,
    /// A client certificate or key that is none.
    #[error("loading client certificate {name}: {reason}")]
    ClientPair {
        /// The pair's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Versions, ciphers and groups that do not go together.
    #[error("preparing TLS: {0}")]
    Config(String),
}

/// Whom a client believes.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Anyone.
    Blind,
    /// The system's roots and the user's.
    Rooted(Arc<verify::Trusted>),
}

impl Trust {
    /// Reads the system's roots on a thread of its own while the connection is being made.
    pub(crate) fn warm(&self) {
        if let Self::Rooted(trusted) = self {
            let trusted = Arc::clone(trusted);
            tokio::task::spawn_blocking(move || trusted.warm());
        }
    }
}

/// The settings of every TLS connection of one client. The system's roots are not read yet.
pub(crate) fn config(
    options: &TlsOptions,
    insecure: bool,
) -> Result<(ClientConfig, Trust), TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    let versions = details::apply(&options.details, &mut provider)?;
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Config(error.to_string()))?
        .dangerous();
    let (builder, trust) = if insecure {
        let anything = Arc::new(verify::Anything::new(&provider));
        (builder.with_custom_certificate_verifier(anything), Trust::Blind)
    } else {
        let extra = roots(&options.extra_roots_pem);
        let system = !options.only_extra_roots;
        let trusted = Arc::new(verify::Trusted::new(Arc::clone(&provider), extra, system));
        let verifier = Arc::clone(&trusted);
        (builder.with_custom_certificate_verifier(verifier), Trust::Rooted(trusted))
    };
    let mut config = if options.client_pairs.is_empty() {
        builder.with_no_client_auth()
    } else {
        let pairs = identity::Pairs::load(&options.client_pairs, &provider)?;
        builder.with_client_cert_resolver(Arc::new(pairs))
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, trust))
}

/// The certificates in PEM files. As in the original, what is no certificate is passed over.
fn roots(files: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    for file in files {
        let before = found.len();
        found.extend(CertificateDer::pem_slice_iter(file).filter_map(Result::ok));
        if found.len() == before {
            tracing::debug!("Ignoring a file of trusted certificates without a certificate in PEM");
        }
    }
    found
}
