//! One image, where from, where to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use skopeo_copy::Request;
use skopeo_image::go::quote;
use skopeo_transport::{Collection, CollectionKind, ImageName, Options, join};

use crate::destination::Target;
use crate::found::Group;
use crate::transports::Transports;
use crate::{Context as _, Error, Result, naming};

/// The number of a task, from 0, in the order of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(usize);

impl TaskId {
    /// The number of the task that so many come before.
    pub(crate) fn nth(before: usize) -> Self {
        Self(before)
    }

    /// Returns the number.
    #[must_use]
    pub fn number(self) -> usize {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One image, where from, where to.
#[derive(Clone, Debug)]
pub struct SyncTask {
    pub(crate) id: TaskId,
    pub(crate) from: ImageName,
    /// What it takes to read it.
    pub(crate) options: Arc<Options>,
    pub(crate) to: ImageName,
    /// Where that is.
    pub(crate) place: Target,
    pub(crate) collection: Arc<dyn Collection>,
    pub(crate) request: Arc<Request>,
    /// Its place among those of its source, counted from 1.
    pub(crate) at: usize,
    /// How many these are.
    pub(crate) of: usize,
    /// Whether it is known to be there without asking.
    pub(crate) unchanged: bool,
}

impl SyncTask {
    /// Returns its number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns where the image is.
    #[must_use]
    pub fn source(&self) -> &ImageName {
        &self.from
    }

    /// Returns where it goes.
    #[must_use]
    pub fn destination(&self) -> &ImageName {
        &self.to
    }

    /// Returns the collection of images that it goes to.
    #[must_use]
    pub fn place(&self) -> &Target {
        &self.place
    }

    /// Whether it is the same image on its way to another place: what both need is read once.
    pub(crate) fn is_read_with(&self, other: &Self) -> bool {
        self.from == other.from
            && Arc::ptr_eq(&self.options, &other.options)
            && Arc::ptr_eq(&self.request, &other.request)
            && self.unchanged == other.unchanged
    }
}

/// Gives all tasks their numbers, in their order.
pub(crate) fn number(tasks: &mut [SyncTask]) {
    for (at, task) in tasks.iter_mut().enumerate() {
        task.id = TaskId::nth(at);
    }
}

/// The places of a run, each opened once.
#[derive(Debug)]
pub(crate) struct Targets(Vec<OpenTarget>);

/// A place, what it takes to write to it, and the way in.
pub(crate) type OpenTarget = (Target, Options, Arc<dyn Collection>);

impl Targets {
    /// Targets that are open.
    #[cfg(test)]
    pub(crate) fn opened(places: Vec<OpenTarget>) -> Self {
        Self(places)
    }

    /// Opens all these places.
    ///
    /// # Errors
    /// If nothing can be written to one of them.
    pub(crate) async fn open(
        all: impl Iterator<Item = &Target>,
        options: impl Fn(&Target) -> Options,
        transports: &dyn Transports,
    ) -> Result<Self> {
        let mut places: Vec<OpenTarget> = Vec::new();
        for place in all {
            if places.iter().all(|(known, ..)| !is_same(known, place)) {
                let options = options(place);
                let opened = Arc::from(transports.collection(place, &options).await?);
                places.push((place.clone(), options, opened));
            }
        }
        Ok(Self(places))
    }

    /// Gives every image its name at each of its destinations.
    ///
    /// # Errors
    /// If one of them can have no name, or two would have the same.
    pub(crate) fn name(&self, groups: Vec<Group>) -> Result<Vec<SyncTask>> {
        let mut images: Vec<SyncTask> = Vec::new();
        for group in groups {
            let of = group.images.len();
            for (at, found) in group.images.into_iter().enumerate() {
                for target in &group.spec.targets {
                    let kind = target.place.kind;
                    let label = target.naming.label(found.origin.named(), kind)?;
                    let collection = self.get(&target.place);
                    let to = collection.name(&label).with_context(|| {
                        format!(
                            "Cannot obtain a valid image reference for transport {} and reference {}",
                            quote(kind.as_str()),
                            quote(&target.place.reference(&label))
                        )
                    })?;
                    images.push(SyncTask {
                        id: TaskId::default(),
                        from: found.name.clone(),
                        options: group.options.clone(),
                        to,
                        place: target.place.clone(),
                        collection: collection.clone(),
                        request: group.spec.request.clone(),
                        at: at.saturating_add(1),
                        of,
                        unchanged: false,
                    });
                }
            }
        }
        // Named twice, as by a list of tags and by a filter, is copied once.
        let mut seen = HashSet::new();
        images.retain(|image| seen.insert((image.from.clone(), image.to.clone())));
        require_apart(&images)?;
        number(&mut images);
        Ok(images)
    }

    /// Ends the writing to all of them; one that cannot be ended keeps none of the others from it.
    /// Gives those, and why.
    pub(crate) async fn finish(&self) -> Vec<(&Target, Error)> {
        let mut unfinished = Vec::new();
        for (place, _, collection) in &self.0 {
            if let Err(failure) = collection.finish().await {
                unfinished.push((place, failure.into()));
            }
        }
        unfinished
    }

    /// All of them, to be asked and written to.
    pub(crate) fn collections(&self) -> Vec<(&Target, &Arc<dyn Collection>)> {
        self.0.iter().map(|(place, _, collection)| (place, collection)).collect()
    }

    /// Where one is among all; nothing if no image goes there.
    pub(crate) fn number(&self, place: &Target) -> Option<usize> {
        self.0.iter().position(|(known, ..)| is_same(known, place))
    }

    /// One of those that were opened.
    pub(crate) fn get(&self, place: &Target) -> &Arc<dyn Collection> {
        &self.find(place).expect("all places of all images were opened").2
    }

    /// Whether it was opened, and what it takes to write to it.
    pub(crate) fn options(&self, place: &Target) -> Option<&Options> {
        self.find(place).map(|(_, options, _)| options)
    }

    /// All of them, with what it takes to write there.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Target, &Options)> {
        self.0.iter().map(|(place, options, _)| (place, options))
    }

    fn find(&self, place: &Target) -> Option<&OpenTarget> {
        self.0.iter().find(|(known, ..)| is_same(known, place))
    }
}

/// Refuses images that would be in each other's way.
///
/// # Errors
/// If two have the same name, or one is in the folder of another.
pub(crate) fn require_apart(images: &[SyncTask]) -> Result<()> {
    let pairs = images.iter().map(|image| (image.from.to_string(), image.to.to_string()));
    naming::clash(pairs)?;
    let folders = images.iter().filter(|image| image.to.transport() == "dir");
    let folders = folders.map(|image| (image.from.to_string(), image.to.to_string()));
    naming::nested(&folders.collect::<Vec<_>>())?;
    Ok(())
}

/// Whether two places are one, however they are written: an archive must not be written by two.
pub(crate) fn is_same(one: &Target, other: &Target) -> bool {
    let whole = |place: &Target| match place.kind {
        CollectionKind::Docker => join(&place.place, ""),
        _ => {
            let absolute = std::path::absolute(&place.place).unwrap_or_default();
            join(&absolute.to_string_lossy(), "")
        }
    };
    one == other || one.kind == other.kind && whole(one) == whole(other)
}
