//! Signed tokens, as distribution's registry wants them from a realm.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

/// A key with a certificate that names it.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    /// The certificate, DER.
    der: Vec<u8>,
    /// The certificate, PEM: what a registry is told to trust.
    pub(crate) pem: String,
}

impl Signer {
    /// A new key.
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "testkit realm");
        let certificate = params.self_signed(&pair).expect("a certificate");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der());
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { key: key.expect("a key of our own"), der, pem }
    }

    /// A token that grants scopes of one action each, `repository:a/b:pull`, for so many seconds.
    pub(crate) fn token(
        &self,
        number: usize,
        scopes: &[String],
        expires_in: Option<u64>,
    ) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.der)]});
        let claims = json!({
            "iss": ISSUER,
            "sub": "",
            "aud": SERVICE,
            "nbf": now.saturating_sub(10),
            "iat": now,
            "exp": now + expires_in.unwrap_or(60),
            "jti": number.to_string(),
            "access": scopes.iter().filter_map(|scope| access(scope)).collect::<Vec<_>>(),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        format!("{signed}.{signature}")
    }
}

/// Who signs.
pub(crate) const ISSUER: &str = "testkit";

/// For whom.
pub(crate) const SERVICE: &str = "testkit";

fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, action) = rest.rsplit_once(':')?;
    Some(json!({"type": kind, "name": name, "actions": [action]}))
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
