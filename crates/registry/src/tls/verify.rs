//! Which server certificates are believed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme,
};

use skopeo_x509::{self as x509, Certificate, Purpose, Refused, Roots, der};

/// Believes what the system's roots and the user's vouch for.
///
/// The roots are read when the first certificate comes in: plain http never pays for them.
pub(crate) struct Trusted {
    provider: Arc<CryptoProvider>,
    extra: Vec<CertificateDer<'static>>,
    /// Whether the system's roots count.
    system: bool,
    roots: OnceLock<Roots>,
}

impl Trusted {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        extra: Vec<CertificateDer<'static>>,
        system: bool,
    ) -> Self {
        Self { provider, extra, system, roots: OnceLock::new() }
    }

    /// Reads the roots, so that they are there when they are needed.
    pub(super) fn warm(&self) {
        self.roots();
    }

    fn roots(&self) -> &Roots {
        self.roots.get_or_init(|| {
            let system = if self.system { system_roots() } else { &[] };
            Roots::new(self.extra.iter().chain(system).cloned())
        })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let algorithms = self.provider.signature_verification_algorithms.all;
        let server = parse(server)?;
        let host = name.to_str();
        let purpose = Purpose::Server(&host);
        x509::verify(&server, intermediates, self.roots(), purpose, now, algorithms)
            .map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(certificate)?;
        let bad = || Error::from(CertificateError::BadSignature);
        let (algorithm, key) = der::public_key(certificate.key).ok_or_else(bad)?;
        let mut known = self.provider.signature_verification_algorithms.mapping.iter();
        let (_, of_scheme) = known
            .find(|(scheme, _)| *scheme == signed.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let usable = of_scheme.iter().find(|it| it.public_key_alg_id().as_ref() == algorithm);
        usable
            .and_then(|usable| usable.verify_signature(key, message, signed.signature()).ok())
            .ok_or_else(bad)?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(parse(certificate)?.key);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<Certificate<'a>, Error> {
    Certificate::parse(certificate).map_err(|why| refused(Refused::Unreadable(why)))
}

fn refused(why: Refused) -> Error {
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("extra", &self.extra.len()).finish_non_exhaustive()
    }
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
