//! Which signatures an image has, what they say, and what the policy of this machine makes of each.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use skopeo_image::{Digest, Manifest, RawManifest, Signature, SignatureKind, Which};
use skopeo_transport::Source;
use skopeo_trust::openpgp;
use skopeo_trust::{BundleClaims, Payload, Policy};

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
    /// Whether the policy accepts it.
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    signatures: Vec<Row>,
}

/// A signature. What it says is called what it is: nobody vouches for it, unless it is accepted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    /// `simple`, `sigstore` or `bundle`.
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
    /// Of bundles: what kind of statement it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_predicate_type: Option<String>,
    /// Why it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// The image, and the instances of a list, each with its signatures.
pub(super) async fn list(
    policy: &Policy,
    source: &dyn Source,
    top: &RawManifest,
) -> Result<Vec<Signed>> {
    let mut all = vec![signed(policy, source, &Which::Top, top, None).await?];
    if let Manifest::Index(list) = top.parse().context("Error parsing manifest for image")? {
        let instances = list.instances();
        if instances.len() > MOST {
            bail!("the list has more than {MOST} images");
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
    let mut signatures = source.signatures(which).await.context("reading signatures")?;
    let bundles = skopeo_transport::bundles(source, &digest).await;
    signatures.extend(bundles.context("reading signatures")?);
    let scope = source.name().policy_scope();
    let judge = |signatures: &[Signature]| {
        policy
            .explain(&scope, manifest, signatures)
            .verdict
            .map_err(|error| sentence(&error.into()))
    };
    let needs_none = judge(&[]).is_ok();
    let row = |signature: &Signature| {
        let verdict = (!needs_none).then(|| judge(std::slice::from_ref(signature)));
        let form = match signature.kind() {
            SignatureKind::Simple => "simple",
            SignatureKind::Sigstore => "sigstore",
            SignatureKind::Bundle => "bundle",
        };
        let mime_type = match signature {
            Signature::Simple(_) => None,
            Signature::Sigstore { mime_type, .. } => Some(mime_type.clone()),
        };
        let accepted = verdict.as_ref().map(Result::is_ok);
        let reason = verdict.and_then(Result::err);
        Row { form, mime_type, says: says(signature, manifest), accepted, reason }
    };
    let verdict = judge(&signatures);
    Ok(Signed {
        digest: digest.to_string(),
        platform,
        accepted: verdict.is_ok(),
        reason: verdict.err(),
        signatures: signatures.iter().map(row).collect(),
    })
}

/// What a signature says.
fn says(signature: &Signature, manifest: &RawManifest) -> Says {
    if let (SignatureKind::Bundle, Signature::Sigstore { payload, .. }) =
        (signature.kind(), signature)
    {
        return bundle_says(payload, manifest);
    }
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
            ..Says::default()
        },
        Err(error) => {
            Says { untrusted_certificate, unreadable: Some(sentence(&error)), ..Says::default() }
        }
    }
}

/// What a bundle says.
fn bundle_says(bundle: &[u8], manifest: &RawManifest) -> Says {
    match BundleClaims::read(bundle, manifest) {
        Ok(claims) => Says {
            untrusted_docker_reference: claims.name,
            untrusted_docker_manifest_digest: claims.digest.map(|it| it.to_string()),
            untrusted_predicate_type: claims.predicate_type,
            untrusted_certificate: claims.certificate,
            untrusted_timestamp: claims.integrated_time.and_then(|it| rfc3339(it).ok()),
            ..Says::default()
        },
        Err(why) => Says { unreadable: Some(why), ..Says::default() },
    }
}
