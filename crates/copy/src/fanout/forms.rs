//! Which destinations can be written to together: pure.

use skopeo_image::{Manifest, MediaType, RawManifest};
use skopeo_transport::{Accepts, Destination, LayerForm};

/// Whether two destinations would be written to in the same way.
pub(super) fn are_alike(one: &dyn Destination, other: &dyn Destination) -> bool {
    take_alike(one.accepts(), other.accepts())
        && one.keeps_referrers().is_ok() == other.keeps_referrers().is_ok()
}

/// Whether an image takes the same form in two places.
pub(super) fn take_alike(one: &Accepts, other: &Accepts) -> bool {
    // The name that schema 1 embeds is looked at when there is such a manifest.
    one.manifests == other.manifests
        && one.layers == other.layers
        && one.signatures.is_like(other.signatures)
        && one.foreign_layers == other.foreign_layers
        && one.digest == other.digest
}

/// Whether a layer of an image may stay a list of URLs.
pub(super) fn has_foreign_layers(manifest: &RawManifest) -> bool {
    match manifest.parse() {
        Ok(Manifest::Image(image)) => image.layers().iter().any(|it| !it.blob.urls.is_empty()),
        Ok(Manifest::Index(_)) => false,
        Err(_) => true,
    }
}

/// What both of two places accept and would keep as it is; `None` if they can have no image in
/// common. An image with signatures is refused by it if either place has none.
pub(super) fn common(one: &Accepts, other: &Accepts) -> Option<Accepts> {
    let layers = match (one.layers, other.layers) {
        (one, other) if one == other => one,
        (LayerForm::AsIs, LayerForm::Compressed) | (LayerForm::Compressed, LayerForm::AsIs) => {
            LayerForm::Compressed
        }
        _ => return None,
    };
    let manifests = match (&*one.manifests, &*other.manifests) {
        ([], any) => any.to_vec(),
        (some, []) => some.to_vec(),
        (one, other) => {
            let both: Vec<MediaType> =
                one.iter().filter(|it| other.contains(it)).cloned().collect();
            if both.iter().all(MediaType::is_index) {
                return None;
            }
            both
        }
    };
    (one.digest == other.digest).then(|| Accepts {
        layers,
        manifests,
        // Who wants their bytes sees by the manifest that none came.
        foreign_layers: one.foreign_layers || other.foreign_layers,
        signatures: one.signatures.both(other.signatures),
        concurrency: one.concurrency.min(other.concurrency),
        ..one.clone()
    })
}
