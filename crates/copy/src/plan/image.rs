//! One image.

use std::fmt;

use skopeo_image::{
    Compression, Descriptor, ImageManifest, Manifest, ManifestError, MediaType, Reference,
    Signature,
};
use skopeo_trust::Admitted;

use super::{
    Frozen, FrozenError, LayerPlan, PlanError, Surroundings, crypt, format, frozen, layer,
};
use crate::request::OtherFormats;

/// What is to be done with one image.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// The view of its manifest.
    pub image: ImageManifest,
    /// Its manifest's own type.
    pub from: MediaType,
    /// The types to try for it, best first; at least one.
    pub types: Vec<MediaType>,
    /// Why nothing may change, if nothing may.
    pub frozen: Option<Frozen>,
    /// The name to write into a schema 1 manifest.
    pub name: Option<Reference>,
    /// Whether the manifest has another name in it, and so must change.
    pub renamed: bool,
    /// The config, where the manifest has one.
    pub config: Option<Descriptor>,
    /// The layers, root first.
    pub layers: Vec<LayerPlan>,
    /// Whether these are others than those in the manifest, which must change then.
    pub replaced: bool,
    /// Whether what is in the layers must be hashed.
    pub diff_ids: DiffIds,
    /// If set, layers of another compression are not to be reused.
    pub only: Option<Compression>,
}

/// Whether what is in the layers must be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffIds {
    /// The config to be written names the layers by what is in them, and no config says it yet.
    Needed,
    /// They are in the config, or nowhere.
    NotNeeded,
}

/// Plans one image, with which these signatures are to be copied.
pub(crate) fn plan_image(
    admitted: &Admitted,
    signatures: &[Signature],
    around: Surroundings<'_>,
) -> Result<ImagePlan, PlanError> {
    let Surroundings { top, destination, accepts, request, has_referrers, layers } = around;
    let request = crypt::without_chunks(request)?;
    let request = request.as_ref();
    let manifest = admitted.manifest();
    let Manifest::Image(image) = manifest.parse()? else {
        return Err(PlanError::Manifest(ManifestError::UnknownType(
            manifest.media_type.to_string(),
        )));
    };
    if let Some(digest) = &accepts.digest
        && !manifest.has_digest(digest)?
        && !top.has_digest(digest)?
    {
        return Err(PlanError::Frozen(FrozenError::DestinationDigest));
    }
    around.require_kept(signatures)?;
    let frozen = frozen::frozen(frozen::Subject::Image, signatures.len(), around);
    let name = accepts.embedded_name.as_deref();
    let name = name.and_then(|name| Reference::parse_normalized(name).ok());
    let renamed = name.as_ref().is_some_and(|name| image.embedded_name_conflicts(name));
    if let (Some(frozen), Some(name), true) = (frozen, &name, renamed) {
        return Err(PlanError::Frozen(FrozenError::EmbeddedName {
            destination: destination.to_string(),
            reference: name.to_string(),
            frozen,
        }));
    }
    let named = image.layers();
    let replaced = layers.is_some_and(|layers| {
        layers.len() != named.len()
            || layers.iter().zip(&named).any(|(there, named)| there.digest != named.blob.digest)
    });
    if let (true, Some(frozen)) = (replaced, frozen) {
        return Err(PlanError::Frozen(FrozenError::LayerRepresentation(frozen)));
    }
    let blobs = match layers.filter(|_| replaced) {
        Some(layers) => layers.to_vec(),
        None => named.into_iter().map(|layer| layer.blob).collect(),
    };
    if has_referrers {
        frozen::require_unchanged(manifest, &image, request)?;
    }
    let compression = request.compression.map(|compression| compression.format);
    // Not what the image's view says: that has one type for both kinds of schema 1.
    let from = manifest.media_type.clone();
    let forced = request.format.map(|format| format.image_type());
    let must = format::Must { compression, encryption: crypt::is_needed(&image, request) };
    let types = format::image_types(&from, &accepts.manifests, forced, must, frozen)?;
    if let (ImageManifest::Oci(manifest), false) = (&image, types.contains(&from)) {
        manifest.require_image().map_err(PlanError::Artifact)?;
    }
    let diff_ids = match types.first() {
        Some(to) if from.is_schema1() && !to.is_schema1() => DiffIds::Needed,
        _ => DiffIds::NotNeeded,
    };
    Ok(ImagePlan {
        from,
        types,
        frozen,
        name,
        renamed,
        config: image.config().cloned(),
        layers: layer::layers(&image, blobs, frozen, accepts, request)?,
        replaced,
        diff_ids,
        only: request
            .compression
            .filter(|compression| compression.others == OtherFormats::Refuse)
            .map(|compression| compression.format),
        image,
    })
}

impl ImagePlan {
    /// Whether the first try keeps the type of the manifest, and with it the config.
    pub(crate) fn keeps_type(&self) -> bool {
        self.types.first() == Some(&self.from)
    }
}

impl fmt::Display for ImagePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image {}", self.from)?;
        if let Some(frozen) = self.frozen {
            writeln!(f, "  frozen: {frozen}")?;
        }
        for (at, to) in self.types.iter().enumerate() {
            let verb = if *to == self.from && !self.renamed { "keep" } else { "convert to" };
            writeln!(f, "  {} {verb} {to}", if at == 0 { "first" } else { "then" })?;
        }
        if let (true, Some(name)) = (self.renamed, &self.name) {
            writeln!(f, "  embed {name}")?;
        }
        if let Some(config) = &self.config {
            writeln!(f, "  config {} {}", short(config), config.media_type)?;
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let blob = &layer.blob;
            writeln!(f, "  layer {at} {} {}: {layer}", short(blob), blob.media_type)?;
        }
        if self.diff_ids == DiffIds::Needed {
            writeln!(f, "  hash what is in the layers")?;
        }
        if let Some(only) = self.only {
            writeln!(f, "  reuse only {only}")?;
        }
        Ok(())
    }
}

fn short(blob: &Descriptor) -> &str {
    &blob.digest.hex()[..8]
}
