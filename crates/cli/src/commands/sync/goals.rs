//! Where each image goes.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use skopeo_copy::Request;
use skopeo_sync::destination::{Goal, Place};
use skopeo_sync::naming;
use skopeo_transport::{Collection, CollectionKind, ImageName, Options, join};

use super::source::Group;
use crate::go;

/// What is asked of the images of a source, besides where they come from.
#[derive(Debug)]
pub(super) struct Aim {
    /// Where they go, and under which names.
    pub(super) goals: Vec<Goal>,
    /// What is asked of each copy.
    pub(super) request: Arc<Request>,
}

/// An image and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) from: ImageName,
    /// What it takes to read it.
    pub(super) options: Arc<Options>,
    pub(super) to: ImageName,
    /// Where that is.
    pub(super) place: Place,
    pub(super) collection: Arc<dyn Collection>,
    pub(super) request: Arc<Request>,
    /// Its place among those of its source, counted from 1.
    pub(super) at: usize,
    /// How many these are.
    pub(super) of: usize,
    /// Whether it is known to be there without asking.
    pub(super) settled: bool,
}

impl Image {
    /// Whether it is the same image on its way to another place: what both need is read once.
    pub(super) fn is_read_with(&self, other: &Self) -> bool {
        self.from == other.from
            && Arc::ptr_eq(&self.options, &other.options)
            && Arc::ptr_eq(&self.request, &other.request)
            && self.settled == other.settled
    }
}

/// The places of a run, each opened once.
#[derive(Debug)]
pub(super) struct Places(Vec<Opened>);

/// A place, what it takes to write to it, and the way in.
type Opened = (Place, Options, Arc<dyn Collection>);

impl Places {
    /// Opens all these places.
    ///
    /// # Errors
    /// If nothing can be written to one of them.
    pub(super) async fn open(
        all: impl Iterator<Item = &Place>,
        options: impl Fn(&Place) -> Options,
    ) -> Result<Self> {
        let mut places: Vec<Opened> = Vec::new();
        for place in all {
            if places.iter().all(|(known, ..)| !is_same(known, place)) {
                let options = options(place);
                let opened = skopeo_transport::collection(place.kind, &place.place, &options);
                let opened = Arc::from(opened.await?);
                places.push((place.clone(), options, opened));
            }
        }
        Ok(Self(places))
    }

    /// Gives every image its name at each of its destinations.
    ///
    /// # Errors
    /// If there is none for one of them, or two would have the same.
    pub(super) fn name(&self, groups: Vec<Group>) -> Result<Vec<Image>> {
        let mut images: Vec<Image> = Vec::new();
        for group in groups {
            let of = group.images.len();
            for (at, found) in group.images.into_iter().enumerate() {
                for goal in &group.aim.goals {
                    let kind = goal.place.kind;
                    let label = goal.naming.label(found.origin.named(), kind)?;
                    let collection = self.get(&goal.place);
                    let to = collection.name(&label).with_context(|| {
                        format!(
                            "Cannot obtain a valid image reference for transport {} and reference {}",
                            go::quote(kind.as_str()),
                            go::quote(&goal.place.reference(&label))
                        )
                    })?;
                    images.push(Image {
                        from: found.name.clone(),
                        options: group.options.clone(),
                        to,
                        place: goal.place.clone(),
                        collection: collection.clone(),
                        request: group.aim.request.clone(),
                        at: at + 1,
                        of,
                        settled: false,
                    });
                }
            }
        }
        // Named twice, as by a list of tags and by a filter, is copied once.
        let mut seen = HashSet::new();
        images.retain(|image| seen.insert((image.from.clone(), image.to.clone())));
        require_apart(&images)?;
        Ok(images)
    }

    /// Ends the writing to all of them; one that cannot be ended keeps none of the others from it.
    /// Gives those, and why.
    pub(super) async fn finish(&self) -> Vec<(&Place, anyhow::Error)> {
        let mut unfinished = Vec::new();
        for (place, _, collection) in &self.0 {
            if let Err(failure) = collection.finish().await {
                unfinished.push((place, failure.into()));
            }
        }
        unfinished
    }

    /// All of them, to be asked and written to.
    pub(super) fn collections(&self) -> Vec<(&Place, &Arc<dyn Collection>)> {
        self.0.iter().map(|(place, _, collection)| (place, collection)).collect()
    }

    /// Where one is among all; nothing if no image goes there.
    pub(super) fn number(&self, place: &Place) -> Option<usize> {
        self.0.iter().position(|(known, ..)| is_same(known, place))
    }

    /// One of those that were opened.
    pub(super) fn get(&self, place: &Place) -> &Arc<dyn Collection> {
        &self.find(place).expect("all places of all images were opened").2
    }

    /// Whether it was opened, and what it takes to write to it.
    pub(super) fn options(&self, place: &Place) -> Option<&Options> {
        self.find(place).map(|(_, options, _)| options)
    }

    /// All of them, with what it takes to write there.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, &Options)> {
        self.0.iter().map(|(place, options, _)| (place, options))
    }

    fn find(&self, place: &Place) -> Option<&Opened> {
        self.0.iter().find(|(known, ..)| is_same(known, place))
    }
}

/// Refuses images that would be in each other's way.
///
/// # Errors
/// If two have the same name, or one is in the folder of another.
pub(super) fn require_apart(images: &[Image]) -> Result<()> {
    let pairs = images.iter().map(|image| (image.from.to_string(), image.to.to_string()));
    naming::clash(pairs)?;
    let folders = images.iter().filter(|image| image.to.transport() == "dir");
    let folders = folders.map(|image| (image.from.to_string(), image.to.to_string()));
    naming::nested(&folders.collect::<Vec<_>>())?;
    Ok(())
}

/// Whether two places are one, however they are written: an archive must not be written by two.
pub(super) fn is_same(one: &Place, other: &Place) -> bool {
    let whole = |place: &Place| match place.kind {
        CollectionKind::Docker => join(&place.place, ""),
        _ => {
            let absolute = std::path::absolute(&place.place).unwrap_or_default();
            join(&absolute.to_string_lossy(), "")
        }
    };
    one == other || one.kind == other.kind && whole(one) == whole(other)
}
