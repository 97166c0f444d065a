//! Which signatures an image has, what they say, and what the policy of this machine makes of each.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use skopeo_image::{Digest, Manifest, RawManifest, Signature, Which};
use skopeo_transport::Source;
use skopeo_trust::openpgp;
use skopeo_trust::{Payload, Policy};

use super::Inspect;
use crate::commands::signatures::rfc3339;
use crate::exit::sentence;

/// More images than any list has.
const MOST: usize = 1000;

/// A manifest with its signatures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Signed {
    digest: String,
    /// What it is for, if it is an instance of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(flatten)]
    judgement: Judgement,
    signatures: Vec<Row>,
}

/// Whether the policy accepts something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Judgement {
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A signature. What it says is called what it is: nobody vouches for it, unless it is accepted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    /// `simple` or `sigstore`.
    form: &'static str,
    #[serde(rename = "MIMEType", skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(flatten)]
    says: Says,
    /// Whether the policy would accept the image with this signature alone; `null` if it accepts it
    /// without any.
    accepted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Says {
    untrusted_docker_reference: Option<String>,
    untrusted_docker_manifest_digest: Option<String>,
    #[serde(rename = "UntrustedCreatorID")]
    untrusted_creator_id: Option<String>,
    untrusted_timestamp: Option<String>,
    /// Of simple signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_short_key_identifier: Option<String>,
    /// Of sigstore signatures by who is certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_certificate: Option<String>,
    /// Why it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// The image, and the instances of a list, each with its signatures.
pub(super) async fn list(
    inspect: &Inspect<'_>,
    policy: &Policy,
    source: &dyn Source,
    top: &RawManifest,
) -> Result<Vec<Signed>> {
    let mut all = vec![signed(policy, source, &Which::Top, top, None).await?];
    if let Manifest::List(list) = top.parse().context("Error parsing manifest for image")? {
        let instances = list.instances();
        if instances.len() > MOST {
            bail!("more than {MOST} images are in the list");
        }
        for instance in instances.into_iter().filter(|instance| !instance.is_blob()) {
            let digest = instance.descriptor.digest;
            let which = Which::Instance(digest.clone());
            let manifest = source.manifest(&which).await?;
            if !manifest.has_digest(&digest)? {
                bail!("Manifest does not match provided manifest digest {digest}");
            }
            let platform = instance.platform.map(|platform| platform.to_string());
            all.push(signed(policy, source, &which, &manifest, platform).await?);
        }
    }
    Ok(all)
}

async fn signed(
    policy: &Policy,
    source: &dyn Source,
    which: &Which,
    manifest: &RawManifest,
    platform: Option<String>,
) -> Result<Signed> {
    let digest: Digest = match which {
        Which::Instance(digest) => digest.clone(),
        Which::Top => manifest.digest().context("Error computing manifest digest")?,
    };
    let signatures = source.signatures(which).await.context("reading signatures")?;
    let scope = source.name().policy_scope();
    let judge = |signatures: &[Signature]| {
        let admitted = policy.admit(&scope, manifest.clone(), signatures);
        let reason = admitted.err().map(|error| sentence(&error.into()));
        Judgement { accepted: reason.is_none(), reason }
    };
    let needs_none = judge(&[]).accepted;
    let row = |signature: &Signature| {
        let judged = (!needs_none).then(|| judge(std::slice::from_ref(signature)));
        let (form, mime_type) = match signature {
            Signature::Simple(_) => ("simple", None),
            Signature::Sigstore { mime_type, .. } => ("sigstore", Some(mime_type.clone())),
        };
        let accepted = judged.as_ref().map(|judged| judged.accepted);
        let reason = judged.and_then(|judged| judged.reason);
        Row { form, mime_type, says: says(signature), accepted, reason }
    };
    Ok(Signed {
        digest: digest.to_string(),
        platform,
        judgement: judge(&signatures),
        signatures: signatures.iter().map(row).collect(),
    })
}

/// What a signature says.
fn says(signature: &Signature) -> Says {
    let read = || -> Result<(Payload, Option<String>)> {
        Ok(match signature {
            Signature::Simple(bytes) => {
                let message = openpgp::read_unverified(bytes)?;
                (Payload::parse_simple(&message.payload)?, Some(message.key_id))
            }
            Signature::Sigstore { payload, .. } => (Payload::parse_cosign(payload)?, None),
        })
    };
    let untrusted_certificate = match signature {
        Signature::Sigstore { annotations, .. } => {
            annotations.get("dev.sigstore.cosign/certificate").cloned()
        }
        Signature::Simple(_) => None,
    };
    match read() {
        Ok((payload, key)) => Says {
            untrusted_docker_reference: Some(payload.docker_reference),
            untrusted_docker_manifest_digest: Some(payload.digest.to_string()),
            untrusted_creator_id: payload.creator,
            untrusted_timestamp: payload.timestamp.and_then(|time| rfc3339(time).ok()),
            untrusted_short_key_identifier: key,
            untrusted_certificate,
            unreadable: None,
        },
        Err(error) => {
            Says { untrusted_certificate, unreadable: Some(sentence(&error)), ..Says::default() }
        }
    }
}
