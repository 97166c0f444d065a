//! What can go wrong with what `docker save` makes and a daemon loads.

mod saved;

use skopeo_image::{Classify, ErrorClass};

use super::daemon::DaemonError;

pub use saved::{SavedError, SavedImageError, SavedManifestError, SavingError};

/// What can go wrong with what `docker save` makes and a daemon loads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerTarError {
    /// An archive of `docker save` is broken, or has no such image.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// A Docker daemon could not be used.
    #[error("{doing}")]
    Daemon {
        /// What for, in the original's words.
        doing: &'static str,
        /// Why.
        #[source]
        source: DaemonError,
    },
    /// An image cannot be written to a daemon under that name.
    #[error(transparent)]
    DaemonDestination(DaemonError),
}

impl Classify for DockerTarError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Saved(error) => error.class(),
            Self::Daemon { source, .. } | Self::DaemonDestination(source) => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Saved(error) => error.hint(),
            Self::Daemon { source, .. } => source.hint(),
            Self::DaemonDestination(_) => None,
        }
    }
}
