//! Who watches a run.

use std::error::Error as StdError;

use skopeo_copy::{Copied, Event};
use skopeo_image::ErrorClass;

use crate::Error;
use crate::destination::Target;
use crate::plan::Estimate;
use crate::report::{Deletion, Entry};
use crate::select::Chosen;
use crate::task::{SyncTask, TaskId};

/// What happens in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum SyncEvent<'a> {
    /// Of the tags of a repository these are wanted, and those are not.
    Chosen {
        /// The repository, by its whole name.
        repository: &'a str,
        /// Its tags.
        chosen: &'a Chosen,
    },
    /// These are all images of the run. Nothing is copied yet.
    Found(&'a [SyncTask]),
    /// From now on images are copied.
    Copying,
    /// An image is left out: its tag never moves, and is at the destination.
    Skipped(&'a SyncTask),
    /// An image is tried, perhaps once more.
    Attempt {
        /// The first of those that are read at once with it.
        group: TaskId,
        /// The image.
        task: &'a SyncTask,
    },
    /// An attempt has ended: for each image with what was copied, or `None` where it failed.
    Attempted {
        /// The first of those that are read at once.
        group: TaskId,
        /// Those of them that were tried.
        ends: &'a [(&'a SyncTask, Option<&'a Copied>)],
    },
    /// Images that are read at once are on their way no more.
    Ended {
        /// The first of them.
        group: TaskId,
    },
    /// This has come of an image.
    Done {
        /// The image.
        task: TaskId,
        /// What has come of it.
        entry: &'a Entry,
    },
    /// No image is copied any more; archives get their names now.
    Copied,
    /// A place has its name, and what was copied to it can be seen.
    Published(&'a Target),
    /// An image that was done has failed in the end, as its place has no name.
    Lost {
        /// The image.
        task: TaskId,
        /// What has come of it.
        entry: &'a Entry,
    },
    /// All places have their names, as far as they get any.
    Finished,
    /// What a dry run has found out.
    Estimated(&'a Estimate),
    /// An image that nobody wants any more was deleted, would be, or could not be.
    Deleted(&'a Deletion),
}

/// Who watches a run. It is told from the thread that runs it, and must not block.
pub trait Observer: Send + Sync {
    /// Is told what happens.
    ///
    /// # Errors
    /// If the run is to stop: it then fails with that error.
    fn observe(&self, event: &SyncEvent<'_>) -> Result<(), Error>;

    /// Returns the kind of one error in a chain of causes that is of who watches, such as that of a
    /// signer.
    fn class_of(&self, _error: &(dyn StdError + 'static)) -> Option<ErrorClass> {
        None
    }

    /// Is told what happens to images that are read at once. `group` is the first of them.
    fn copying(&self, _group: TaskId, _event: &Event) {}
}

/// Nobody watches.
impl Observer for () {
    fn observe(&self, _event: &SyncEvent<'_>) -> Result<(), Error> {
        Ok(())
    }
}
