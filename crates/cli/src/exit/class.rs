//! Which kind of error it was, and the exit code of each kind.

use std::error::Error as StdError;

use anyhow::Error;
use skopeo_image::{Classify, ErrorClass, as_a};
use skopeo_registry::Error as RegistryError;
#[cfg(all(feature = "storage", target_os = "linux"))]
use skopeo_storage::userns::Error as NamespaceError;
use skopeo_transport::Error as TransportError;

#[cfg(not(all(feature = "storage", target_os = "linux")))]
use super::no_namespace::Error as NamespaceError;
use super::{
    Classed, DeadlineExceeded, Interrupted, Invalid, ParseError, Stdout, UsageError, links,
};
use crate::gpg::GpgError;

/// A kind of error as scripts see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) class: ErrorClass,
    /// In `--error-format json`.
    pub(crate) name: &'static str,
    /// Under `--exit-codes detailed`.
    pub(crate) code: u8,
    pub(crate) meaning: &'static str,
}

/// All kinds, by their codes. Help, the manual and docs/json.md are checked against it: what has
/// once been given a code keeps it.
pub(crate) const CLASSES: [Row; 19] = [
    row(ErrorClass::Other, 1, "none of the following"),
    row(ErrorClass::NotFound, 2, "no such image, tag, repository, blob or file"),
    row(ErrorClass::Unauthorized, 3, "credentials are missing or wrong"),
    row(ErrorClass::Denied, 4, "the credentials or the system do not allow this"),
    row(ErrorClass::RateLimited, 5, "too many requests to the registry"),
    row(ErrorClass::Network, 6, "no connection, or the connection broke"),
    row(ErrorClass::Timeout, 7, "it took too long"),
    row(ErrorClass::Tls, 8, "no trusted certificate"),
    row(ErrorClass::DigestMismatch, 9, "bytes do not match their digest"),
    row(ErrorClass::RejectedByPolicy, 10, "policy.json or registries.conf forbids it"),
    row(ErrorClass::InvalidInput, 11, "wrong flags, names or arguments"),
    row(ErrorClass::InvalidImage, 12, "the image is not valid"),
    row(ErrorClass::Configuration, 13, "a configuration file is missing or wrong"),
    row(ErrorClass::Unsupported, 14, "not supported here or by the other side"),
    row(ErrorClass::Conflict, 15, "something else is in the way"),
    row(ErrorClass::DiskFull, 16, "no space left"),
    row(ErrorClass::Registry, 17, "any other error of a registry"),
    row(ErrorClass::Partial, 18, "some of several things failed"),
    row(
        ErrorClass::Interrupted,
        130,
        "the user interrupted it (129 by SIGHUP, 143 by SIGTERM); also without the flag",
    ),
];

const fn row(class: ErrorClass, code: u8, meaning: &'static str) -> Row {
    Row { class, name: class.as_str(), code, meaning }
}

/// The row of a kind.
pub(crate) fn row_of(class: ErrorClass) -> Row {
    CLASSES.into_iter().find(|row| row.class == class).unwrap_or(CLASSES[0])
}

/// Returns the class of an error: what the outermost of its causes says that knows.
pub(crate) fn class(error: &Error) -> Option<ErrorClass> {
    links(error).find_map(class_of)
}

/// What the registry said, in the outermost of the causes that comes from one.
pub(crate) fn registry(error: &Error) -> Option<&RegistryError> {
    links(error).find_map(|link| {
        as_a::<RegistryError>(link)
            .or_else(|| as_a::<TransportError>(link)?.registry())
            .filter(|error| error.answer().is_some())
    })
}

/// Returns the class of one error in a chain of causes.
pub(crate) fn class_of(link: &(dyn StdError + 'static)) -> Option<ErrorClass> {
    classified(link)?.class()
}

/// Returns one error in a chain of causes as one that says its class.
pub(super) fn classified<'a>(link: &'a (dyn StdError + 'static)) -> Option<&'a dyn Classify> {
    skopeo_image::classified!(
        link;
        Classed, UsageError, ParseError, Invalid, DeadlineExceeded, Interrupted, Stdout, GpgError,
        NamespaceError;
        skopeo_sync::classified
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io;

    use anyhow::anyhow;
    use skopeo_copy::Error as CopyError;
    use skopeo_image::Digest;
    use skopeo_transport::{DeletionError, LayoutError};

    use super::*;

    #[test]
    fn each_kind_has_a_name_and_a_code_of_its_own() {
        let codes: Vec<u8> = CLASSES.iter().map(|row| row.code).collect();
        assert!(codes.is_sorted() && codes.iter().collect::<BTreeSet<_>>().len() == codes.len());
        let names: BTreeSet<&str> = CLASSES.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), CLASSES.len());
        assert!(CLASSES.iter().all(|row| row_of(row.class).code == row.code));
    }

    #[test]
    fn the_kind_is_found_wherever_it_lies() {
        let digest = Digest::sha256(b"");
        let rows: Vec<(Error, Option<ErrorClass>)> = vec![
            (anyhow!("some words").context("more"), None),
            (UsageError("no").into(), Some(ErrorClass::InvalidInput)),
            (
                Error::from(TransportError::from(LayoutError::NoSuchReference("x".to_owned())))
                    .context("opening"),
                Some(ErrorClass::NotFound),
            ),
            (
                CopyError::Blob(skopeo_copy::BlobError::Write {
                    tried: 1,
                    source: Box::new(TransportError::from(io::Error::from(
                        io::ErrorKind::StorageFull,
                    ))),
                })
                .into(),
                Some(ErrorClass::DiskFull),
            ),
            (
                CopyError::SystemImage(Box::new(CopyError::Source(
                    skopeo_copy::SourceError::DigestMismatch(digest),
                )))
                .into(),
                Some(ErrorClass::DigestMismatch),
            ),
            (
                TransportError::from(DeletionError::Deleting {
                    reference: "a:b".to_owned(),
                    source: Box::new(RegistryError::Protocol("nonsense".to_owned())),
                })
                .into(),
                Some(ErrorClass::Registry),
            ),
        ];
        for (error, expected) in rows {
            assert_eq!(class(&error), expected, "{error:#}");
        }
    }
}
