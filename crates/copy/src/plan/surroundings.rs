//! Where an image comes from and goes to, as far as a plan must know.

use skopeo_image::{Descriptor, RawManifest, Signature};
use skopeo_transport::{Accepts, ImageName};

use super::PlanError;
use crate::request::Request;

/// Where an image comes from and goes to, as far as a plan must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// The manifest that the source's name leads to: this image's, or that of an index it is in.
    pub(crate) top: &'a RawManifest,
    pub(crate) destination: &'a ImageName,
    pub(crate) accepts: &'a Accepts,
    pub(crate) request: &'a Request,
    /// Whether referrers of the image or index are copied with it.
    pub(crate) has_referrers: bool,
    /// The image's layers as they can be read, where its manifest names others.
    pub(crate) layers: Option<&'a [Descriptor]>,
}

impl Surroundings<'_> {
    /// Refuses signatures that the destination has no place for.
    pub(super) fn require_kept(&self, signatures: &[Signature]) -> Result<(), PlanError> {
        let kept = self.accepts.signatures;
        let refused = signatures.iter().find_map(|it| kept.require(it.kind()).err());
        refused.map_or(Ok(()), |reason| {
            Err(PlanError::Signatures { destination: self.destination.to_string(), reason })
        })
    }
}
