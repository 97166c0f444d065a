//! Whether one signature meets one requirement, by the keys that the machine has.

use std::sync::Arc;

use skopeo_image::{PolicyScope, RawManifest};

use super::{Bundles, Policy, SignedBy, SigstoreSigned};
use crate::sigstore::{self, Attached, TrustRoot};
use crate::{SignatureError, signed_by};

impl Policy {
    /// Returns an error if a simple signature does not meet a requirement.
    pub(crate) fn judge_simple(
        &self,
        requirement: &SignedBy,
        scope: &PolicyScope,
        manifest: &RawManifest,
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        signed_by::check_key_type(requirement)?;
        let machine = &*self.machine;
        let read = || signed_by::keyring(&requirement.keys, machine);
        let keyring = self.keyrings.or_make(&requirement.keys, read)?;
        signed_by::judge(requirement, &keyring, machine.now(), scope, manifest, signature)
    }

    /// Returns an error if a sigstore signature does not meet a requirement.
    pub(crate) fn judge_sigstore(
        &self,
        requirement: &SigstoreSigned,
        scope: &PolicyScope,
        manifest: &RawManifest,
        attached: Attached<'_>,
    ) -> Result<(), SignatureError> {
        let root = self.root(requirement)?;
        sigstore::judge(requirement, &root, self.machine.now(), scope, manifest, attached)
    }

    /// Returns an error if a bundle does not meet a requirement.
    pub(crate) fn judge_bundle(
        &self,
        requirement: &SigstoreSigned,
        bundles: &Bundles,
        scope: &PolicyScope,
        manifest: &RawManifest,
        bytes: &[u8],
    ) -> Result<(), SignatureError> {
        let root = self.root(requirement)?;
        let asked = sigstore::AskedBundle { requirement, bundles, scope, manifest };
        sigstore::judge_bundle(&asked, &root, self.machine.now(), bytes)
    }

    /// Whom a requirement trusts. The files are read once for all images of a run.
    fn root(&self, requirement: &SigstoreSigned) -> Result<Arc<TrustRoot>, SignatureError> {
        self.roots.or_make(requirement, || TrustRoot::read(requirement, &*self.machine))
    }
}
