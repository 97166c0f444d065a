//! The manifest to write: pure.

mod declared;
mod index;

use std::collections::BTreeMap;

use skopeo_blob::crypt::ANNOTATIONS;
use skopeo_image::{
    CompressionEdit, Converted, Edit, EncryptionEdit, ImageManifest, LayerEdit, MediaType,
    RawManifest, convert,
};

use crate::item::{Crypted, TransferredBlob};
use crate::plan::{ImagePlan, LayerPlan, Wanted};
use crate::{Error, WriteError};

pub(crate) use declared::layers_as_declared;
pub(crate) use index::{Written, indexes, warn_of_size};

/// What the names of all annotations about the chunks of zstd:chunked begin with.
const CHUNKS: &str = "io.github.containers.zstd-chunked.";

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
    layers: &[TransferredBlob],
    to: &MediaType,
) -> Result<Assembled, Error> {
    let changed = plan.replaced
        || plan
            .layers
            .iter()
            .zip(layers)
            .any(|(layer, transferred)| layer.blob.digest != transferred.digest);
    if *to == plan.from && !changed && !plan.renamed {
        return Ok(Assembled::AsItWas(original.clone()));
    }
    if let Some(frozen) = plan.frozen {
        return Err(Error::Write(WriteError::Frozen(frozen)));
    }
    // What is written anew says how long its layers are, also where the source does not.
    let unsized_layer = plan
        .layers
        .iter()
        .any(|layer| layer.blob.size.is_none() && layer.wanted != Wanted::Elsewhere);
    let must = changed || unsized_layer || needs_diff_ids(&plan.image, to);
    let edits = must.then(|| edits(plan, layers));
    let edit = Edit { to: to.clone(), layers: edits, embedded_name: plan.name.clone() };
    Ok(Assembled::Changed(convert(&plan.image, config, &edit)?))
}

/// The annotations of a layer, if they are not what they were.
fn annotations(
    plan: &ImagePlan,
    layer: &LayerPlan,
    transferred: &TransferredBlob,
) -> Option<BTreeMap<String, String>> {
    if !transferred.recoded && transferred.crypted == Crypted::Keep {
        return plan.replaced.then(|| layer.blob.annotations.clone());
    }
    // What was said of the bytes before, such as where in them is what, is not so any more.
    let mut annotations = if transferred.recoded {
        transferred.annotations.clone()
    } else {
        layer.blob.annotations.clone()
    };
    match &transferred.crypted {
        Crypted::Keep => {}
        Crypted::Encrypted(more) => {
            // Where in the bytes is what, and what it is, is not to be seen any more.
            annotations.retain(|name, _| !name.starts_with(CHUNKS));
            annotations.extend(more.clone());
        }
        Crypted::Decrypted => annotations.retain(|name, _| !name.starts_with(ANNOTATIONS)),
    }
    Some(annotations)
}

fn edits(plan: &ImagePlan, layers: &[TransferredBlob]) -> Vec<LayerEdit> {
    plan.layers
        .iter()
        .zip(layers)
        .map(|(layer, transferred)| LayerEdit {
            digest: transferred.digest.clone(),
            size: transferred.size,
            compression: transferred.compression.map_or(CompressionEdit::Keep, CompressionEdit::To),
            diff_id: transferred.diff_id.clone(),
            encryption: match transferred.crypted {
                Crypted::Keep => EncryptionEdit::Keep,
                Crypted::Encrypted(_) => EncryptionEdit::Encrypted,
                Crypted::Decrypted => EncryptionEdit::Decrypted,
            },
            annotations: annotations(plan, layer, transferred),
            urls: if layer.wanted == Wanted::Elsewhere {
                layer.blob.urls.clone()
            } else {
                Vec::new()
            },
        })
        .collect()
}
