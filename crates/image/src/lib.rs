//! What an image is: values only.
//!
//! Knows digests, references, media types, manifests, conversion between them, platforms and
//! signatures as stored. Must not know I/O, async, time or the environment: every function here is
//! pure, so that whatever a plan decides can be tested without moving a byte.

mod compression;
mod descriptor;
mod digest;
mod media_type;
mod policy_scope;
mod secret;
mod signature;

pub mod manifest;

pub use compression::Compression;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use manifest::{RawManifest, Which};
pub use media_type::MediaType;
pub use policy_scope::PolicyScope;
pub use secret::Secret;
pub use signature::Signature;
