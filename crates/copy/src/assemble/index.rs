//! The manifests of an index: pure.

use std::collections::HashSet;

use skopeo_image::number::wide;
use skopeo_image::{
    Compression, Descriptor, Digest, InstanceAddition, InstanceEdit, Platform, RawManifest,
};
use tracing::warn;

use crate::plan::IndexPlan;
use crate::{Error, WriteError};

/// What is at the destination now.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) manifest: RawManifest,
    pub(crate) digest: Digest,
    /// How the layers are packed, as far as it is known.
    pub(crate) compressions: Vec<Compression>,
}

/// The manifests to try for an index, best first. Where nothing changed, the first is the very index
/// of the source.
///
/// `host` is what instances without a platform are said to be for where an index must say.
pub(crate) fn indexes(
    plan: &IndexPlan,
    manifest: &RawManifest,
    written: &[(usize, Written)],
    host: &Platform,
) -> Result<Vec<RawManifest>, Error> {
    let copied: HashSet<&Digest> = written
        .iter()
        .filter(|(at, _)| plan.instances.get(*at).is_some_and(|it| it.variant.is_none()))
        .map(|(_, written)| &written.digest)
        .collect();
    let mut edits = Vec::new();
    let mut additions = Vec::new();
    for (at, written) in written {
        let Some(instance) = plan.instances.get(*at) else { continue };
        let old = instance.digest.clone();
        let digest = written.digest.clone();
        let size = wide(written.manifest.bytes.len());
        let media_type = written.manifest.media_type.clone();
        let compressions = written.compressions.clone();
        if instance.variant.is_none() {
            edits.push(InstanceEdit { old, digest, size, media_type, compressions });
        } else if !copied.contains(&digest) {
            let like = old;
            additions.push(InstanceAddition { like, digest, size, media_type, compressions });
        }
    }
    let replaced = edits.iter().any(|edit| edit.old != edit.digest);
    let changed = replaced || plan.kept.is_some() || !additions.is_empty();
    if let (true, Some(frozen)) = (changed, plan.frozen) {
        return Err(Error::Write(WriteError::IndexFrozen(frozen)));
    }
    plan.types
        .iter()
        .map(|to| {
            if *to == plan.from && !changed {
                return Ok(manifest.clone());
            }
            let mut index = plan.index.clone();
            if let Some(kept) = &plan.kept {
                index.retain(kept);
            }
            let mut index =
                index.convert(to, host).map_err(|it| Error::Write(WriteError::EditIndex(it)))?;
            if changed {
                // Additions are like what is there under its old digest.
                index.add(&additions).map_err(|it| Error::Write(WriteError::EditIndex(it)))?;
                index.replace(&edits).map_err(|it| Error::Write(WriteError::EditIndex(it)))?;
            }
            Ok(index.encode())
        })
        .collect()
}

/// Says that an index is wrong about the length of an image in it: strict readers refuse that. Its
/// bytes stay, as its digest is what others know it by.
pub(crate) fn warn_of_size(declared: &Descriptor, written: &Written) {
    let size = wide(written.manifest.bytes.len());
    if let Some(said) = declared.size
        && written.digest == declared.digest
        && said != size
    {
        warn!("the index says that {} has {said} bytes, and it has {size}", declared.digest);
    }
}
