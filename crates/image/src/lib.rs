//! What an image is: values only.
//!
//! Knows digests, references, media types, manifests, conversion between them, platforms and
//! signatures as stored. Must not know I/O, async, time or the environment: every function here is
//! pure, so that whatever a plan decides can be tested without moving a byte.
//!
//! | to | see |
//! |---|---|
//! | read what users type | [`Reference`], [`Named`], [`Compression`] |
//! | name bytes | [`Digest`], [`Descriptor`], [`MediaType`] |
//! | look into a manifest | [`RawManifest::parse`], [`ImageManifest`], [`ImageIndex`], [`Links`] |
//! | choose from an index | [`wanted_platforms`], [`ImageIndex::choose`] |
//! | look into a config | [`ImageManifest::summary`], [`ImageManifest::oci_config`] |
//! | change anything | [`convert()`], [`ImageIndex::replace`], [`ImageIndex::convert`] |
//! | compare versions in tags | [`Version`], [`Constraint`] |
//! | say what kind of thing went wrong | [`ErrorClass`] |
//! | write JSON | [`go_json`]: nothing else, or digests differ from the original's |
//!
//! # Example
//!
//! ```
//! use skopeo_image::{Digest, MediaType, RawManifest, Reference};
//!
//! let reference = Reference::parse_normalized("busybox:1.36")?;
//! assert_eq!(reference.to_string(), "docker.io/library/busybox:1.36");
//!
//! let text: &'static [u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
//! let manifest = RawManifest::new(Some(MediaType::OCI_INDEX), text.into());
//! assert_eq!(manifest.digest()?, Digest::sha256(text));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod compression;
mod config;
mod convert;
mod descriptor;
mod digest;
mod error_class;
pub mod go;
pub mod go_json;
mod index;
mod links;
pub mod manifest;
mod media_type;
pub mod number;
mod platform;
mod policy_scope;
mod reference;
mod secret;
mod signature;
mod summary;
mod timestamp;
mod version;

pub use compression::{Compression, UnknownCompression};
pub use config::{History, ImageConfig, MAX_CONFIG_SIZE, Nothing, RootFs, RunConfig};
pub use convert::{
    CompressionEdit, ConvertError, Converted, EMPTY_LAYER, Edit, EncryptionEdit, LayerEdit,
    LayerTypeError, convert,
};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error_class::{Classify, ErrorClass, as_a};
pub use index::{ImageIndex, Instance, InstanceAddition, InstanceEdit, Preference};
pub use links::Links;
pub use manifest::{ImageManifest, Layer, Manifest, ManifestError, RawManifest, Which};
pub use media_type::MediaType;
pub use platform::{Platform, PlatformError, PlatformFilter, wanted_platforms};
pub use policy_scope::PolicyScope;
pub use reference::{Named, Reference, ReferenceError, is_valid_tag};
pub use secret::Secret;
pub use signature::{Signature, SignatureKind, is_bundle_type};
pub use summary::{Artifact, Summary};
pub use timestamp::{Timestamp, TimestampError};
pub use version::{Constraint, ConstraintError, Version};
