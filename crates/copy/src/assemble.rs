//! The manifest to write: pure.

use skopeo_image::{
    CompressionEdit, Converted, Edit, ImageManifest, LayerEdit, MediaType, RawManifest, convert,
};

use crate::Error;
use crate::plan::{ImagePlan, Wanted};
use crate::transfer::Moved;

/// The manifest to write, and what goes with it.
#[derive(Debug)]
pub(crate) enum Assembled {
    /// The very bytes of the source, with its config.
    AsItWas(RawManifest),
    /// Another manifest.
    Changed(Converted),
}

/// Whether the config must be known to make a manifest of that type.
pub(crate) fn needs_config(image: &ImageManifest, to: &MediaType) -> bool {
    match image {
        ImageManifest::Schema1(_) => false,
        ImageManifest::Docker(_) => *to != MediaType::DOCKER_MANIFEST,
        ImageManifest::Oci(_) => to.is_schema1(),
    }
}

/// Whether what is in the layers must be hashed to make a manifest of that type.
pub(crate) fn needs_diff_ids(image: &ImageManifest, to: &MediaType) -> bool {
    matches!(image, ImageManifest::Schema1(_)) && !to.is_schema1()
}

/// Makes the manifest of type `to` for what the destination stored.
pub(crate) fn assemble(
    plan: &ImagePlan,
    original: &RawManifest,
    config: Option<&[u8]>,
    layers: &[Moved],
    to: &MediaType,
) -> Result<Assembled, Error> {
    let changed =
        plan.layers.iter().zip(layers).any(|(layer, moved)| layer.blob.digest != moved.digest);
    if *to == plan.from && !changed && !plan.renamed {
        return Ok(Assembled::AsItWas(original.clone()));
    }
    if let Some(frozen) = plan.frozen {
        return Err(Error::MustNotChange(frozen));
    }
    let edits = (changed || needs_diff_ids(&plan.image, to)).then(|| edits(plan, layers));
    let edit = Edit { to: to.clone(), layers: edits, embedded_name: plan.name.clone() };
    Ok(Assembled::Changed(convert(&plan.image, config, &edit)?))
}

fn edits(plan: &ImagePlan, layers: &[Moved]) -> Vec<LayerEdit> {
    plan.layers
        .iter()
        .zip(layers)
        .map(|(layer, moved)| LayerEdit {
            digest: moved.digest.clone(),
            size: moved.size,
            compression: moved.compression.map_or(CompressionEdit::Keep, CompressionEdit::To),
            diff_id: moved.diff_id.clone(),
            // What was said of the bytes before, such as where in them is what, is not so any more.
            annotations: moved.recoded.then(|| moved.annotations.clone()),
            urls: if layer.wanted == Wanted::Elsewhere {
                layer.blob.urls.clone()
            } else {
                Vec::new()
            },
        })
        .collect()
}
