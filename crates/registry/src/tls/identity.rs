//! Client certificates: which one is shown.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use skopeo_x509::Certificate;

use super::TlsError;
use crate::options::ClientPair;

/// The user's client certificates, in order.
pub(super) struct Pairs(Vec<Arc<CertifiedKey>>);

impl Pairs {
    pub(super) fn load(pairs: &[ClientPair], provider: &CryptoProvider) -> Result<Self, TlsError> {
        pairs.iter().map(|pair| load(pair, provider)).collect::<Result<_, _>>().map(Self)
    }
}

fn load(pair: &ClientPair, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let wrong = |reason: String| TlsError::ClientPair { name: pair.name.clone(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pair.certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    let Some(own) = chain.first() else {
        return Err(wrong("no certificate found".to_owned()));
    };
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.reveal().as_bytes())
        .map_err(|error| wrong(format!("its key: {error}")))?;
    let own = Certificate::parse(own).map_err(wrong)?.key.to_vec();
    // What keys cannot be used is said in rustls' words, which name types.
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| wrong("its type of key is not supported".to_owned()))?;
    if key.public_key().is_some_and(|public| public.as_ref() != own) {
        return Err(wrong("private key does not match public key".to_owned()));
    }
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

impl ResolvesClientCert for Pairs {
    /// The first pair issued by someone the server knows; none if it knows none of them.
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let is_known = |pair: &CertifiedKey| {
            authorities.is_empty()
                || pair.cert.iter().any(|certificate| {
                    Certificate::parse(certificate).is_ok_and(|it| authorities.contains(&it.issuer))
                })
        };
        self.0
            .iter()
            .find(|pair| is_known(pair) && pair.key.choose_scheme(schemes).is_some())
            .cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pairs({})", self.0.len())
    }
}
