//! What goes wrong with a mirror.

use std::error::Error as StdError;

use skopeo_copy::Error as CopyError;
use skopeo_image::{
    Classify, DigestError, ErrorClass, ManifestError, PlatformError, ReferenceError, as_a,
};
use skopeo_transport::{Error as TransportError, NameError};
use skopeo_trust::sign::SignError;

use crate::config::Malformed;
use crate::destination::TargetError;
use crate::naming::{Clash, NamingError, Nested};
use crate::prune::rules::TooMany;
use crate::select::FilterError;
use crate::shard::ShardError;

/// What comes of a step of a mirror.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a mirror, or one image of it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for makes no sense, or cannot be done; the sentence says it all.
    #[error("{sentence}")]
    Refused {
        /// What kind of failure it is; `None` leaves it to who asked.
        class: Option<ErrorClass>,
        /// The whole sentence.
        sentence: String,
        /// What may be done about it.
        hint: Option<String>,
    },
    /// A step failed.
    #[error("{what}")]
    Step {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: Box<Self>,
    },
    /// An image was not copied.
    #[error(transparent)]
    Copy(Box<CopyError>),
    /// A source or a destination failed.
    #[error(transparent)]
    Transport(Box<TransportError>),
    /// A text is not a name of an image.
    #[error(transparent)]
    Name(Box<NameError>),
    /// A text is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A text is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A text is no platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A text is no collection of images.
    #[error(transparent)]
    Place(#[from] TargetError),
    /// An image can have no name at its destination.
    #[error(transparent)]
    Naming(#[from] NamingError),
    /// Two images would have the same name.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// One image would be in the folder of another.
    #[error(transparent)]
    Nested(#[from] Nested),
    /// An expression that chooses tags is not valid.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The YAML file makes no sense.
    #[error(transparent)]
    Config(#[from] Malformed),
    /// More would be deleted than may be.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// A file is no text.
    #[error(transparent)]
    Text(#[from] std::str::Utf8Error),
    /// A document cannot be read or written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A file cannot be read or written; the text names it.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl Error {
    /// Returns an error that is its sentence, of no class of its own.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self::Refused { class: None, sentence: sentence.into(), hint: None }
    }

    /// Returns an error that is its sentence, of this class.
    pub fn classed(class: ErrorClass, sentence: impl Into<String>) -> Self {
        Self::Refused { class: Some(class), sentence: sentence.into(), hint: None }
    }

    /// Returns the error as the cause of a step that failed.
    #[must_use]
    pub fn step(self, what: impl Into<String>) -> Self {
        Self::Step { what: what.into(), source: Box::new(self) }
    }

    /// Returns the error as it is, or the one of another crate that it stands for.
    #[must_use]
    pub fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Refused { .. } | Self::Step { .. } => self,
            Self::Copy(error) => &**error,
            Self::Transport(error) => &**error,
            Self::Name(error) => &**error,
            Self::Reference(error) => error,
            Self::Digest(error) => error,
            Self::Platform(error) => error,
            Self::Manifest(error) => error,
            Self::Place(error) => error,
            Self::Naming(error) => error,
            Self::Clash(error) => error,
            Self::Nested(error) => error,
            Self::Filter(error) => error,
            Self::Config(error) => error,
            Self::TooMany(error) => error,
            Self::Text(error) => error,
            Self::Json(error) => error,
            Self::File(error) => error,
        }
    }

    /// Returns the error and its causes, the outermost first, each as [`inner`](Self::inner) has it.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: &(dyn StdError + 'static) = self.inner();
        std::iter::successors(Some(first), |error| {
            let error: &(dyn StdError + 'static) = *error;
            error.source().map(unwrapped)
        })
    }

    /// Returns whether the same step may go well in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.chain().any(skopeo_copy::is_transient)
    }

    /// Returns the error and all its causes as one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        skopeo_copy::sentence(self)
    }
}

impl Classify for Error {
    /// Returns what the outermost of the error and its causes says that knows.
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Step { source, .. } => source.class(),
            Self::Copy(_)
            | Self::Transport(_)
            | Self::Name(_)
            | Self::Reference(_)
            | Self::Digest(_)
            | Self::Platform(_)
            | Self::Manifest(_)
            | Self::Place(_)
            | Self::Naming(_)
            | Self::Clash(_)
            | Self::Nested(_)
            | Self::Filter(_)
            | Self::Config(_)
            | Self::TooMany(_)
            | Self::Text(_)
            | Self::Json(_)
            | Self::File(_) => self.chain().find_map(|link| classified(link)?.class()),
        }
    }

    /// Returns what may be done about it, where nothing but this crate knows that.
    fn hint(&self) -> Option<String> {
        if let Self::Refused { hint, .. } = self { hint.clone() } else { None }
    }
}

/// Returns an error as one that says its class, if this crate or one below it has made it.
#[must_use]
pub fn classified<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a dyn Classify> {
    skopeo_image::classified!(
        error;
        Error, Clash, Nested, NamingError, TooMany, ShardError, Malformed;
        skopeo_copy::classified
    )
}

/// Returns the error of another crate that an error of this one, or of a signer, stands for; or the
/// error as it is.
#[must_use]
pub fn unwrapped<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let error = as_a::<Error>(error).map_or(error, Error::inner);
    as_a::<SignError>(error).map_or(error, SignError::inner)
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        Self::Copy(Box::new(error))
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Transport(Box::new(error))
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Name(Box::new(error))
    }
}

/// Says of a failure what was being done.
pub(crate) trait Context<T> {
    /// Says what was being done.
    ///
    /// # Errors
    /// The same, as the cause of that.
    fn context(self, what: impl Into<String>) -> Result<T>;

    /// Says what was being done, with a sentence that is made only if it is needed.
    ///
    /// # Errors
    /// The same, as the cause of that.
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.with_context(|| what)
    }

    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::Step { what: what().into(), source: Box::new(error.into()) })
    }
}

/// Nothing where something is needed: the sentence is the error.
impl<T> Context<T> for Option<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.ok_or_else(|| Error::refused(what))
    }

    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.ok_or_else(|| Error::refused(what()))
    }
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;
    use skopeo_transport::{CommitError, LayoutError};

    use super::*;

    #[test]
    fn the_kind_is_that_of_the_outermost_cause_that_knows() {
        let gone = || TransportError::from(LayoutError::NoSuchReference("x".to_owned()));
        let copied =
            || CopyError::Source(skopeo_copy::SourceError::DigestMismatch(Digest::sha256(b"")));
        for (error, class) in [
            (Error::refused("no"), None),
            (Error::classed(ErrorClass::Partial, "some"), Some(ErrorClass::Partial)),
            (gone().into(), Some(ErrorClass::NotFound)),
            (
                Err::<(), _>(copied()).context("one").context("two").unwrap_err(),
                Some(ErrorClass::DigestMismatch),
            ),
            (None::<()>.context("nothing").unwrap_err(), None),
        ] {
            assert_eq!(error.class(), class, "{error:?}");
        }
    }

    #[test]
    fn a_sentence_has_what_was_done_and_why_it_failed() {
        let digest = Digest::sha256(b"");
        let failed = Err::<(), _>(TransportError::from(CommitError::Vanished(digest.clone())));
        let error = failed.with_context(|| "reading").context("copying").unwrap_err();
        let inner = CommitError::Vanished(digest).to_string();
        assert_eq!(error.sentence(), format!("copying: reading: {inner}"));
        assert!(error.is_transient() && !Error::refused("no").is_transient());
        assert_eq!(error.chain().count(), 3);
    }
}
