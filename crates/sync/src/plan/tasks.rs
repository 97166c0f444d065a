//! The images of a plan as those of a run.

use std::sync::Arc;

use skopeo_copy::Request;
use skopeo_transport::{ImageName, Options};

use super::access::{Access, lists_of_text};
use super::deletions::Deletions;
use super::file::PlanFile;
use crate::destination::Target;
use crate::sources::check_sources;
use crate::task::{SyncTask, Targets, TaskId, number, require_apart};
use crate::{Error, Result, within};

impl PlanFile {
    /// What the plan deletes.
    ///
    /// # Errors
    /// If that is also what it writes.
    pub(crate) fn deletions(&self, images: &[SyncTask]) -> Result<Deletions> {
        Deletions::new(self.deletions.clone(), images)
    }

    /// The places of the plan.
    ///
    /// # Errors
    /// If one is not a valid platform.
    pub(crate) fn places(&self) -> Result<Vec<Target>> {
        Ok(self.plan.places.iter().map(|it| it.place.parse()).collect::<Result<_, _>>()?)
    }

    /// What it takes to write to a place.
    pub(crate) fn reaching(&self, options: &Options, place: &Target) -> Options {
        let place = place.to_string();
        let found = self.plan.places.iter().find(|it| it.place == place);
        found.map_or_else(|| options.clone(), |it| it.access.over(options))
    }

    /// The images of the plan, each to be what it was unless they may have `moved`.
    ///
    /// # Errors
    /// If a name is not valid, or two images have the same.
    pub(crate) fn tasks(
        &self,
        options: &Arc<Options>,
        request: &Request,
        places: &Targets,
        moved: bool,
    ) -> Result<Vec<SyncTask>> {
        let of = self.images.len();
        let mut images: Vec<SyncTask> = Vec::with_capacity(of);
        for (at, planned) in self.images.iter().enumerate() {
            let place: Target = planned.place.parse()?;
            if places.options(&place).is_none() {
                return Err(Error::refused(format!(
                    "{place} is not one of the places of the plan"
                )));
            }
            let from = ImageName::parse(&planned.source)?;
            let Some(to) = within::name(&place, &**places.get(&place), &planned.destination) else {
                let to = &planned.destination;
                let to = to.escape_debug();
                return Err(Error::refused(format!(
                    "{to} is not in {place}, where the plan says that it is"
                )));
            };
            // An image on its way to several places is read once.
            let before = at.checked_sub(1).and_then(|at| self.images.get(at)).zip(images.last());
            let (options, request) = match before {
                Some((before, image)) if before.is_read_with(planned) => {
                    (image.options.clone(), image.request.clone())
                }
                _ => {
                    let options = match planned.access == Access::default() {
                        true => options.clone(),
                        false => Arc::new(planned.access.over(options)),
                    };
                    let expected = planned.source_digest.clone().filter(|_| !moved);
                    let lists = lists_of_text(&planned.lists)?;
                    let mut request = request.clone();
                    (request.expected, request.lists) = (expected, lists);
                    (options, Arc::new(request))
                }
            };
            images.push(SyncTask {
                id: TaskId::default(),
                from,
                options,
                to,
                collection: places.get(&place).clone(),
                place,
                request,
                at: at.saturating_add(1),
                of,
                unchanged: false,
            });
        }
        check_sources(images.iter().map(|image| &image.from), options)?;
        require_apart(&images)?;
        number(&mut images);
        Ok(images)
    }
}
