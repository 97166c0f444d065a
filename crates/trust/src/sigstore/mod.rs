//! The requirement `sigstoreSigned`: signatures of sigstore, as cosign attaches them.

mod bundle;
mod bundled;
mod certificate;
mod checkpoint;
mod hash;
mod inclusion;
mod merkle;
mod pem;
mod public_key;
mod record;
mod rekor;
pub(crate) mod stamp;
pub(crate) mod statement;
pub(crate) mod tiled;
mod trusted_root;
mod validity;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use skopeo_image::{PolicyScope, RawManifest};

use crate::openpgp::MAX_SIGNATURE;
use crate::requirement::{Fulcio, Key, Keys, Pki, SigstoreSigned};
use crate::signed_by::judge_payload;
use crate::{Machine, Payload, SignatureError};

pub use bundled::BundleClaims;
pub(crate) use bundled::{AskedBundle, judge_bundle};

use certificate::{Authority, Shown};
use public_key::PublicKey;
use rekor::{Entry, Log};
use trusted_root::TrustedRoot;

/// The media type of what cosign signs.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PROMISE: &str = "dev.sigstore.cosign/bundle";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";

/// Whom a requirement trusts, its files read.
#[derive(Debug)]
pub(crate) struct TrustRoot {
    signers: Signers,
    logs: Vec<Log>,
    /// Who may say when a bundle was signed; none if nobody is asked.
    stamps: Option<Vec<Authority>>,
}

#[derive(Debug)]
enum Signers {
    Keys(Vec<PublicKey>),
    Fulcio(Vec<Authority>, Fulcio),
    Pki(Vec<Authority>, Pki),
}

/// A signature as it lies beside an image. Nothing of it is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) annotations: &'a BTreeMap<String, String>,
}

/// Returns an error if a sigstore signature does not meet a requirement. The order is the
/// original's.
pub(crate) fn judge(
    requirement: &SigstoreSigned,
    root: &TrustRoot,
    now: SystemTime,
    scope: &PolicyScope,
    manifest: &RawManifest,
    attached: Attached<'_>,
) -> Result<(), SignatureError> {
    if attached.payload.len() > MAX_SIGNATURE {
        return Err(invalid(format!("the payload has more than {MAX_SIGNATURE} bytes")));
    }
    let signature = attached.annotation(SIGNATURE)?;
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let keys = root.keys(attached, signature, i64::try_from(now).unwrap_or(i64::MAX))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(signature.replace(['\r', '\n'], ""))
        .map_err(|error| invalid(format!("base64 decoding: illegal base64 data: {error}")))?;
    let mut failures = Vec::new();
    for key in &keys {
        match key.verify(attached.payload, &bytes) {
            Ok(()) => {
                let payload = Payload::parse_cosign(attached.payload)?;
                return judge_payload(&payload, &requirement.identity, scope, manifest);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let failures = failures.join(", ");
    Err(invalid(format!("cryptographic signature verification failed: {failures}")))
}

impl<'a> Attached<'a> {
    fn annotation(&self, key: &'static str) -> Result<&'a str, SignatureError> {
        self.annotations
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| invalid(format!("missing {key} annotation")))
    }
}

impl Attached<'_> {
    /// What a log has to know.
    fn entry<'a>(&'a self, signature: &'a str, signer: &'a str) -> Entry<'a> {
        Entry { signer, signature, payload: self.payload }
    }
}

impl TrustRoot {
    pub(crate) fn read(
        requirement: &SigstoreSigned,
        machine: &dyn Machine,
    ) -> Result<Self, SignatureError> {
        let file = |key: &Key| match key {
            Key::Path(path) => machine.key_file(path).map_err(SignatureError::KeyFile),
            Key::Data(data) => Ok(data.clone()),
        };
        let files = |keys: &[Key]| keys.iter().map(file).collect::<Result<Vec<_>, _>>();
        let signers = match &requirement.keys {
            Keys::Keys(keys) => {
                let keys = files(keys)?;
                Signers::Keys(numbered(&keys, |number, file| {
                    PublicKey::from_pem(file)
                        .map_err(|error| format!("parsing public key {number}: {error}"))
                })?)
            }
            Keys::Fulcio(fulcio) => {
                let authorities = match TrustedRoot::read(&file(&fulcio.ca)?) {
                    Some(root) => root.map_err(SignatureError::Keys)?.fulcio,
                    None => Authority::read(&file(&fulcio.ca)?).into_iter().collect(),
                };
                if authorities.is_empty() {
                    return Err(unusable("error loading Fulcio CA certificates"));
                }
                Signers::Fulcio(authorities, fulcio.clone())
            }
            Keys::Pki(pki) => {
                let mut authority = Authority::read(&file(&pki.roots)?)
                    .ok_or_else(|| unusable("error loading PKI CA Roots certificates"))?;
                if let Some(intermediates) = &pki.intermediates {
                    authority
                        .add_intermediates(&file(intermediates)?)
                        .map_err(SignatureError::Keys)?;
                }
                Signers::Pki(vec![authority], pki.clone())
            }
        };
        let logs = numbered(&files(&requirement.rekor)?, |number, file| {
            if let Some(root) = TrustedRoot::read(file) {
                let logs = root?.logs;
                let none = format!("Rekor public key {number} is a trusted root without logs");
                return if logs.is_empty() { Err(none) } else { Ok(logs) };
            }
            let key = PublicKey::from_pem(file)
                .map_err(|error| format!("parsing Rekor public key {number}: {error}"))?;
            match key.is_ecdsa() {
                true => Ok(vec![Log::of(key)]),
                false => Err(format!("Rekor public key {number} is not using ECDSA")),
            }
        })?;
        let logs = logs.into_iter().flatten().collect();
        let stamps = requirement.bundles.as_ref().and_then(|it| it.stamps.as_ref());
        let stamps = stamps.map(|key| stamping(&file(key)?)).transpose()?;
        Ok(Self { signers, logs, stamps })
    }

    /// The keys that may have made this signature, by all that lies beside it.
    fn keys(
        &self,
        attached: Attached<'_>,
        signature: &str,
        now: i64,
    ) -> Result<Vec<PublicKey>, SignatureError> {
        let shown = || {
            let certificate = attached.annotation(CERTIFICATE)?;
            let chain = attached.annotations.get(CHAIN).map(String::as_str);
            Ok::<_, SignatureError>(Shown { certificate, chain: chain.filter(|it| !it.is_empty()) })
        };
        match &self.signers {
            Signers::Keys(keys) if self.logs.is_empty() => Ok(keys.clone()),
            Signers::Keys(keys) => {
                let promise = attached.annotation(PROMISE)?;
                let mut failures = Vec::new();
                for key in keys {
                    let text = pem::public_key(key.der());
                    match rekor::verify(&self.logs, promise, attached.entry(signature, &text)) {
                        // The log knows one key for one signature.
                        Ok(_) => return Ok(vec![key.clone()]),
                        Err(failure) => failures.push(failure),
                    }
                }
                let failures = failures.join(", ");
                Err(invalid(format!("No public key verified against the RekorSET: {failures}")))
            }
            Signers::Fulcio(authorities, fulcio) => {
                let promise = attached.annotation(PROMISE)?;
                let shown = shown()?;
                // A certificate of Fulcio is good for minutes: the log says when it was used.
                let then = rekor::verify(
                    &self.logs,
                    promise,
                    attached.entry(signature, shown.certificate),
                )
                .map_err(invalid)?;
                let key = certificate::verify(authorities, shown, then, true, |certificate| {
                    certificate::require_identity(certificate, fulcio)
                });
                key.map(|key| vec![key]).map_err(invalid)
            }
            Signers::Pki(authorities, pki) => {
                let key = certificate::verify(authorities, shown()?, now, false, |certificate| {
                    require_pki(certificate, pki)
                });
                key.map(|key| vec![key]).map_err(invalid)
            }
        }
    }
}

/// Refuses a certificate that another authority gave to somebody else.
fn require_pki(certificate: &skopeo_x509::Certificate<'_>, pki: &Pki) -> Result<(), String> {
    if let Some(email) = &pki.subject_email {
        certificate::require_email(certificate, email)?;
    }
    if let Some(host) = &pki.subject_hostname {
        certificate::require_hostname(certificate, host)?;
    }
    Ok(())
}

/// Those who may say when something was signed.
fn stamping(file: &[u8]) -> Result<Vec<Authority>, SignatureError> {
    let found = match TrustedRoot::read(file) {
        Some(root) => root.map_err(SignatureError::Keys)?.stamps,
        None => Authority::read(file).into_iter().collect(),
    };
    if found.is_empty() {
        return Err(unusable("error loading time stamping CA certificates"));
    }
    Ok(found)
}

/// What is made of each file; they are counted from one.
fn numbered<T>(
    files: &[Vec<u8>],
    make: impl Fn(usize, &[u8]) -> Result<T, String>,
) -> Result<Vec<T>, SignatureError> {
    (1..)
        .zip(files)
        .map(|(number, file)| make(number, file))
        .collect::<Result<_, _>>()
        .map_err(SignatureError::Keys)
}

fn unusable(reason: &str) -> SignatureError {
    SignatureError::Keys(reason.to_owned())
}

fn invalid(reason: String) -> SignatureError {
    SignatureError::Sigstore(reason)
}
