//! Chains from a certificate to one that is trusted, by the rules of Go's x509.
//!
//! webpki, which rustls comes with, is stricter where users meet it (a server that is an authority,
//! a server's own certificate among the roots, usages for anything) and laxer elsewhere (a root
//! that has expired, or that is no authority). Signatures are checked by rustls' provider.

use std::collections::HashMap;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};

use super::certificate::Certificate;
use super::refused::Refused;
use super::{constraints, der, hostname};

/// How many signatures are checked for one certificate, as in Go.
const MAX_CHECKS: usize = 100;

/// The longest that a chain may be: no limit of Go's, whose chains end with its checks.
const MAX_LENGTH: usize = 32;

/// Certificates that are believed, by the names of their owners.
#[derive(Debug, Default)]
pub struct Roots {
    all: Vec<CertificateDer<'static>>,
    by_subject: HashMap<Vec<u8>, Vec<usize>>,
}

impl Roots {
    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns what cannot be read is passed over.
    #[must_use]
    pub fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut roots = Self::default();
        for certificate in certificates {
            let Ok(parsed) = Certificate::parse(&certificate) else {
                tracing::debug!("Ignoring a trusted certificate that cannot be read");
                continue;
            };
            let subject = parsed.subject.to_vec();
            roots.by_subject.entry(subject).or_default().push(roots.all.len());
            roots.all.push(certificate);
        }
        roots
    }

    fn of_subject(&self, subject: &[u8]) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.by_subject.get(subject).into_iter().flatten().filter_map(|at| self.all.get(*at))
    }

    fn has(&self, certificate: &Certificate<'_>) -> bool {
        self.of_subject(certificate.subject).any(|root| root.as_ref() == certificate.der)
    }
}

/// By what signatures of certificates are checked.
pub type Algorithms<'a> = &'a [&'a dyn SignatureVerificationAlgorithm];

/// Returns all that are known.
#[must_use]
pub fn algorithms() -> Algorithms<'static> {
    webpki::ALL_VERIFICATION_ALGS
}

/// Returns whether the key in `spki` made that signature. `algorithm` is the body of an
/// `AlgorithmIdentifier`; what nobody knows has signed nothing.
#[must_use]
pub fn has_signed(spki: &[u8], algorithm: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    let Some((key_algorithm, key)) = der::public_key(spki) else { return false };
    let usable = algorithms().iter().find(|known| {
        known.signature_alg_id().as_ref() == algorithm
            && known.public_key_alg_id().as_ref() == key_algorithm
    });
    usable.is_some_and(|known| known.verify_signature(key, signed, signature).is_ok())
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// To be the server of this name.
    Server(&'a str),
    /// To have signed something.
    CodeSigning,
    /// To have said when something was there.
    TimeStamping,
}

/// Returns an error unless a certificate is good now and for its purpose, and a root vouches for it
/// or is it. `now` is in seconds since 1970.
///
/// # Errors
///
/// Why it is not believed.
pub fn verify(
    certificate: &Certificate<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &Roots,
    purpose: Purpose<'_>,
    now: i64,
    algorithms: Algorithms<'_>,
) -> Result<(), Refused> {
    // What nobody can read vouches for nothing.
    let intermediates: Vec<_> = intermediates
        .iter()
        .filter_map(|certificate| Certificate::parse(certificate).ok())
        .collect();
    fits(certificate, &[], Role::Leaf, now)?;
    if let Purpose::Server(host) = purpose {
        hostname::check(certificate, host)?;
    }
    let mut search = Search {
        roots,
        intermediates: &intermediates,
        purpose,
        now,
        algorithms,
        checks: 0,
        misused: None,
        because: None,
    };
    let found = match roots.has(certificate) {
        true => search.is_for_the_purpose(&[certificate]),
        false => search.from(&[certificate]),
    };
    match (found, search.misused) {
        (true, _) => Ok(()),
        (false, Some(called)) => Err(Refused::Usage { called }),
        (false, None) => Err(Refused::UnknownAuthority { because: search.because.map(Box::new) }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Leaf,
    Intermediate,
    Root,
}

struct Search<'a> {
    roots: &'a Roots,
    intermediates: &'a [Certificate<'a>],
    purpose: Purpose<'a>,
    now: i64,
    algorithms: Algorithms<'a>,
    checks: usize,
    /// What the certificates of a chain are for that would have done otherwise.
    misused: Option<Vec<String>>,
    /// Why the first authority that might have done does not.
    because: Option<(Refused, String)>,
}

impl Search<'_> {
    /// Whether a root vouches for the last of `chain`, whose first is the one that is judged.
    fn from(&mut self, chain: &[&Certificate<'_>]) -> bool {
        let Some(last) = chain.last().filter(|_| chain.len() <= MAX_LENGTH) else { return false };
        let (roots, intermediates) = (self.roots, self.intermediates);
        for root in roots.of_subject(last.issuer) {
            let Ok(root) = Certificate::parse(root) else { continue };
            if self.vouches(&root, chain, Role::Root) {
                let mut whole = chain.to_vec();
                whole.push(&root);
                if self.is_for_the_purpose(&whole) {
                    return true;
                }
            }
        }
        for next in intermediates.iter().filter(|next| next.subject == last.issuer) {
            if self.vouches(next, chain, Role::Intermediate) {
                let mut longer = chain.to_vec();
                longer.push(next);
                if self.from(&longer) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether `parent` has signed the last of `chain`, and may have.
    fn vouches(
        &mut self,
        parent: &Certificate<'_>,
        chain: &[&Certificate<'_>],
        role: Role,
    ) -> bool {
        let same = |other: &&Certificate<'_>| {
            other.subject == parent.subject
                && other.key == parent.key
                && other.names == parent.names
        };
        let Some(child) = chain.last() else { return false };
        if chain.iter().any(same) || self.checks >= MAX_CHECKS {
            return false;
        }
        self.checks = self.checks.saturating_add(1);
        let verdict = self.signed(child, parent).and_then(|()| fits(parent, chain, role, self.now));
        if let Err(why) = verdict {
            self.because.get_or_insert_with(|| (why, parent.called.clone()));
            return false;
        }
        true
    }

    fn signed(&self, child: &Certificate<'_>, parent: &Certificate<'_>) -> Result<(), Refused> {
        if !parent.may_be_an_authority() || !parent.signs {
            return Err(Refused::CannotSign);
        }
        let broken = || Refused::Signature("x509: malformed signature or public key");
        let (signed, algorithm, signature) = der::signature(child.der).ok_or_else(broken)?;
        let (key_algorithm, key) = der::public_key(parent.key).ok_or_else(broken)?;
        let all = self.algorithms.iter();
        let usable = all
            .filter(|known| known.signature_alg_id().as_ref() == algorithm)
            .find(|known| known.public_key_alg_id().as_ref() == key_algorithm)
            .ok_or_else(|| {
                let insecure = INSECURE.contains(&algorithm);
                let why = if insecure {
                    "insecure algorithm SHA1-RSA"
                } else {
                    "algorithm unimplemented"
                };
                Refused::Algorithm(why)
            })?;
        let failed = || {
            Refused::Signature(match key_algorithm {
                key if key.starts_with(RSA) => "crypto/rsa: verification error",
                key if key.starts_with(ED25519) => "x509: Ed25519 verification failure",
                _ => "x509: ECDSA verification failure",
            })
        };
        usable.verify_signature(key, signed, signature).map_err(|_| failed())
    }

    /// Whether every certificate of a chain may be used for what is wanted.
    fn is_for_the_purpose(&mut self, chain: &[&Certificate<'_>]) -> bool {
        let purpose = self.purpose;
        let mut usages = chain.iter().filter_map(|it| it.usages.as_ref());
        let other = usages.find(|usages| match purpose {
            Purpose::Server(_) => !usages.server,
            Purpose::CodeSigning => !usages.code_signing,
            Purpose::TimeStamping => !usages.time_stamping,
        });
        match other {
            Some(usages) => {
                self.misused.get_or_insert_with(|| usages.called.clone());
                false
            }
            None => true,
        }
    }
}

/// `rsaEncryption`.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// `id-Ed25519`.
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

/// `sha1WithRSAEncryption`, with its NULL and without.
const INSECURE: &[&[u8]] = &[
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0],
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
];

/// Whether a certificate may stand at the end of `below`, but for who has signed it.
fn fits(
    certificate: &Certificate<'_>,
    below: &[&Certificate<'_>],
    role: Role,
    now: i64,
) -> Result<(), Refused> {
    if !certificate.unhandled.is_empty() {
        return Err(Refused::Critical { extensions: certificate.unhandled.clone() });
    }
    if now < certificate.not_before {
        return Err(Refused::Early { now: moment(now), from: moment(certificate.not_before) });
    }
    if now > certificate.not_after {
        return Err(Refused::Expired { now: moment(now), until: moment(certificate.not_after) });
    }
    if let Some(rules) = certificate.constraints.as_ref().filter(|_| role != Role::Leaf) {
        for other in below {
            constraints::check(rules, &other.names).map_err(Refused::Constraint)?;
        }
    }
    if role == Role::Intermediate && certificate.authority != Some(true) {
        return Err(Refused::NoAuthority);
    }
    let between = below.len().saturating_sub(1);
    let is_short = |most: u32| u32::try_from(between).is_ok_and(|between| between <= most);
    if !certificate.path_length.is_none_or(is_short) {
        return Err(Refused::TooLong);
    }
    Ok(())
}

/// `2026-01-02T03:04:05Z`.
fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}
