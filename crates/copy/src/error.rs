//! What can go wrong when an image moves.

use std::error::Error as StdError;

use skopeo_blob::crypt::CryptError;
use skopeo_blob::{BoxError, StreamError};
use skopeo_image::{Classify, ConvertError, Digest, ErrorClass, ManifestError};
use skopeo_transport::{Error as TransportError, PutManifestError};
use skopeo_trust::sign::SignError;
use skopeo_trust::{PolicyError, Rejected};

use crate::plan::{Frozen, PlanError};

/// Why an image was not copied. Nothing carries its name then, except what carried it before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest that the source's name leads to could not be had.
    #[error("initializing source {name}")]
    Source {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The source is there, but the file of its manifest cannot be read.
    #[error("determining manifest MIME type for {name}")]
    SourceManifest {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The manifest of an instance could not be had.
    #[error("reading manifest {digest} from {name}")]
    Instance {
        /// The instance.
        digest: Digest,
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// A manifest is another than the one asked for.
    #[error("Manifest does not match provided manifest digest {0}")]
    ManifestMismatch(Digest),
    /// A manifest is not what it should be.
    #[error("parsing manifest of {name}")]
    Manifest {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The source's name leads elsewhere than when it was asked first.
    #[error("{name} has moved: it was {expected}, and is {found} now")]
    Moved {
        /// The source as the user named it.
        name: String,
        /// What it led to.
        expected: Digest,
        /// What it leads to.
        found: Digest,
    },
    /// No instance serves.
    #[error("choosing an image from manifest list {name}")]
    Choose {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The instance chosen for the system could not be copied.
    #[error("copying system image from manifest list")]
    SystemImage(#[source] Box<Self>),
    /// An instance of a list could not be copied.
    #[error("copying image {at}/{of} from manifest list")]
    OfList {
        /// Which one, counted from 1.
        at: usize,
        /// Of how many.
        of: usize,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// An instance of a list could not be copied once more, packed otherwise.
    #[error("replicating image {at}/{of} from manifest list")]
    Replicating {
        /// Which one, counted from 1, with those that are copied.
        at: usize,
        /// Of how many.
        of: usize,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// The policy does not want it.
    #[error("Source image rejected")]
    Rejected(#[source] Rejected),
    /// The signatures could not be read.
    #[error("reading signatures")]
    ReadSignatures(#[source] Box<TransportError>),
    /// What is asked cannot be done.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Whether the destination has a blob could not be known.
    #[error("trying to reuse blob {digest} at destination")]
    Reuse {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// A blob did not come, or not as what it should be.
    #[error("reading blob {digest}{}", tries(*.tried))]
    ReadBlob {
        /// The blob.
        digest: Digest,
        /// How often it was tried.
        tried: u32,
        /// Whether trying again may help.
        transient: bool,
        /// Whether it has been tried below as often as it may be.
        spent: bool,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A blob could not be written.
    #[error("writing blob{}", tries(*.tried))]
    WriteBlob {
        /// How often it was tried.
        tried: u32,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The destination stored a blob under another digest than its own.
    #[error(
        "Internal error writing blob {expected}, blob with digest {expected} saved with digest \
         {stored}"
    )]
    Stored {
        /// The blob.
        expected: Digest,
        /// What it became.
        stored: Digest,
    },
    /// The key of an encrypted layer could not be opened.
    #[error("decrypting layer {digest}")]
    Decrypt {
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: CryptError,
    },
    /// A layer could not be encrypted.
    #[error("encrypting blob {digest}")]
    Encrypt {
        /// The layer, as it is at the source.
        digest: Digest,
        /// Why.
        #[source]
        source: CryptError,
    },
    /// A config is larger than any config is.
    #[error("reading config blob {digest}: {size} bytes, more than the {limit} that are accepted")]
    LargeConfig {
        /// The config.
        digest: Digest,
        /// Its length in bytes, or what had come of it.
        size: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// The manifest could not be changed as it had to be.
    #[error("creating an updated image manifest")]
    Convert(#[from] ConvertError),
    /// The manifest had to change, and must not. That should have shown in the plan.
    #[error("Internal error: copy needs an updated manifest but that was known to be forbidden: {:?}", .0.to_string())]
    MustNotChange(Frozen),
    /// A manifest could not be written.
    #[error("writing manifest")]
    WriteManifest(#[source] Box<PutManifestError>),
    /// No kind of manifest was taken.
    #[error("Uploading manifest failed, attempted the following formats: {attempts}")]
    NoType {
        /// Each type with what became of it.
        attempts: String,
        /// Whether the whole may do better in a moment.
        transient: bool,
        /// What kind of error the last of them was.
        class: Option<ErrorClass>,
    },
    /// The list had to change, and must not.
    #[error("Manifest list was edited, but we cannot modify it: {:?}", .0.to_string())]
    ListMustNotChange(Frozen),
    /// The list could not be changed.
    #[error("updating manifest list")]
    EditList(#[source] ManifestError),
    /// No kind of list was taken.
    #[error("Uploading manifest list failed, attempted the following formats: {attempts}")]
    NoListType {
        /// Each type with what became of it.
        attempts: String,
        /// Whether the whole may do better in a moment.
        transient: bool,
        /// What kind of error the last of them was.
        class: Option<ErrorClass>,
    },
    /// The name that the image is to be signed as names no image.
    #[error("Sign identity must be a fully specified reference {0}")]
    SignIdentity(String),
    /// The destination has no name that signatures could give to the image.
    #[error("Cannot determine canonical Docker reference for destination {0}")]
    NoSignIdentity(String),
    /// A manifest could not be signed.
    #[error("creating signature{}", number.map(|it| format!(" {it}")).unwrap_or_default())]
    Sign {
        /// By the how manieth signer, if there are several.
        number: Option<usize>,
        /// Why.
        #[source]
        source: SignError,
    },
    /// The signatures could not be written.
    #[error("writing signatures")]
    WriteSignatures(#[source] Box<TransportError>),
    /// What hangs on images can hang on nothing at the destination.
    #[error("copying referrers to {destination}: {reason}")]
    NoPlaceForReferrers {
        /// The destination as the user named it.
        destination: String,
        /// What it says.
        reason: &'static str,
    },
    /// What hangs on an image could not be known.
    #[error("looking for what is to be copied with the image")]
    ListReferrers(#[source] Box<TransportError>),
    /// Whether something hangs on the image at the destination could not be known.
    #[error("looking for it at the destination")]
    FindReferrer(#[source] Box<TransportError>),
    /// Something that hangs on an image could not be copied.
    #[error("copying referrer {digest} of {subject}")]
    Referrer {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it hangs on.
        subject: Digest,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// More hangs on the image than on any image.
    #[error("more than {0} referrers hang on the image")]
    TooManyReferrers(usize),
    /// What hangs on what hangs on the image, and so on.
    #[error("reading referrers of {0}: nested too deeply")]
    ReferrersTooDeep(Digest),
    /// The place could not be made ready for writing.
    #[error("preparing the destination")]
    Begin(#[source] Box<TransportError>),
    /// Everything was there, but the name could not be given.
    #[error("committing the finished image")]
    Commit(#[source] Box<TransportError>),
    /// What several copies failed with together.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
}

impl Error {
    /// Whether the source has no such image.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Source { source, .. } | Self::Instance { source, .. } => source.is_not_found(),
            Self::SystemImage(source)
            | Self::OfList { source, .. }
            | Self::Replicating { source, .. } => source.is_not_found(),
            Self::Shared(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Whether the whole copy may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source { source, .. }
            | Self::SourceManifest { source, .. }
            | Self::Instance { source, .. }
            | Self::Reuse { source, .. }
            | Self::WriteBlob { source, .. }
            | Self::ReadSignatures(source)
            | Self::WriteSignatures(source)
            | Self::ListReferrers(source)
            | Self::FindReferrer(source)
            | Self::Begin(source)
            | Self::Commit(source) => source.is_transient(),
            Self::SystemImage(source)
            | Self::OfList { source, .. }
            | Self::Replicating { source, .. }
            | Self::Referrer { source, .. } => source.is_transient(),
            Self::WriteManifest(source) => {
                matches!(&**source, PutManifestError::Other(source) if source.is_transient())
            }
            Self::ReadBlob { transient, .. }
            | Self::NoType { transient, .. }
            | Self::NoListType { transient, .. } => *transient,
            Self::Shared(error) => error.is_transient(),
            _ => false,
        }
    }

    /// What a source said of a blob, or a destination that could not read it.
    pub(crate) fn of_blob(digest: &Digest, source: TransportError, side: Side) -> Self {
        let (transient, spent) = (source.is_transient(), source.tried() > 1);
        let source: BoxError = match (source, side) {
            // Only the reading side makes these; their own text says no more than ours.
            (TransportError::Stream(StreamError::Read { source, .. }), _) => source,
            (TransportError::Stream(source), _) => source.into(),
            (source, Side::Reading) => source.into(),
            (source, Side::Writing) => {
                return Self::WriteBlob { tried: 1, source: Box::new(source) };
            }
        };
        Self::ReadBlob { digest: digest.clone(), tried: 1, transient, spent, source }
    }

    /// Whether a blob has been tried by its source or destination as often as it may be, so that
    /// nothing is gained by trying it as a whole.
    pub(crate) fn is_spent(&self) -> bool {
        match self {
            Self::ReadBlob { spent, .. } => *spent,
            Self::WriteBlob { source, .. } => source.tried() > 1,
            _ => false,
        }
    }

    /// The same, with how often it was tried.
    pub(crate) fn after(self, times: u32) -> Self {
        match self {
            Self::ReadBlob { digest, transient, spent, source, .. } => {
                Self::ReadBlob { digest, tried: times, transient, spent, source }
            }
            Self::WriteBlob { source, .. } => Self::WriteBlob { tried: times, source },
            other => other,
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Rejected(error) => return error.class(),
            Self::ManifestMismatch(_) | Self::Stored { .. } => ErrorClass::DigestMismatch,
            Self::Moved { .. } => ErrorClass::Conflict,
            Self::Manifest { source, .. } | Self::Choose { source, .. } => return source.class(),
            Self::Plan(error) => return error.class(),
            Self::Decrypt { source, .. } | Self::Encrypt { source, .. } => return source.class(),
            Self::LargeConfig { .. }
            | Self::EditList(_)
            | Self::TooManyReferrers(_)
            | Self::ReferrersTooDeep(_) => ErrorClass::InvalidImage,
            Self::NoPlaceForReferrers { .. } => ErrorClass::Unsupported,
            Self::SignIdentity(_) | Self::NoSignIdentity(_) => ErrorClass::InvalidInput,
            Self::Sign { source, .. } => return source.class(),
            Self::Convert(_) | Self::MustNotChange(_) | Self::ListMustNotChange(_) => {
                ErrorClass::Unsupported
            }
            Self::WriteManifest(error) => match &**error {
                PutManifestError::TypeRejected { .. } => ErrorClass::Unsupported,
                PutManifestError::Other(error) => return error.class(),
            },
            Self::NoType { class, .. } | Self::NoListType { class, .. } => return *class,
            Self::Source { source, .. }
            | Self::SourceManifest { source, .. }
            | Self::Instance { source, .. }
            | Self::Reuse { source, .. }
            | Self::WriteBlob { source, .. }
            | Self::ReadSignatures(source)
            | Self::WriteSignatures(source)
            | Self::ListReferrers(source)
            | Self::FindReferrer(source)
            | Self::Begin(source)
            | Self::Commit(source) => return source.class(),
            Self::SystemImage(source)
            | Self::OfList { source, .. }
            | Self::Replicating { source, .. }
            | Self::Referrer { source, .. } => return source.class(),
            Self::Shared(error) => return error.class(),
            Self::ReadBlob { .. } => return None,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source { source, .. }
            | Self::SourceManifest { source, .. }
            | Self::Instance { source, .. }
            | Self::Reuse { source, .. }
            | Self::WriteBlob { source, .. }
            | Self::ReadSignatures(source)
            | Self::WriteSignatures(source)
            | Self::ListReferrers(source)
            | Self::FindReferrer(source)
            | Self::Begin(source)
            | Self::Commit(source) => source.hint(),
            Self::WriteManifest(source) => match &**source {
                PutManifestError::Other(source) => source.hint(),
                PutManifestError::TypeRejected { .. } => None,
            },
            Self::SystemImage(source)
            | Self::OfList { source, .. }
            | Self::Replicating { source, .. }
            | Self::Referrer { source, .. } => source.hint(),
            Self::NoSignIdentity(_) => {
                Some("--sign-identity says under which name the image is to be signed".to_owned())
            }
            Self::Rejected(_) => Some(
                "policy.json decides so: `skopeo policy check IMAGE` says which part of it, and why"
                    .to_owned(),
            ),
            Self::Plan(source) => source.hint(),
            Self::Choose { source, .. } => source.hint(),
            Self::Shared(error) => error.hint(),
            Self::Moved { .. } => Some("--allow-moved goes on with what is there now".to_owned()),
            _ => None,
        }
    }
}

/// Which door an error came through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Reading,
    Writing,
}

fn tries(tried: u32) -> String {
    if tried > 1 { format!(" (tried {tried} times)") } else { String::new() }
}

/// Returns an error as one that says its class, if this crate or one below it has made it.
#[must_use]
pub fn classified<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a dyn Classify> {
    skopeo_image::classified!(
        error;
        Error, PlanError, PolicyError, SignError, Rejected;
        skopeo_transport::classified
    )
}

/// Returns whether one error in a chain of causes says that the same step may go well in a moment.
#[must_use]
pub fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_transient)
        || skopeo_transport::is_transient(error)
}

/// Returns an error and all its causes as one sentence.
#[must_use]
pub fn sentence(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
