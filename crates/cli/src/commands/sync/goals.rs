//! Where each image goes.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use skopeo_copy::sync::names::{self, Naming, Origin as Named};
use skopeo_transport::{Collection, CollectionKind, ImageName, Options};

use super::source::{Group, Origin};
use crate::go;

/// An image and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) from: ImageName,
    /// What it takes to read it.
    pub(super) options: Arc<Options>,
    pub(super) to: ImageName,
    /// Its place among those of its source, counted from 1.
    pub(super) at: usize,
    /// How many these are.
    pub(super) of: usize,
}

/// Gives every image its name at the destination.
///
/// # Errors
/// If there is none for one of them, or two would have the same.
pub(super) fn name(
    groups: Vec<Group>,
    naming: &Naming,
    kind: CollectionKind,
    collection: &dyn Collection,
) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for group in groups {
        let of = group.images.len();
        for (at, found) in group.images.into_iter().enumerate() {
            let origin = match &found.origin {
                Origin::Reference(reference) => Named::Reference(reference),
                Origin::Label(label) => Named::Label(label),
            };
            let label = naming.label(origin, kind)?;
            let to = collection.name(&label).with_context(|| {
                format!(
                    "Cannot obtain a valid image reference for transport {} and reference {}",
                    go::quote(kind.as_str()),
                    go::quote(&label)
                )
            })?;
            images.push(Image {
                from: found.name,
                options: group.options.clone(),
                to,
                at: at + 1,
                of,
            });
        }
    }
    // Named twice, as by a list of tags and by a filter, is copied once.
    let mut seen = std::collections::HashSet::new();
    images.retain(|image| seen.insert((image.from.clone(), image.to.clone())));
    let pairs = images.iter().map(|image| (image.from.to_string(), image.to.to_string()));
    names::clash(pairs)?;
    Ok(images)
}
