//! Which server certificates are believed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::der::Fields;

/// Believes what the system's roots and the user's vouch for.
///
/// The roots are read when the first certificate comes in: plain http never pays for them.
pub(crate) struct Trusted {
    provider: Arc<CryptoProvider>,
    extra: Vec<CertificateDer<'static>>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, Error>>,
}

impl Trusted {
    pub(super) fn new(provider: Arc<CryptoProvider>, extra: Vec<CertificateDer<'static>>) -> Self {
        Self { provider, extra, verifier: OnceLock::new() }
    }

    /// Reads the roots, so that they are there when they are needed.
    pub(super) fn warm(&self) {
        // What is wrong with them is told to whoever needs them.
        let _ = self.verifier();
    }

    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        let made = self.verifier.get_or_init(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(self.extra.iter().cloned());
            store.add_parsable_certificates(system_roots().iter().cloned());
            if store.is_empty() {
                // Nobody to believe. (An empty store would be an error of its own.)
                return Err(CertificateError::UnknownIssuer.into());
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// A certificate that is an authority and the server at once, as `openssl req -x509` makes
    /// them, is not believed by webpki even where the user gave this very certificate as a root.
    /// Go's verifier believes it, and so do we, if its name and time are right.
    fn is_root_itself(&self, server: &CertificateDer<'_>) -> bool {
        self.extra.iter().chain(system_roots()).any(|root| root.as_ref() == server.as_ref())
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verifier()?.verify_server_cert(server, intermediates, name, ocsp, now);
        match verdict {
            Err(Error::InvalidCertificate(problem))
                if is_used_as_server(&problem) && self.is_root_itself(server) =>
            {
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                if !Fields::find(server).is_some_and(|fields| fields.is_valid_at(now)) {
                    return Err(CertificateError::Expired.into());
                }
                Ok(ServerCertVerified::assertion())
            }
            // An authority that nobody vouches for is first of all unknown.
            Err(Error::InvalidCertificate(problem)) if is_used_as_server(&problem) => {
                Err(CertificateError::UnknownIssuer.into())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("extra", &self.extra.len()).finish_non_exhaustive()
    }
}

fn is_used_as_server(problem: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(other)) = problem else { return false };
    matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The system's roots, read once for the whole process, and only for TLS.
fn system_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!("Reading the system's trusted certificates: {error}");
        }
        found.certs
    })
}

/// `--tls-verify=false`: believes anything.
#[derive(Debug)]
pub(super) struct Anything(Vec<SignatureScheme>);

impl Anything {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms.supported_schemes())
    }
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _server: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
