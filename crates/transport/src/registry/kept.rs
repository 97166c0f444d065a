//! Signatures that a registry keeps itself, as OpenShift's does, in place of lookaside storage.

use skopeo_image::{Digest, Signature, SignatureKind};
use skopeo_registry::{KeptSignature, Repository};

use crate::Error;
use crate::signature_file::Gathered;

/// The signatures of a manifest.
pub(super) async fn read(
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Signature>, Error> {
    let mut gathered = Gathered::default();
    for kept in repository.kept_signatures(digest).await? {
        let size = kept.content.len();
        gathered.add(Signature::Simple(kept.content), size)?;
    }
    Ok(gathered.all())
}

/// Adds signatures to those that are there.
pub(super) async fn write(
    repository: &Repository,
    digest: &Digest,
    signatures: &[Signature],
) -> Result<(), Error> {
    let simple: Vec<_> = signatures
        .iter()
        .filter(|it| it.kind() == SignatureKind::Simple)
        .filter_map(|it| match it {
            Signature::Simple(content) => Some(content),
            Signature::Sigstore { .. } => None,
        })
        .collect();
    if simple.is_empty() {
        return Ok(());
    }
    let mut there = repository.kept_signatures(digest).await?;
    for content in simple {
        if there.iter().any(|it| it.content == *content) {
            continue;
        }
        let name = loop {
            let name = format!("{digest}@{:032x}", fastrand::u128(..));
            if there.iter().all(|it| it.name != name) {
                break name;
            }
        };
        let signature = KeptSignature { name, content: content.clone() };
        repository.keep_signature(digest, &signature).await?;
        there.push(signature);
    }
    Ok(())
}
