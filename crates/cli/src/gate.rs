//! Where the policy is asked about an image that is only read.

use anyhow::{Context as _, Result};
use skopeo_image::{RawManifest, Which};
use skopeo_transport::Source;
use skopeo_trust::Policy;

/// A source, and the policy that judges what is read from it.
pub(crate) struct Gate<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) policy: &'a Policy,
}

impl Gate<'_> {
    /// Asks the policy about the manifest that is at that place of the source.
    ///
    /// # Errors
    /// If the policy refuses it, or its signatures cannot be read.
    pub(crate) async fn admit(&self, manifest: &RawManifest, which: &Which) -> Result<()> {
        let scope = self.source.name().policy_scope();
        let signatures = if self.policy.accepts_unsigned(&scope) {
            Vec::new()
        } else {
            skopeo_copy::read_signatures(self.source, self.policy, manifest, which)
                .await
                .context("reading signatures")?
        };
        self.policy
            .admit(&scope, manifest.clone(), &signatures)
            .map(drop)
            .context("Source image rejected")
    }
}
