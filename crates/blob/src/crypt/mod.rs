//! Encrypted layers, as OCI image encryption has them (the format of `ocicrypt`): the layer is
//! encrypted with a key of its own, and that key is wrapped for each recipient and put into the
//! layer's annotations.
//!
//! - `cipher`: the bytes of a layer, on their way past
//! - `options`: the layer's key, and how it is written down
//! - `jwe`, `pkcs7`, `openpgp`, `provider`: the ways to wrap it
//! - `key`, `jwk`, `locked`, `der`: keys in files
//!
//! Keys come in as values: who reads files, keyrings and the environment is elsewhere. Everything
//! that comes out of an image is hostile here: what it may cost is bounded by [`Attempts`].

mod cipher;
mod der;
mod error;
mod forms;
mod jwe;
mod jwk;
mod key;
mod locked;
#[cfg_attr(not(feature = "openpgp"), path = "openpgp_absent.rs")]
mod openpgp;
mod options;
mod pkcs7;
mod provider;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use skopeo_image::{Digest, Secret};
use zeroize::Zeroizing;

pub use cipher::{Sealed, decrypt, encrypt};
pub use error::{CryptError, KeyError};
pub use options::LayerKey;
pub use provider::Provider;

/// What the names of all annotations about encryption begin with.
pub const ANNOTATIONS: &str = "org.opencontainers.image.enc";

const PUBLIC_OPTIONS: &str = "org.opencontainers.image.enc.pubopts";
const JWE: &str = "org.opencontainers.image.enc.keys.jwe";
const PGP: &str = "org.opencontainers.image.enc.keys.pgp";
const PKCS7: &str = "org.opencontainers.image.enc.keys.pkcs7";
const PKCS11: &str = "org.opencontainers.image.enc.keys.pkcs11";
const PROVIDER: &str = "org.opencontainers.image.enc.keys.provider.";

/// The longest wrapped key that is looked at, in bytes: room for a thousand recipients.
const MAX_MESSAGE: usize = 512 * 1024;
/// The longest thing that can be in it, in bytes.
const MAX_SECRET: usize = 16 * 1024;
/// How often private keys are tried on one layer.
const MAX_ATTEMPTS: usize = 4096;

/// How often a private key may still be tried.
struct Attempts(usize);

impl Attempts {
    fn take(&mut self) -> Result<(), String> {
        self.take_some(1)
    }

    fn take_some(&mut self, some: usize) -> Result<(), String> {
        self.0 = self.0.checked_sub(some).ok_or("too many wrapped keys")?;
        Ok(())
    }
}

/// Those for whom layers are encrypted.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    jwe: Vec<key::Public>,
    pkcs7: Vec<key::Certificate>,
    pgp: Vec<openpgp::Recipient>,
    providers: Vec<(Provider, Vec<String>)>,
}

impl Recipients {
    /// Who has the private key to the public key in this file (SPKI as DER or PEM, or a JWK).
    ///
    /// # Errors
    /// If it is no public key, or one of a kind that cannot be used.
    pub fn add_jwe(&mut self, file: &[u8]) -> Result<(), KeyError> {
        self.jwe.push(forms::public(file)?);
        Ok(())
    }

    /// Who has the private key to the certificate in this file (DER or PEM).
    ///
    /// # Errors
    /// If it is no certificate, or not one of an RSA key.
    pub fn add_pkcs7(&mut self, file: &[u8]) -> Result<(), KeyError> {
        let certificate = forms::certificate(file)?;
        if certificate.key.is_none() {
            return Err(KeyError::Unsupported(
                "a certificate without an RSA key of 2048 to 8192 bits".to_owned(),
            ));
        }
        self.pkcs7.push(certificate);
        Ok(())
    }

    /// Who is named so in this keyring, by name, address or fingerprint.
    ///
    /// # Errors
    /// If it is no keyring, or has no key to encrypt to for one of them.
    pub fn add_pgp(&mut self, keyring: &[u8], names: &[String]) -> Result<(), KeyError> {
        self.pgp.extend(openpgp::recipients(keyring, names)?);
        Ok(())
    }

    /// Who can make this provider unwrap the key, and what to say to it.
    pub fn add_provider(&mut self, provider: Provider, parameter: &str) {
        add_provider(&mut self.providers, provider, Some(parameter));
    }

    /// Returns the annotations of a layer that was encrypted with this key; `digest` is the layer's
    /// at the source. Runs on a blocking thread.
    ///
    /// # Errors
    /// If a provider fails.
    pub async fn annotate(
        self: &Arc<Self>,
        key: LayerKey,
        digest: &Digest,
    ) -> Result<BTreeMap<String, String>, CryptError> {
        let (recipients, digest) = (self.clone(), digest.clone());
        blocking(move || recipients.annotations(&key, &digest)).await
    }

    fn annotations(
        &self,
        key: &LayerKey,
        digest: &Digest,
    ) -> Result<BTreeMap<String, String>, CryptError> {
        let secret = key.private(digest);
        let mut annotations = BTreeMap::new();
        let mut add = |name: String, wrapped: Vec<u8>| {
            annotations.insert(name, BASE64.encode(wrapped));
        };
        if !self.jwe.is_empty() {
            let recipients: Vec<_> = self.jwe.iter().collect();
            add(JWE.to_owned(), jwe::wrap(&secret, &recipients)?);
        }
        if !self.pkcs7.is_empty() {
            let recipients: Vec<_> = self.pkcs7.iter().collect();
            add(PKCS7.to_owned(), pkcs7::wrap(&secret, &recipients)?);
        }
        if !self.pgp.is_empty() {
            add(PGP.to_owned(), openpgp::wrap(&secret, &self.pgp)?);
        }
        for (provider, said) in &self.providers {
            add(format!("{PROVIDER}{}", provider.name), provider.wrap(&secret, said)?);
        }
        if annotations.is_empty() {
            return Err(CryptError::Wrap("no wrapped keys produced by encryption".to_owned()));
        }
        annotations.insert(PUBLIC_OPTIONS.to_owned(), BASE64.encode(key.public()));
        Ok(annotations)
    }
}

/// What can open the keys of layers.
#[derive(Default)]
pub struct Keys {
    private: Vec<key::Private>,
    certificates: Vec<key::Certificate>,
    rings: Vec<openpgp::Ring>,
    providers: Vec<(Provider, Vec<String>)>,
}

impl Keys {
    /// Whatever is in a file: a private key, a certificate (to know what was encrypted for it) or
    /// a secret keyring. Gives back whether it was any of these.
    ///
    /// # Errors
    /// If it is a key that cannot be used, or not without another pass phrase.
    pub fn add(&mut self, file: &[u8], password: Option<&Secret>) -> Result<bool, KeyError> {
        if let Ok(certificate) = forms::certificate(file) {
            self.certificates.push(certificate);
            // The same file may have the key, too.
            if let Ok(Some(key)) = forms::private(file, password) {
                self.private.push(key);
            }
            return Ok(true);
        }
        if let Some(key) = forms::private(file, password)? {
            self.private.push(key);
            return Ok(true);
        }
        let ring = openpgp::ring(file, password)?;
        let is_ring = ring.is_some();
        self.rings.extend(ring);
        Ok(is_ring)
    }

    /// A provider, and what to say to it if anything.
    pub fn add_provider(&mut self, provider: Provider, parameter: Option<&str>) {
        add_provider(&mut self.providers, provider, parameter);
    }

    /// Returns the key of a layer with these annotations. Runs on a blocking thread.
    ///
    /// # Errors
    /// If none of these keys opens it.
    pub async fn open(
        self: &Arc<Self>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<LayerKey, CryptError> {
        let keys = self.clone();
        let annotations: BTreeMap<String, String> = annotations
            .iter()
            .filter(|(name, _)| name.starts_with(ANNOTATIONS))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        blocking(move || keys.layer_key(&annotations)).await
    }

    fn layer_key(&self, annotations: &BTreeMap<String, String>) -> Result<LayerKey, CryptError> {
        let secret = self.secret(annotations)?;
        let public = annotations.get(PUBLIC_OPTIONS).map_or("", String::as_str);
        let public = match decode(public) {
            Ok(public) if public.is_empty() => b"{}".to_vec(),
            Ok(public) => public,
            Err(reason) => return Err(CryptError::Options(reason)),
        };
        LayerKey::parse(&secret, &public)
    }

    fn secret(
        &self,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, CryptError> {
        let mut attempts = Attempts(MAX_ATTEMPTS);
        let mut reasons = Vec::new();
        let mut is_possible = false;
        let mut open = |name: &str, unwrap: Unwrap<'_>| {
            let wrapped = annotations.get(name).filter(|wrapped| !wrapped.is_empty())?;
            is_possible = true;
            for wrapped in wrapped.split(',') {
                let opened = attempts.take().and_then(|()| decode(wrapped));
                match opened.and_then(|wrapped| unwrap(&wrapped, &mut attempts)) {
                    Ok(secret) => return Some(secret),
                    // Hundreds of them would say no more.
                    Err(reason) if reasons.len() < 8 => reasons.push(reason),
                    Err(_) => {}
                }
                if attempts.0 == 0 {
                    break;
                }
            }
            None
        };
        let mut secret = None;
        if !self.private.is_empty() {
            secret =
                open(JWE, &|it, attempts| jwe::unwrap(it, &self.private, attempts)).or_else(|| {
                    let (keys, certificates) = (&self.private, &self.certificates);
                    open(PKCS7, &|it, attempts| pkcs7::unwrap(it, keys, certificates, attempts))
                });
        }
        if secret.is_none() && !self.rings.is_empty() {
            secret = open(PGP, &|it, attempts| openpgp::unwrap(it, &self.rings, attempts));
        }
        for (provider, said) in &self.providers {
            if secret.is_none() {
                let name = format!("{PROVIDER}{}", provider.name);
                secret = open(&name, &|it, _| provider.unwrap(it, said));
            }
        }
        if let Some(secret) = secret {
            return Ok(secret);
        }
        if annotations.contains_key(PKCS11) {
            reasons.push("PKCS#11 is not supported by this version of skopeo".to_owned());
        }
        if is_possible || !reasons.is_empty() {
            return Err(CryptError::NoneFits(reasons.join("; ")));
        }
        Err(CryptError::NoKey)
    }
}

type Unwrap<'a> = &'a dyn Fn(&[u8], &mut Attempts) -> Result<Zeroizing<Vec<u8>>, String>;

fn add_provider(
    providers: &mut Vec<(Provider, Vec<String>)>,
    provider: Provider,
    parameter: Option<&str>,
) {
    let parameter = parameter.map(str::to_owned);
    match providers.iter_mut().find(|(known, _)| known.name == provider.name) {
        Some((_, parameters)) => parameters.extend(parameter),
        None => providers.push((provider, parameter.into_iter().collect())),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    if (text.len() / 4).saturating_mul(3) > MAX_MESSAGE {
        return Err(format!("a wrapped key of more than {MAX_MESSAGE} bytes"));
    }
    BASE64.decode(text).map_err(|_| "could not base64 decode the annotation".to_owned())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CryptError> + Send + 'static,
) -> Result<T, CryptError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| CryptError::Library)?
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("private", &self.private.len())
            .field("certificates", &self.certificates.len())
            .field("rings", &self.rings.len())
            .field("providers", &self.providers)
            .finish()
    }
}
