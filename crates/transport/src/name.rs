//! Names of images: what the user typed, parsed.

/// The name of an image, or of a place for one: `transport:details`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageName {}
