//! What the names of all transports have in common.

use std::fmt;
use std::path::Path;

use skopeo_image::{PolicyScope, Reference};

/// What the name of every transport can do. It prints what stands behind the colon.
pub(crate) trait Name: fmt::Display {
    /// What stands before the colon.
    fn transport(&self) -> &'static str;

    /// What `policy.json` is asked about; the name for errors is filled in by
    /// [`ImageName`](crate::ImageName).
    fn policy_scope(&self) -> PolicyScope;

    /// The one file that is written, where that is all there is.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// The docker reference inside, where the name is one or has one.
    fn docker_reference(&self) -> Option<&Reference> {
        None
    }
}
