//! Why a policy is no policy, and why an image is not accepted.

use skopeo_image::{Classify, Digest, ErrorClass};

use crate::PayloadError;
use crate::openpgp::OpenPgpError;

/// Why policy.json cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid policy in {path:?}: {reason}")]
pub struct PolicyError {
    /// The file.
    pub path: String,
    /// What is wrong, in the original's words.
    pub reason: String,
}

/// Why an image is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The policy says so.
    #[error("Running image {0} is rejected by policy.")]
    ByPolicy(String),
    /// Signatures are required of every image, and the policy asks for none from this one.
    #[error("No signature verification policy found for image {0}")]
    NoVerification(String),
    /// There is none of the signatures that the policy asks for.
    #[error("A signature was required, but no signature exists")]
    Unsigned,
    /// There are signatures, and none of the kind that the policy asks for.
    #[error(
        "A signature was required, but no signature exists ({simple} non-sigstore signatures, \
         {attachments} sigstore non-signature attachments)"
    )]
    OtherSignatures {
        /// Signatures of another kind.
        simple: usize,
        /// What lies beside sigstore signatures and is none.
        attachments: usize,
    },
    /// The one signature is not good.
    #[error(transparent)]
    Signature(SignatureError),
    /// No signature is good.
    #[error("None of the signatures were accepted, reasons: {}", joined(.0))]
    Signatures(Vec<SignatureError>),
    /// Nobody signs that often: judging them all would keep the machine busy.
    #[error("it has {0} signatures, more than the limit of {most}", most = crate::MAX_SIGNATURES)]
    TooManySignatures(usize),
    /// The policy asks for what nobody implements.
    #[error("signedBaseLayer not implemented yet!")]
    SignedBaseLayer,
    /// A list without requirements accepts nothing.
    #[error("List of verification policy requirements must not be empty")]
    NoRequirements,
}

impl Classify for PolicyError {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Configuration)
    }
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A file of keys could not be read. The words name it.
    #[error("{0}")]
    KeyFile(String),
    /// The policy's files have no keys.
    #[error("No public keys imported")]
    NoKeys,
    /// Keys of a kind that was planned and never built.
    #[error("Unimplemented \"keyType\" value {0:?}")]
    KeyType(String),
    /// The policy's keys or certificates cannot be used.
    #[error("{0}")]
    Keys(String),
    /// A sigstore signature, or what lies beside it, is not good.
    #[error("{0}")]
    Sigstore(String),
    /// The message is not good.
    #[error(transparent)]
    OpenPgp(#[from] OpenPgpError),
    /// What is signed says nothing that is understood.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The manifest has no digest.
    #[error("{0}")]
    Manifest(String),
    /// It was made for another manifest.
    #[error("Signature for digest {0} does not match")]
    Digest(Digest),
    /// It was made for another name.
    #[error("Signature for identity {0:?} is not accepted")]
    Identity(String),
}

fn joined(reasons: &[SignatureError]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Classify for Rejected {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            // Nothing is wrong with the image as long as the keys are not there.
            Self::Signature(error) if error.is_configuration() => ErrorClass::Configuration,
            Self::Signatures(errors) if errors.iter().all(SignatureError::is_configuration) => {
                ErrorClass::Configuration
            }
            Self::ByPolicy(_)
            | Self::NoVerification(_)
            | Self::Unsigned
            | Self::OtherSignatures { .. }
            | Self::Signature(_)
            | Self::Signatures(_)
            | Self::TooManySignatures(_)
            | Self::SignedBaseLayer
            | Self::NoRequirements => ErrorClass::RejectedByPolicy,
        })
    }
}

impl SignatureError {
    /// Whether the policy is at fault, not the signature.
    fn is_configuration(&self) -> bool {
        matches!(self, Self::KeyFile(_) | Self::NoKeys | Self::KeyType(_) | Self::Keys(_))
    }
}
