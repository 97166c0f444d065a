//! Whether a bundle meets a requirement of `sigstoreSigned` whose `bundleIdentity` lets bundles in.
//!
//! All that the policy names has to be there and right: with keys of logs, one that has the very
//! signature; with an authority for times, a time. What is there beyond that is not looked at.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use skopeo_image::{Digest, PolicyScope, RawManifest};
use skopeo_x509::Certificate;

use super::bundle::{Bundle, Content, MessageSignature, Shown};
use super::record::Signed;
use super::statement::{self, Statement};
use super::{Signers, TrustRoot, certificate, hash, inclusion, invalid, pem, require_pki, stamp};
use crate::SignatureError;
use crate::openpgp::MAX_SIGNATURE;
use crate::requirement::{BundleIdentity, Bundles, SigstoreSigned};

const UNTIMED: &str = "no trusted authority or log proves the time of signing";

/// More certificates are in no chain.
const MAX_CHAIN: usize = 32;

/// What a bundle is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedBundle<'a> {
    /// Whom the policy trusts.
    pub(crate) requirement: &'a SigstoreSigned,
    /// Which bundles it lets in.
    pub(crate) bundles: &'a Bundles,
    /// The name of the image.
    pub(crate) scope: &'a PolicyScope,
    /// Its manifest.
    pub(crate) manifest: &'a RawManifest,
}

/// Returns an error if a bundle does not meet a requirement.
pub(crate) fn judge_bundle(
    asked: &AskedBundle<'_>,
    root: &TrustRoot,
    now: SystemTime,
    bytes: &[u8],
) -> Result<(), SignatureError> {
    let AskedBundle { bundles, manifest, .. } = *asked;
    if bytes.len() > MAX_SIGNATURE {
        return Err(invalid(format!("the bundle has more than {MAX_SIGNATURE} bytes")));
    }
    let bad = |reason| invalid(format!("bundle: {reason}"));
    let bundle = Bundle::parse(bytes).map_err(bad)?;
    let (message, signature) = match &bundle.content {
        Content::Envelope(envelope) => {
            let signature = statement::signature(envelope).map_err(bad)?;
            let (kind, payload) = (&envelope.payload_type, &envelope.payload.0);
            (statement::signed_bytes(kind, payload), signature)
        }
        Content::Message(message) => {
            require_digest(message, manifest)?;
            (manifest.bytes.to_vec(), message.signature.0.as_slice())
        }
    };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    root.judge(&bundle, &message, signature, now).map_err(bad)?;
    match &bundle.content {
        // It is of these bytes, and says nothing else.
        Content::Message(_) if bundles.identity == BundleIdentity::DigestOnly => Ok(()),
        Content::Message(_) => Err(bad("it does not name an image".to_owned())),
        Content::Envelope(envelope) => {
            let statement = Statement::parse(&envelope.payload.0).map_err(bad)?;
            judge_statement(&statement, asked)
        }
    }
}

/// What a bundle says, to be shown: nothing of it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleClaims {
    /// What it is about: of several, what is the manifest that was asked about.
    pub digest: Option<Digest>,
    /// What that is called.
    pub name: Option<String>,
    /// What kind of statement it is; none of bundles that sign a manifest's bytes.
    pub predicate_type: Option<String>,
    /// The certificate of who signed it, in PEM.
    pub certificate: Option<String>,
    /// When a log took it in, in seconds since 1970.
    pub integrated_time: Option<i64>,
}

impl BundleClaims {
    /// Reads a bundle, as far as it speaks of that manifest.
    ///
    /// # Errors
    /// It is none, in words for the user.
    pub fn read(bytes: &[u8], manifest: &RawManifest) -> Result<Self, String> {
        if bytes.len() > MAX_SIGNATURE {
            return Err(format!("the bundle has more than {MAX_SIGNATURE} bytes"));
        }
        let bundle = Bundle::parse(bytes)?;
        let mut claims = Self::default();
        match &bundle.content {
            Content::Message(message) => {
                let of_it = message.message_digest.as_ref().is_none_or(|it| {
                    hash::by_name(&it.algorithm, &manifest.bytes).as_ref() == Some(&it.digest.0)
                });
                claims.digest = manifest.digest().ok().filter(|_| of_it);
            }
            Content::Envelope(envelope) => {
                statement::signature(envelope)?;
                let statement = Statement::parse(&envelope.payload.0)?;
                let own = statement.about(manifest);
                let subject = own.first().copied().or_else(|| statement.subjects.first());
                claims.digest = subject.and_then(|it| it.digests.first()).cloned();
                claims.name = subject.and_then(|it| it.name.clone());
                claims.predicate_type = Some(statement.predicate_type.clone());
            }
        }
        if let Shown::Certificates(chain) = &bundle.signer {
            claims.certificate = chain.first().map(|der| pem::block_of("CERTIFICATE", der));
        }
        let times = bundle.entries.iter().map(|it| it.integrated_time.0);
        let time = times.filter(|it| *it > 0).min();
        claims.integrated_time = time.and_then(|it| i64::try_from(it).ok());
        Ok(claims)
    }
}

/// Whether what was signed is a signature of this manifest, and where it has to be, of this name.
fn judge_statement(statement: &Statement, asked: &AskedBundle<'_>) -> Result<(), SignatureError> {
    let AskedBundle { requirement, bundles, scope, manifest } = *asked;
    if statement.predicate_type != statement::PREDICATE {
        let found = &statement.predicate_type;
        return Err(invalid(format!("bundle: its type is {found:?}, which is not a signature")));
    }
    let own = statement.about(manifest);
    if own.is_empty() {
        let other = statement.subjects.iter().find_map(|it| it.digests.first());
        return Err(match other {
            Some(digest) => SignatureError::Digest(digest.clone()),
            None => invalid("bundle: it has no digest".to_owned()),
        });
    }
    if bundles.identity == BundleIdentity::DigestOnly {
        return Ok(());
    }
    let names: Vec<&String> = own.iter().filter_map(|it| it.name.as_ref()).collect();
    let reference = scope.reference.as_deref();
    if names.iter().any(|name| requirement.identity.accepts(reference, name)) {
        return Ok(());
    }
    Err(match names.first() {
        Some(name) => SignatureError::Identity((*name).clone()),
        None => invalid("bundle: it does not name an image".to_owned()),
    })
}

/// Refuses a signature that says itself that it is of something else.
fn require_digest(
    message: &MessageSignature,
    manifest: &RawManifest,
) -> Result<(), SignatureError> {
    let Some(digest) = &message.message_digest else { return Ok(()) };
    match hash::by_name(&digest.algorithm, &manifest.bytes) {
        Some(hash) if hash == digest.digest.0 => Ok(()),
        Some(_) => Err(invalid("bundle: it is for another digest".to_owned())),
        None => Err(invalid(format!("bundle: its digest uses {:?}", digest.algorithm))),
    }
}

impl TrustRoot {
    /// Refuses a signature that nobody made who is trusted.
    fn judge(
        &self,
        bundle: &Bundle,
        message: &[u8],
        signature: &[u8],
        now: i64,
    ) -> Result<(), String> {
        let payload = match &bundle.content {
            Content::Envelope(envelope) => Some(envelope.payload.0.as_slice()),
            Content::Message(_) => None,
        };
        let signed = |signer| Signed { message, payload, signature, signer };
        match (&self.signers, &bundle.signer) {
            (Signers::Keys(keys), Shown::Key) => {
                let by = keys.iter().find(|key| key.has_bundled(message, signature));
                let by = by.ok_or("cryptographic signature verification failed")?;
                self.times(bundle, signed(by.der()), now).map(drop)
            }
            (Signers::Keys(_), Shown::Certificates(_)) => {
                Err("it is signed with a certificate, not with a key".to_owned())
            }
            (Signers::Fulcio(..) | Signers::Pki(..), Shown::Key) => {
                Err("it is signed with a key, not with a certificate".to_owned())
            }
            (signers, Shown::Certificates(chain)) => {
                let Some((leaf, above)) = chain.split_first().filter(|_| chain.len() <= MAX_CHAIN)
                else {
                    return Err("its chain of certificates is incomplete".to_owned());
                };
                let key = Certificate::parse(leaf)
                    .and_then(|it| super::PublicKey::from_der(it.key))
                    .map_err(|error| format!("parsing leaf certificate: {error}"))?;
                if !key.has_bundled(message, signature) {
                    return Err("cryptographic signature verification failed".to_owned());
                }
                let mut times = self.times(bundle, signed(leaf), now)?;
                let above: Vec<_> =
                    above.iter().map(|it| CertificateDer::from(it.as_slice())).collect();
                let verify = |then| match signers {
                    Signers::Pki(authorities, pki) => certificate::verify_der(
                        authorities,
                        leaf,
                        &above,
                        then,
                        false,
                        |certificate| require_pki(certificate, pki),
                    ),
                    Signers::Fulcio(authorities, fulcio) => certificate::verify_der(
                        authorities,
                        leaf,
                        &above,
                        then,
                        true,
                        |certificate| certificate::require_identity(certificate, fulcio),
                    ),
                    Signers::Keys(_) => {
                        Err("it is signed with a certificate, not with a key".to_owned())
                    }
                };
                match signers {
                    // Only those who ask for a time let a certificate's own be over.
                    Signers::Pki(..) if self.stamps.is_none() => times = vec![now],
                    _ if times.is_empty() => {
                        return Err(UNTIMED.to_owned());
                    }
                    _ => {}
                }
                times.into_iter().try_for_each(|then| verify(then).map(drop))
            }
        }
    }

    /// The times at which it was there, as logs and authorities say that are trusted; refused if
    /// one of those has to know it and does not.
    fn times(&self, bundle: &Bundle, signed: Signed<'_>, now: i64) -> Result<Vec<i64>, String> {
        let mut times = Vec::new();
        let mut logs = Vec::new();
        if !self.logs.is_empty() {
            for proven in inclusion::prove(&self.logs, &bundle.entries, signed)? {
                times.extend(proven.time);
                logs.push(proven.logs);
            }
        }
        if let Some(authorities) = &self.stamps {
            let mut because = None;
            for answer in &bundle.stamps {
                match stamp::verify(authorities, answer, signed.signature) {
                    Ok(time) => times.push(time),
                    Err(why) => because = Some(why),
                }
            }
            if times.is_empty() {
                return Err(because.unwrap_or_else(|| UNTIMED.to_owned()));
            }
        }
        let is_valid = |log: &super::Log| match times.as_slice() {
            [] => log.valid.contains(now),
            times => times.iter().all(|then| log.valid.contains(*then)),
        };
        if !logs.iter().all(|named| named.iter().any(|log| is_valid(log))) {
            let untimed =
                "the log is not trusted now, and nothing proves that it was signed before";
            let then = "the log was not trusted when it was signed";
            return Err(if times.is_empty() { untimed } else { then }.to_owned());
        }
        Ok(times)
    }
}
