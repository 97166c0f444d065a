//! What can be wrong with a manifest.

use crate::{Classify, ErrorClass, MediaType};

/// Why bytes are not the manifest they should be, or a list has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No JSON, or not of the shape.
    #[error("parsing a manifest of type {media_type}")]
    Json {
        /// What the bytes were read as.
        media_type: MediaType,
        /// What was found.
        #[source]
        source: serde_json::Error,
    },
    /// Fields of more than one kind of manifest: two readers could see two images.
    #[error(
        "rejecting ambiguous manifest, unexpected fields {fields:?} in supposedly {media_type}"
    )]
    Ambiguous {
        /// What the bytes were read as.
        media_type: MediaType,
        /// The fields that only other kinds have.
        fields: Vec<&'static str>,
    },
    /// The type is none of the known ones, and the contents do not tell.
    #[error("Unimplemented manifest MIME type {0:?}")]
    UnknownType(String),
    /// A Docker schema 2 manifest with a type that is not Docker's.
    #[error("unsupported docker v2s2 media type: {0:?}")]
    UnsupportedDockerType(String),
    /// Schema 1 by type, another by number.
    #[error("unsupported schema version {0}")]
    SchemaVersion(i64),
    /// A schema 1 manifest whose parts do not fit together.
    #[error("{0}")]
    Schema1(String),
    /// One entry of a schema 1 history.
    #[error("parsing v2s1 history entry {index}")]
    History {
        /// Which one, from the top.
        index: usize,
        /// What was found.
        #[source]
        source: serde_json::Error,
    },
    /// The signatures of a schema 1 manifest, which say where its payload ends.
    #[error("{0}")]
    Signatures(String),
    /// A list without an instance for any wanted platform.
    #[error(
        "no image found in {list} for architecture {architecture:?}, variant {variant:?}, OS {os:?}"
    )]
    NoInstance {
        /// The kind of list, in words.
        list: &'static str,
        /// The architecture wanted most.
        architecture: String,
        /// The variant wanted most; empty for none.
        variant: String,
        /// The operating system.
        os: String,
    },
    /// A list of blobs, such as BuildKit makes of a build cache.
    #[error("no image found in {list}: its entries are not manifests, their types are {types:?}")]
    NoImages {
        /// The kind of list, in words.
        list: &'static str,
        /// The types of its entries, each once.
        types: Vec<String>,
    },
    /// A layer or instance without a digest.
    #[error("a layer or instance has no digest")]
    NoDigest,
    /// An edit of an instance that the list does not have.
    #[error("digest {0} not found")]
    InstanceNotFound(crate::Digest),
    /// A list cannot become an image.
    #[error("Can not convert manifest list to MIME type {0:?}, which is not a list type")]
    NotAnIndex(String),
    /// The config was not given.
    #[error("the config is missing")]
    NoConfig,
    /// The config is no JSON, or not of the shape.
    #[error("parsing the config")]
    Config(#[source] serde_json::Error),
    /// The image is none: something else is packed as one.
    #[error("{}", not_an_image(.0))]
    NotAnImage(String),
}

impl Classify for ManifestError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoInstance { .. } => Some(
                "--override-os, --override-arch and --override-variant choose another platform; inspect --all-platforms shows the platforms",
            ),
            Self::NoImages { .. } => Some(
                "this may be a build cache: copy --all copies it unchanged, and inspect --raw shows it",
            ),
            _ => None,
        };
        hint.map(str::to_owned)
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::NoInstance { .. } | Self::InstanceNotFound(_) => ErrorClass::NotFound,
            Self::NotAnIndex(_) | Self::NotAnImage(_) | Self::NoImages { .. } => {
                ErrorClass::Unsupported
            }
            Self::Json { .. }
            | Self::Ambiguous { .. }
            | Self::UnknownType(_)
            | Self::UnsupportedDockerType(_)
            | Self::SchemaVersion(_)
            | Self::Schema1(_)
            | Self::History { .. }
            | Self::Signatures(_)
            | Self::NoDigest
            | Self::NoConfig
            | Self::Config(_) => ErrorClass::InvalidImage,
        })
    }
}

/// The original's two sentences. The second is for images built wrong, which show up from time to
/// time.
fn not_an_image(artifact_type: &str) -> String {
    if artifact_type == MediaType::DOCKER_CONFIG.as_str() {
        format!("invalid mixed OCI image with Docker v2s2 config ({artifact_type:?})")
    } else {
        format!("unsupported image-specific operation on artifact with type {artifact_type:?}")
    }
}
