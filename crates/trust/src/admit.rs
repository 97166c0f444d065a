//! From a manifest that was received to one that may be used.

use skopeo_image::{PolicyScope, RawManifest, Signature, is_bundle_type};
use tracing::debug;

use crate::policy::Section;
use crate::requirement::{Bundles, Requirement};
use crate::sigstore::{self, Attached};
use crate::{MAX_SIGNATURES, Policy, Rejected, SignatureError};

/// A manifest that the policy accepts.
///
/// Only [`Policy::admit`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    manifest: RawManifest,
}

impl Admitted {
    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// Returns the manifest, taken out.
    #[must_use]
    pub fn into_manifest(self) -> RawManifest {
        self.manifest
    }
}

/// A decision, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Where policy.json speaks of the name.
    pub section: Section,
    /// The requirements there that were looked at, by their types in policy.json, and whether they
    /// are met.
    pub requirements: Vec<(&'static str, Result<(), Rejected>)>,
    /// Whether the image may be used.
    pub verdict: Result<(), Rejected>,
}

impl Policy {
    /// Decides whether a manifest may be used under the name the user gave.
    ///
    /// All requirements of the most specific scope have to be met.
    ///
    /// # Errors
    ///
    /// The first requirement that is not met.
    pub fn admit(
        &self,
        scope: &PolicyScope,
        manifest: RawManifest,
        signatures: &[Signature],
    ) -> Result<Admitted, Rejected> {
        let Judgement { verdict, .. } = self.explain(scope, &manifest, signatures);
        verdict.map(|()| Admitted { manifest })
    }

    /// Says what [`Self::admit`] would say, and why. Requirements behind the first that is not met
    /// are not looked at.
    #[must_use]
    pub fn explain(
        &self,
        scope: &PolicyScope,
        manifest: &RawManifest,
        signatures: &[Signature],
    ) -> Judgement {
        let (section, requirements) = self.section(scope);
        debug!(
            "{} signatures and {} requirements for {}:{}",
            signatures.len(),
            requirements.len(),
            scope.transport,
            scope.identity
        );
        let mut judgement = Judgement { section, requirements: Vec::new(), verdict: Ok(()) };
        for (number, requirement) in requirements.iter().enumerate() {
            let name = requirement.type_name();
            let met = self.judge(requirement, scope, manifest, signatures);
            match &met {
                Ok(()) => debug!("requirement {number} ({name}): met"),
                Err(reason) => debug!("requirement {number} ({name}): not met: {reason}"),
            }
            judgement.requirements.push((name, met.clone()));
            if met.is_err() {
                judgement.verdict = met;
                return judgement;
            }
        }
        if requirements.is_empty() {
            judgement.verdict = Err(Rejected::NoRequirements);
        } else if self.signatures_required()
            && !requirements.iter().any(Requirement::verifies_signatures)
        {
            let name = format!("{}:{}", scope.transport, scope.identity);
            judgement.verdict = Err(Rejected::NoVerification(name));
        }
        judgement
    }

    fn judge(
        &self,
        requirement: &Requirement,
        scope: &PolicyScope,
        manifest: &RawManifest,
        signatures: &[Signature],
    ) -> Result<(), Rejected> {
        match requirement {
            Requirement::InsecureAcceptAnything => Ok(()),
            Requirement::Reject => Err(Rejected::ByPolicy(scope.name.clone())),
            Requirement::SignedBaseLayer { .. } => Err(Rejected::SignedBaseLayer),
            Requirement::SignedBy(requirement) => {
                let simple = signatures.iter().filter_map(|it| match it {
                    Signature::Simple(bytes) => Some(bytes),
                    Signature::Sigstore { .. } => None,
                });
                match any_accepted(simple, |it| {
                    self.judge_simple(requirement, scope, manifest, it)
                })? {
                    Judged::Good => Ok(()),
                    Judged::None => Err(Rejected::Unsigned),
                }
            }
            Requirement::SigstoreSigned(requirement) => {
                let (mut others, mut attachments) = (0_usize, 0_usize);
                let mut found = Vec::new();
                for signature in signatures {
                    match signature {
                        Signature::Sigstore { mime_type, payload, annotations }
                            if mime_type == sigstore::PAYLOAD_TYPE =>
                        {
                            found.push(Candidate::Attached(Attached { payload, annotations }));
                        }
                        Signature::Sigstore { mime_type, payload, .. }
                            if is_bundle_type(mime_type)
                                && let Some(bundles) = &requirement.bundles =>
                        {
                            found.push(Candidate::Bundle(bundles, payload));
                        }
                        Signature::Sigstore { .. } => attachments = attachments.saturating_add(1),
                        Signature::Simple(_) => others = others.saturating_add(1),
                    }
                }
                let judge = |it| match it {
                    Candidate::Attached(it) => {
                        self.judge_sigstore(requirement, scope, manifest, it)
                    }
                    Candidate::Bundle(rule, it) => {
                        self.judge_bundle(requirement, rule, scope, manifest, it)
                    }
                };
                match any_accepted(found.into_iter(), judge)? {
                    Judged::Good => Ok(()),
                    Judged::None if others == 0 && attachments == 0 => Err(Rejected::Unsigned),
                    Judged::None => Err(Rejected::OtherSignatures { simple: others, attachments }),
                }
            }
        }
    }
}

/// A signature of sigstore that a requirement may be met by.
#[derive(Clone, Copy)]
enum Candidate<'a> {
    Attached(Attached<'a>),
    Bundle(&'a Bundles, &'a [u8]),
}

/// What came of judging signatures, if not all of them were bad.
enum Judged {
    Good,
    None,
}

/// Looks for a signature that is good: one is enough.
///
/// # Errors
/// There are signatures, and none is good.
fn any_accepted<T>(
    signatures: impl Iterator<Item = T> + Clone,
    judge: impl Fn(T) -> Result<(), SignatureError>,
) -> Result<Judged, Rejected> {
    let count = signatures.clone().count();
    if count > MAX_SIGNATURES {
        return Err(Rejected::TooManySignatures(count));
    }
    let mut reasons = Vec::new();
    for (number, signature) in signatures.enumerate() {
        match judge(signature) {
            Ok(()) => {
                debug!("signature {number}: accepted");
                return Ok(Judged::Good);
            }
            Err(reason) => {
                debug!("signature {number}: {reason}");
                reasons.push(reason);
            }
        }
    }
    match (reasons.pop(), reasons.is_empty()) {
        (None, _) => Ok(Judged::None),
        (Some(reason), true) => Err(Rejected::Signature(reason)),
        (Some(last), false) => {
            reasons.push(last);
            Err(Rejected::Signatures(reasons))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
    const REJECT: &str = r#"{"type":"reject"}"#;
    const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#;
    const BASE: &str =
        r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchRepository"}}"#;

    fn policy(default: &str) -> Policy {
        let text = format!(r#"{{"default":[{default}]}}"#);
        Policy::parse(text.as_bytes(), "p.json").unwrap()
    }

    fn manifest() -> RawManifest {
        RawManifest::new(None, Bytes::from_static(b"{}"))
    }

    fn scope() -> PolicyScope {
        PolicyScope {
            name: "docker://busybox:latest".to_owned(),
            transport: "docker",
            identity: "docker.io/library/busybox:latest".to_owned(),
            namespaces: vec!["docker.io/library/busybox".to_owned()],
            reference: Some("docker.io/library/busybox:latest".to_owned()),
        }
    }

    fn outcome(policy: &Policy, scope: &PolicyScope) -> String {
        let signature = Signature::Simple(Bytes::from_static(b"whatever"));
        match policy.admit(scope, manifest(), &[signature]) {
            Ok(admitted) => {
                assert_eq!(*admitted.manifest(), manifest());
                "ok".to_owned()
            }
            Err(rejected) => rejected.to_string(),
        }
    }

    #[test]
    fn every_requirement_has_to_be_met() {
        let rejected = "Running image docker://busybox:latest is rejected by policy.";
        let signed = "open /k: no files are available here";
        for (requirements, expected) in [
            (ACCEPT.to_owned(), "ok"),
            (format!("{ACCEPT},{ACCEPT}"), "ok"),
            (REJECT.to_owned(), rejected),
            (format!("{ACCEPT},{REJECT}"), rejected),
            (format!("{REJECT},{ACCEPT}"), rejected),
            (SIGNED.to_owned(), signed),
            (format!("{ACCEPT},{SIGNED}"), signed), // never ignored beside one that accepts
            (format!("{REJECT},{SIGNED}"), rejected), // the first that fails is told
            (BASE.to_owned(), "signedBaseLayer not implemented yet!"),
        ] {
            assert_eq!(outcome(&policy(&requirements), &scope()), expected, "{requirements}");
        }
    }

    #[test]
    fn accepting_anything_is_no_signature() {
        for (policy, expected) in [
            (policy(ACCEPT).require_signed(), ""),
            (Policy::insecure().require_signed(), ""),
            (policy(REJECT).require_signed(), "Running image"),
        ] {
            let expected = if expected.is_empty() {
                "No signature verification policy found for image \
                 docker:docker.io/library/busybox:latest"
            } else {
                "Running image docker://busybox:latest is rejected by policy."
            };
            assert_eq!(outcome(&policy, &scope()), expected);
        }
        assert_eq!(outcome(&Policy::insecure(), &scope()), "ok");
    }
}
