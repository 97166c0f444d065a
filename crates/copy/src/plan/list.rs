//! A list: all, system, or the index only.

use std::fmt;

use skopeo_image::{Digest, List, Manifest, ManifestError, MediaType, RawManifest};

use super::image::Surroundings;
use super::{Frozen, PlanError, format, frozen};
use crate::request::Lists;

/// What is to be done with a list.
#[derive(Clone, Debug)]
pub struct ListPlan {
    /// The view of its manifest.
    pub list: List,
    /// Its manifest's own type.
    pub from: MediaType,
    /// The types to try for it, best first; at least one.
    pub types: Vec<MediaType>,
    /// Why nothing may change, if nothing may.
    pub frozen: Option<Frozen>,
    /// The instances to copy, in order.
    pub instances: Vec<InstancePlan>,
    /// How many instances the list has.
    pub listed: usize,
}

/// An instance to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePlan {
    /// Its digest at the source.
    pub digest: Digest,
    /// Its declared type: an image, or a list again.
    pub media_type: MediaType,
}

/// The digest of the instance that serves best.
pub(crate) fn choose(
    list: &RawManifest,
    around: Surroundings<'_>,
) -> Result<Digest, ManifestError> {
    parse(list)?.choose(&around.request.platforms)
}

/// Plans a list that has so many signatures to be copied with it.
pub(crate) fn plan_list(
    manifest: &RawManifest,
    signatures: usize,
    around: Surroundings<'_>,
) -> Result<ListPlan, PlanError> {
    let Surroundings { top, destination, accepts, request } = around;
    if !accepts.manifests.is_empty() && !accepts.manifests.iter().any(MediaType::is_list) {
        return Err(PlanError::NoGroups(destination.transport()));
    }
    let list = parse(manifest)?;
    if let (Err(reason), true) = (accepts.signatures, signatures > 0) {
        return Err(PlanError::Signatures { destination: destination.to_string(), reason });
    }
    if let Some(digest) = &accepts.digest
        && !manifest.has_digest(digest)?
        && !top.has_digest(digest)?
    {
        return Err(PlanError::DestinationDigest);
    }
    let frozen = frozen::frozen(frozen::Subject::List, signatures, accepts, request.digests);
    let from = list.media_type();
    let forced = request.format.map(|format| format.list_type());
    let types = format::list_types(&from, &accepts.manifests, forced, frozen)?;
    let all = list.instances();
    let listed = all.len();
    let instances = match request.lists {
        Lists::IndexOnly => Vec::new(),
        Lists::System | Lists::All => all
            .into_iter()
            .map(|instance| InstancePlan {
                digest: instance.descriptor.digest,
                media_type: instance.descriptor.media_type,
            })
            .collect(),
    };
    Ok(ListPlan { list, from, types, frozen, instances, listed })
}

fn parse(manifest: &RawManifest) -> Result<List, ManifestError> {
    match manifest.parse()? {
        Manifest::List(list) => Ok(list),
        Manifest::Image(image) => Err(ManifestError::NotAList(image.media_type().to_string())),
    }
}

impl fmt::Display for ListPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "list {}, {} of {} instances", self.from, self.instances.len(), self.listed)?;
        if let Some(frozen) = self.frozen {
            writeln!(f, "  frozen: {frozen}")?;
        }
        for (at, to) in self.types.iter().enumerate() {
            let verb = if *to == self.from { "keep" } else { "convert to" };
            writeln!(f, "  {} {verb} {to}", if at == 0 { "first" } else { "then" })?;
        }
        for instance in &self.instances {
            writeln!(f, "  instance {} {}", &instance.digest.hex()[..8], instance.media_type)?;
        }
        Ok(())
    }
}
