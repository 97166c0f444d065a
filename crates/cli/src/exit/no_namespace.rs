//! Errors of user namespaces in a program that needs none.

use std::fmt;

use skopeo_image::{Classify, ErrorClass};

/// Why there is no namespace. Nobody asks for one.
#[derive(Debug)]
pub(crate) enum Error {}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Classify for Error {
    fn class(&self) -> Option<ErrorClass> {
        match *self {}
    }
}
