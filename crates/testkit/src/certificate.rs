//! Certificates for one test.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use skopeo_server::Tls;

/// A server's certificate, from an authority of its own.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The authority's certificate, to be trusted; PEM.
    pub ca: String,
    /// The server's certificate; PEM.
    pub certificate: String,
    /// The server's key; PEM.
    pub key: String,
}

impl Certificate {
    /// For these names and addresses.
    ///
    /// # Panics
    /// If one of them is neither.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "testkit authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, new_key()).expect("a certificate");
        let key = new_key();
        let mut params = params(names);
        params.distinguished_name.push(rcgen::DnType::CommonName, "testkit server");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        Self { ca: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Signed by itself, as `openssl req -x509` makes them: server and authority at once.
    ///
    /// # Panics
    /// If one of the names is no name.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        let key = new_key();
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let (ca, certificate) = (certificate.pem(), certificate.pem());
        Self { ca, certificate, key: key.serialize_pem() }
    }

    /// For our server.
    ///
    /// # Panics
    /// Never, as both are ours.
    #[must_use]
    pub fn tls(&self) -> Tls {
        Tls::parse(self.certificate.as_bytes(), self.key.as_bytes()).expect("a pair of our own")
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    CertificateParams::new(names).expect("names or addresses")
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
