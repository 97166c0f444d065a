//! Layouts that hold nothing: a push that came to nothing leaves none. One that was emptied stays
//! for a while, as those who emptied it may go on with it, and then goes as what was abandoned
//! does.
//!
//! Whoever adds something to a layout does not wait for its lock: uploads begin and blobs are
//! mounted without. So neither side may miss the other. Who adds puts its file there, and then
//! looks whether the layout is still one; if not, it makes it one again. Who removes holds the
//! lock, takes the marker away first, looks once more, and puts the marker back if there is
//! something. Then it removes folders only, and only empty ones, until nothing but its own files is
//! left. Whoever waits for the lock meanwhile sees that the file has lost its name
//! (`Layout::try_lock`).

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use fs_err::File;
use rustix::fs::FileType;
use skopeo_image::number::wide;

use super::beneath::{Folder, TEMPORARY};
use super::keys::{INDEX, LOCK, MARKER, NO_MANIFESTS, UPLOADS};
use super::layout::{Hold, Layout};
use super::upload::is_old;
use super::{Store, footprint};
use crate::error::ApiError;
use crate::name::RepositoryName;

/// The folder in which a layout has its blobs.
const BLOBS: &str = "blobs";

impl Store {
    /// Removes a layout that holds nothing, unless somebody edits it.
    pub(crate) fn remove_if_empty(&self, layout: &Layout) {
        let removed = || {
            // Who edits it waits for nobody who only looks.
            let is_empty = layout.is_removable() && layout.is_there() && layout.is_empty(None)?;
            match is_empty.then(|| layout.try_lock()).transpose()? {
                Some(Some(lock)) => self.remove_if_empty_under(layout, &lock),
                _ => Ok(()),
            }
        };
        if let Err(error) = removed().or_else(is_gone) {
            tracing::warn!("checking whether a repository is empty: {error}");
        }
    }

    /// The same for who holds the lock.
    pub(super) fn remove_if_empty_held(&self, layout: &Layout, hold: &Hold) {
        let Some(lock) = &hold.lock else { return };
        if let Err(error) = self.remove_if_empty_under(layout, lock).or_else(is_gone) {
            tracing::warn!("checking whether a repository is empty: {error}");
        }
    }

    fn remove_if_empty_under(&self, layout: &Layout, lock: &File) -> io::Result<()> {
        if layout.remove_if_empty(lock)? {
            self.room.give_back(footprint(layout.folder.below()));
        }
        Ok(())
    }

    /// Makes sure that something is in a layout that was put into its folder without its lock.
    pub(crate) fn keep(&self, name: &RepositoryName, layout: &Layout) -> Result<(), ApiError> {
        if layout.is_there() {
            return Ok(());
        }
        self.create(name).map(drop)
    }

    /// Removes a layout that holds nothing and that nobody has touched for so long: a server that
    /// was killed may have left it.
    pub(super) fn remove_if_abandoned(
        &self,
        layout: &Arc<Layout>,
        age: Duration,
    ) -> io::Result<()> {
        let folder = &layout.folder;
        if layout.is_removable()
            && layout.is_empty(None)?
            && is_old(folder, MARKER, age)?
            && is_old(folder, "", age)?
        {
            self.remove_if_empty(layout);
        }
        Ok(())
    }
}

impl Layout {
    fn is_removable(&self) -> bool {
        self.content.is_none() && self.bucket.is_none() && !self.folder.is_root()
    }

    /// Removes the layout if it holds nothing; whether it did.
    fn remove_if_empty(&self, _lock: &File) -> io::Result<bool> {
        if !self.is_removable() || !self.is_there() || !self.is_empty(None)? {
            return Ok(false);
        }
        let parked = format!("{TEMPORARY}{MARKER}");
        self.folder.rename(MARKER, &self.folder, &parked)?;
        let emptied = self.empty_out(&parked);
        if !matches!(emptied, Ok(true)) {
            // In the place of the one that somebody may have made meanwhile: it is the same.
            self.folder.rename(&parked, &self.folder, MARKER)?;
            return emptied;
        }
        tracing::debug!("removing an empty repository: {}", self.folder.path().display());
        for name in [INDEX, &parked, LOCK] {
            self.folder.remove(name)?;
        }
        self.folder.remove_empty();
        Ok(true)
    }

    /// Removes the folders of a layout whose marker is parked, if they are empty; whether all are
    /// gone.
    fn empty_out(&self, parked: &str) -> io::Result<bool> {
        if self.is_there() || !self.is_empty(Some(parked))? {
            return Ok(false);
        }
        let blobs = self.folder.join(BLOBS);
        let shelves = blobs.entries()?;
        let inner = shelves.iter().map(|(shelf, _)| (&blobs, shelf.as_str()));
        for (folder, name) in
            [(&self.folder, UPLOADS)].into_iter().chain(inner).chain([(&self.folder, BLOBS)])
        {
            match folder.remove_folder(name) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(false),
                removed => removed?,
            };
        }
        Ok(true)
    }

    /// Whether there is nothing but what an empty layout has, and folders of other repositories. An
    /// index that says more than that it is empty is somebody's.
    fn is_empty(&self, parked: Option<&str>) -> io::Result<bool> {
        if !self.has_no_manifests()? {
            return Ok(false);
        }
        let ours = |name: &str| [MARKER, INDEX, LOCK].contains(&name) || Some(name) == parked;
        let folders = [BLOBS, UPLOADS];
        // In the order in which files move on: what is moved meanwhile is seen in one of the places.
        for (name, kind) in self.folder.entries()? {
            let is_fine = match kind {
                FileType::RegularFile => ours(&name),
                FileType::Directory => true,
                _ => false,
            };
            if !is_fine || (folders.contains(&&*name) && kind != FileType::Directory) {
                return Ok(false);
            }
        }
        Ok(self.uploads().is_empty()? && is_empty_tree(&self.folder.join(BLOBS))?)
    }

    fn has_no_manifests(&self) -> io::Result<bool> {
        let Some((file, metadata)) = self.folder.read(INDEX)? else { return Ok(true) };
        let mut text = Vec::new();
        let most = wide(NO_MANIFESTS.len());
        Ok(metadata.len() == most
            && file.take(most.saturating_add(1)).read_to_end(&mut text).is_ok()
            && text == NO_MANIFESTS)
    }
}

/// Whether there is nothing in the folders of this one.
fn is_empty_tree(folder: &Folder) -> io::Result<bool> {
    for (name, kind) in folder.entries()? {
        if kind != FileType::Directory || !folder.join(&name).is_empty()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is not there any more need not be removed.
fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
