//! `containers-storage:` in a program that cannot have it: there are no names of images in stores.

use std::fmt;

use skopeo_image::{Classify, Digest, ErrorClass, PolicyScope};

use crate::named::Name;
use crate::{Destination, Error, Options, Probe, Source};

/// Whether the program has it.
pub(crate) const IS_BUILT: bool = false;

/// What to use instead.
pub(crate) const INSTEAD: Option<&str> = Some(if cfg!(target_os = "linux") {
    "this build of skopeo lacks the stores of podman (the feature \"storage\" of its crate); save the \
     image by `podman save --format oci-archive`, and use oci-archive:FILE"
} else {
    "stores of podman are on Linux only; save the image by `podman save --format oci-archive`, and \
     use oci-archive:FILE"
});

/// The name of an image in a store. There can be none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StorageName {}

/// Layers that are unpacked and not in a store yet. There can be none.
#[derive(Debug, Default)]
pub(crate) struct StagedLayers;

/// An error of a store. There can be none.
#[derive(Debug)]
pub enum StorageError {}

/// Why a text is not the name of an image in a store: there are none.
#[derive(Debug, thiserror::Error)]
#[error("The transport \"containers-storage:\" is not supported in this build")]
pub struct StorageNameError;

impl StorageName {
    /// Refuses a name.
    pub(crate) fn parse(_: &str) -> Result<Self, StorageNameError> {
        Err(StorageNameError)
    }

    /// Refuses a collection.
    pub(crate) fn within(_: &str, _: &str) -> Result<Self, StorageNameError> {
        Err(StorageNameError)
    }
}

impl Name for StorageName {
    fn transport(&self) -> &'static str {
        match *self {}
    }

    fn policy_scope(&self) -> PolicyScope {
        match *self {}
    }
}

impl fmt::Display for StorageName {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl StorageError {
    /// Returns whether the image is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match *self {}
    }
}

impl Classify for StorageError {
    fn class(&self) -> Option<ErrorClass> {
        match *self {}
    }
}

impl std::error::Error for StorageError {}

impl fmt::Display for StorageError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

pub(crate) async fn open(name: &StorageName, _: &Options) -> Result<Box<dyn Source>, Error> {
    match *name {}
}

pub(crate) async fn create(name: &StorageName, _: &Options) -> Result<Box<dyn Destination>, Error> {
    match *name {}
}

pub(crate) async fn look(name: &StorageName, _: &Options) -> Result<Box<dyn Probe>, Error> {
    match *name {}
}

pub(crate) async fn labels(any: &StorageName, _: &Options) -> Result<Vec<String>, Error> {
    match *any {}
}

pub(crate) async fn own_labels(any: &StorageName, _: &Options) -> Result<Vec<String>, Error> {
    match *any {}
}

pub(crate) async fn digest(name: &StorageName, _: &Options) -> Result<Option<Digest>, Error> {
    match *name {}
}

pub(crate) async fn remove_name(name: &StorageName, _: &Options, _: &Digest) -> Result<(), Error> {
    match *name {}
}

pub(crate) async fn delete(name: &StorageName, _: &Options) -> Result<(), Error> {
    match *name {}
}
