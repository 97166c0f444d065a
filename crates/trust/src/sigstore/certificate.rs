//! Signers' certificates: of Fulcio, or of any authority that the policy names.

use rustls_pki_types::CertificateDer;
use skopeo_x509::{self as x509, Certificate, Purpose, Roots, der};

use super::pem;
use super::public_key::PublicKey;
use super::validity::Validity;
use crate::requirement::{Fulcio, Subject};

/// `subjectAltName`: it decides, whatever is in it.
const ALTERNATIVE_NAMES: &str = "2.5.29.17";
/// Fulcio's issuer, once as bare text, and since as a string of ASN.1.
const ISSUER_1: &str = "1.3.6.1.4.1.57264.1.1";
const ISSUER_2: &str = "1.3.6.1.4.1.57264.1.8";

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

/// An authority that a policy names.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) roots: Roots,
    /// The same, in their order.
    anchors: Vec<CertificateDer<'static>>,
    /// Between them and signers; believed no more than what comes with a signature.
    intermediates: Vec<CertificateDer<'static>>,
    /// When it was trusted.
    pub(super) valid: Validity,
}

/// What comes with a signature. Nothing of it is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// The signer's certificate, in PEM.
    pub(super) certificate: &'a str,
    /// Those above it, in PEM.
    pub(super) chain: Option<&'a str>,
}

impl Authority {
    /// Reads the roots that are in a PEM file; none if there are none.
    pub(super) fn read(roots: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(roots);
        let mut rest = &*text;
        let mut found = Vec::new();
        while let Some((block, more)) = pem::first(rest) {
            if block.label == "CERTIFICATE" {
                found.push(CertificateDer::from(block.bytes));
            }
            rest = more;
        }
        let roots = Roots::new(found.clone());
        let valid = Validity::default();
        (!roots.is_empty()).then_some(Self {
            roots,
            anchors: found,
            intermediates: Vec::new(),
            valid,
        })
    }

    /// One whose root is the last of a chain of certificates; none if that cannot be read.
    pub(super) fn of_chain(chain: Vec<Vec<u8>>, valid: Validity) -> Option<Self> {
        let mut intermediates: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        let anchors: Vec<_> = intermediates.pop().into_iter().collect();
        let roots = Roots::new(anchors.clone());
        (!roots.is_empty()).then_some(Self { roots, anchors, intermediates, valid })
    }

    /// Takes in what lies between the roots and signers.
    pub(super) fn add_intermediates(&mut self, file: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(file);
        let wrong = |error| format!("loading trusted intermediate certificates: {error}");
        self.intermediates.extend(chain(&text).map_err(wrong)?);
        Ok(())
    }

    /// All its certificates.
    pub(super) fn all(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.anchors.iter().chain(&self.intermediates)
    }
}

/// The key of a certificate that was good at a moment, in seconds since 1970, and for what its
/// owner is asked by `is_meant`.
pub(super) fn verify(
    authorities: &[Authority],
    shown: Shown<'_>,
    now: i64,
    names_may_be_strange: bool,
    is_meant: impl Fn(&Certificate<'_>) -> Result<(), String>,
) -> Result<PublicKey, String> {
    let mut between = Vec::new();
    if let Some(text) = shown.chain {
        between = chain(text).map_err(|error| format!("loading certificate chain: {error}"))?;
        // The last is the root, which the policy has.
        between.pop();
    }
    let leaf = leaf(shown.certificate)?;
    verify_der(authorities, &leaf, &between, now, names_may_be_strange, is_meant)
}

/// The same of certificates that are no PEM.
pub(super) fn verify_der(
    authorities: &[Authority],
    leaf: &[u8],
    between: &[CertificateDer<'_>],
    now: i64,
    names_may_be_strange: bool,
    is_meant: impl Fn(&Certificate<'_>) -> Result<(), String>,
) -> Result<PublicKey, String> {
    let mut certificate =
        Certificate::parse(leaf).map_err(|error| format!("parsing leaf certificate: {error}"))?;
    if names_may_be_strange {
        certificate.unhandled.retain(|number| number != ALTERNATIVE_NAMES);
    }
    let mut because = "no authority is trusted at this time".to_owned();
    for authority in authorities.iter().filter(|it| it.valid.contains(now)) {
        let all: Vec<_> = authority.intermediates.iter().chain(between).cloned().collect();
        let verified = x509::verify(
            &certificate,
            &all,
            &authority.roots,
            Purpose::CodeSigning,
            now,
            x509::algorithms(),
        );
        match verified {
            Ok(()) => {
                is_meant(&certificate)?;
                return PublicKey::from_der(certificate.key);
            }
            Err(error) => because = format!("x509: {error}"),
        }
    }
    Err(format!("veryfing leaf certificate failed: {because}"))
}

/// Refuses a certificate that Fulcio did not give to this subject on the word of this issuer.
pub(super) fn require_identity(
    certificate: &Certificate<'_>,
    wanted: &Fulcio,
) -> Result<(), String> {
    let found = issuer_of(certificate)?;
    if found != wanted.oidc_issuer {
        return Err(format!("Unexpected Fulcio OIDC issuer {found:?}"));
    }
    let uris = &certificate.names.uris;
    match &wanted.subject {
        Subject::Email(email) => require_email(certificate, email),
        Subject::Uri(uri) if uris.contains(&uri.as_str()) => Ok(()),
        Subject::UriPrefix(prefix) if uris.iter().any(|it| is_below(it, prefix)) => Ok(()),
        Subject::Uri(uri) => {
            Err(format!("Required URI {uri:?} not found (got [{}])", quoted(uris)))
        }
        Subject::UriPrefix(prefix) => Err(format!(
            "Required URI that begins with {prefix:?} not found (got [{}])",
            quoted(uris)
        )),
    }
}

/// Whether a URI begins so, and does not go up again behind that.
fn is_below(uri: &str, prefix: &str) -> bool {
    uri.strip_prefix(prefix)
        .is_some_and(|rest| rest.split('/').all(|part| part != ".." && part != "."))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(" ")
}

/// Refuses a certificate that is not this address's.
pub(super) fn require_email(certificate: &Certificate<'_>, email: &str) -> Result<(), String> {
    let found = &certificate.names.mail;
    if found.contains(&email) {
        return Ok(());
    }
    Err(format!("Required email {email:?} not found (got [{}])", quoted(found)))
}

/// Refuses a certificate that is not this host's.
pub(super) fn require_hostname(certificate: &Certificate<'_>, host: &str) -> Result<(), String> {
    x509::check_hostname(certificate, host)
        .map_err(|error| format!("Unexpected subject hostname: x509: {error}"))
}

/// Who told Fulcio who the signer is.
fn issuer_of(certificate: &Certificate<'_>) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let first = certificate.extension(ISSUER_1).map(|bytes| text(&bytes));
    let second = certificate.extension(ISSUER_2).map(|bytes| string_of(&bytes)).transpose()?;
    match (first, second) {
        (Some(first), Some(second)) if first != second => {
            Err(format!("inconsistent OIDC issuer extension values: v1 {first:?}, v2 {second:?}"))
        }
        (Some(issuer), _) | (None, Some(issuer)) => Ok(issuer),
        (None, None) => Err("Fulcio certificate is missing the issuer extension".to_owned()),
    }
}

fn string_of(bytes: &[u8]) -> Result<String, String> {
    let kinds = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING];
    let found = kinds.into_iter().find_map(|kind| der::expect(kind, bytes));
    let (text, behind) = found.ok_or(
        "invalid ASN.1 in OIDC issuer v2 extension: asn1: structure error: tags don't match",
    )?;
    if !behind.is_empty() {
        return Err("invalid ASN.1 in OIDC issuer v2 extension, trailing data".to_owned());
    }
    String::from_utf8(text.to_vec()).map_err(|_| {
        "invalid ASN.1 in OIDC issuer v2 extension: asn1: syntax error: invalid UTF-8 string"
            .to_owned()
    })
}

/// The one certificate that a text is.
fn leaf(text: &str) -> Result<Vec<u8>, String> {
    let mut found =
        pem::certificates(text).map_err(|error| format!("parsing leaf certificate: {error}"))?;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err("no certificate found in signature certificate data".to_owned()),
        (Some(leaf), true) => Ok(leaf),
        (Some(_), false) => {
            Err("unexpected multiple certificates present in signature certificate data".to_owned())
        }
    }
}

/// All certificates of a text, each of which can be read.
fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = pem::certificates(text)?;
    for bytes in &found {
        Certificate::parse(bytes)?;
    }
    Ok(found.into_iter().map(CertificateDer::from).collect())
}
