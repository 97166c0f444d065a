//! Buckets in a program that was built without object stores: there are no names of images in them.

use std::fmt;

use skopeo_image::{Classify, Digest, ErrorClass, PolicyScope};

use crate::layout::LayoutNameError;
use crate::named::Name;
use crate::{Destination, Error, Held, Options, Probe, Source};

/// The name of an image in a bucket. There can be none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BucketName {}

/// An error of a layout in a bucket.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There can be no other.
    #[error("{0}: {NOT_BUILT}")]
    NotBuilt(String),
}

/// Why nothing in a bucket is read or written.
const NOT_BUILT: &str =
    "this build of skopeo lacks object stores (the feature \"object-stores\" of its crate)";

/// The buckets that are open: none.
#[derive(Debug, Default)]
pub(crate) struct Buckets;

impl BucketName {
    /// Refuses a name.
    pub(crate) fn parse(details: &str) -> Result<Self, LayoutNameError> {
        Err(LayoutNameError::BucketNotBuilt(format!("oci:{details}: {NOT_BUILT}")))
    }
}

impl Name for BucketName {
    fn transport(&self) -> &'static str {
        match *self {}
    }

    fn policy_scope(&self) -> PolicyScope {
        match *self {}
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl BucketError {
    /// Returns whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        false
    }

    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        false
    }
}

impl Classify for BucketError {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Unsupported)
    }
}

/// Whether the name of an image, or of a collection, means one in a bucket.
pub(crate) fn is_meant(details: &str) -> bool {
    ["s3://", "gs://", "az://"].iter().any(|scheme| details.starts_with(scheme))
}

pub(crate) async fn open(name: &BucketName, _: &Options) -> Result<Box<dyn Source>, Error> {
    match *name {}
}

pub(crate) async fn create(name: &BucketName, _: &Options) -> Result<Box<dyn Destination>, Error> {
    match *name {}
}

pub(crate) async fn look(name: &BucketName, _: &Options) -> Result<Box<dyn Probe>, Error> {
    match *name {}
}

pub(crate) async fn delete(
    name: &BucketName,
    _: &Options,
    _: Option<&Digest>,
) -> Result<(), Error> {
    match *name {}
}

pub(crate) async fn names(name: &BucketName, _: &Options) -> Result<Vec<String>, Error> {
    match *name {}
}

pub(crate) async fn siblings(
    name: &BucketName,
    _: &Options,
) -> Result<(Digest, Vec<String>), Error> {
    match *name {}
}

/// Refuses a collection of images.
pub(crate) async fn held(place: &str, _: &Options) -> Result<Vec<Held>, Error> {
    Err(BucketError::NotBuilt(place.to_owned()).into())
}
