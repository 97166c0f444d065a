//! How layers lie on disk.

mod overlay;
mod vfs;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::below::Below;
use crate::contents::{Apply, Whiteouts};
use crate::error::{Error, Result};
use crate::files;
use crate::options::{Driver, Options};
use crate::places::Places;
use crate::temporary::Temporary;

/// What the root of a layer may do that lies on nothing.
const ROOT_MODE: u32 = 0o555;

/// The folders of layers, and how they are filled.
#[derive(Debug)]
pub(crate) struct Layout {
    kind: Driver,
    /// Where the store has its layers, and where it has image layers: new ones are made in the
    /// last.
    homes: Vec<PathBuf>,
    /// Where stores that are read only have theirs.
    additional: Vec<PathBuf>,
    how: Apply<'static>,
}

impl Layout {
    pub(crate) fn new(options: &Options, places: &Places) -> Self {
        let homes: Vec<PathBuf> =
            [places.driver()].into_iter().chain(places.image_driver()).collect();
        let additional =
            options.additional_stores.iter().map(|root| places.driver_in(root)).collect();
        let whiteouts = match options.driver {
            Driver::Vfs => Whiteouts::Remove,
            Driver::Overlay if options.mount_program || has_mount_program(&homes) => {
                Whiteouts::Files
            }
            Driver::Overlay => Whiteouts::Overlay,
        };
        let how = Apply {
            whiteouts,
            rootless: options.rootless,
            ignore_chown_errors: options.ignore_chown_errors,
            force_mask: options.force_mask.filter(|_| options.driver == Driver::Overlay),
            uid_map: &[],
            gid_map: &[],
        };
        Self { kind: options.driver, homes, additional, how }
    }

    /// Makes what others make when they open a store.
    pub(crate) fn make(&self, mount_program: bool) -> Result<()> {
        for home in &self.homes {
            match self.kind {
                Driver::Overlay => overlay::make_home(home, mount_program)?,
                Driver::Vfs => vfs::make_home(home)?,
            }
        }
        Ok(())
    }

    /// How a tar becomes the files of a layer.
    pub(crate) fn how(&self) -> &Apply<'static> {
        &self.how
    }

    /// Whether a layer is unpacked onto a copy of its parent.
    pub(crate) fn copies_parents(&self) -> bool {
        self.kind == Driver::Vfs
    }

    /// Where what is made or removed lies meanwhile.
    pub(crate) fn temporaries(&self) -> impl Iterator<Item = PathBuf> {
        self.homes.iter().map(|home| home.join("tempdirs"))
    }

    /// Where new layers are made.
    fn home(&self) -> &Path {
        self.homes.last().map_or_else(|| Path::new(""), PathBuf::as_path)
    }

    /// The home that has a layer, and the layer's own folder.
    fn locate(&self, id: &str) -> Result<Option<(&Path, PathBuf)>> {
        for home in self.homes.iter().chain(&self.additional) {
            let folder = match self.kind {
                Driver::Overlay => files::of_id(home, id)?,
                Driver::Vfs => files::of_id(&home.join("dir"), id)?,
            };
            let found = files::absent_is_none(fs_err::symlink_metadata(&folder))?;
            if found.is_some_and(|it| it.is_dir()) {
                return Ok(Some((home, folder)));
            }
        }
        Ok(None)
    }

    /// The folder that has the files of a layer.
    fn files(&self, id: &str) -> Result<PathBuf> {
        let Some((_, folder)) = self.locate(id)? else {
            return Err(Error::LayerUnknown { id: id.to_owned() });
        };
        match self.kind {
            Driver::Overlay => overlay::files(id, &folder),
            Driver::Vfs => Ok(folder),
        }
    }

    /// The folders in which the files of a layer are looked for, given the layer and all below it.
    pub(crate) fn roots(&self, chain: &[String]) -> Result<Vec<PathBuf>> {
        let own = match self.kind {
            Driver::Overlay => chain,
            Driver::Vfs => chain.get(..1).unwrap_or_default(),
        };
        own.iter().map(|id| self.files(id)).collect()
    }

    /// A folder into which a layer can be unpacked, and what it lies in. For vfs it has the files
    /// of the layer below.
    pub(crate) fn stage(&self, below: &Below) -> Result<(Temporary, PathBuf)> {
        let mut temporary = Temporary::new(&self.home().join("tempdirs"))?;
        let root = temporary.addition();
        fs_err::create_dir(&root)?;
        match (self.kind, below) {
            (Driver::Overlay, _) | (Driver::Vfs, Below::Nothing) => {
                let mode = self.how.force_mask.unwrap_or(ROOT_MODE);
                fs_err::set_permissions(&root, Permissions::from_mode(mode))?;
            }
            (Driver::Vfs, Below::Layer(id)) => self.copy(id, &self.files(id)?, &root)?,
            (Driver::Vfs, Below::Staged { id, root: from }) => {
                let copied = self.copy(id, from, &root);
                // Another image that it is for may have taken it into the store: its files are
                // where that has them.
                if fs_err::symlink_metadata(from).is_ok() {
                    copied?;
                } else {
                    files::remove_all(&root)?;
                    fs_err::create_dir(&root)?;
                    self.copy(id, &self.files(id)?, &root)?;
                }
            }
        }
        Ok((temporary, root))
    }

    /// Copies the files of a layer, and makes the root of the copy like its own.
    fn copy(&self, id: &str, from: &Path, to: &Path) -> Result<()> {
        vfs::copy(id, from, to, self.how.rootless)?;
        same_root(from, to)
    }

    /// Makes the folder of a layer of what was staged. `chain` are the layers below it, the nearest
    /// first. What lay there before goes.
    pub(crate) fn commit(
        &self,
        id: &str,
        chain: &[String],
        staged: &Path,
        removed: &mut Temporary,
    ) -> Result<()> {
        if self.locate(id)?.is_some() {
            tracing::warn!("layer {id:?} exists and is not listed; removing it first");
            self.remove(id, removed)?;
        }
        match self.kind {
            Driver::Overlay => {
                if let Some(parent) = chain.first() {
                    same_root(&self.files(parent)?, staged)?;
                }
                let links = chain.iter().map(|id| self.link(id)).collect::<Result<Vec<_>>>()?;
                overlay::make(self.home(), id, chain, &links, staged)
            }
            Driver::Vfs => Ok(files::rename(staged, &files::of_id(&self.home().join("dir"), id)?)?),
        }
    }

    /// The short name of a layer.
    fn link(&self, id: &str) -> Result<String> {
        match self.locate(id)? {
            Some((_, folder)) => overlay::link(&folder),
            None => Err(Error::LayerUnknown { id: id.to_owned() }),
        }
    }

    /// Takes the folder of a layer away; that there is none is well. Stores that are read only stay
    /// as they are.
    pub(crate) fn remove(&self, id: &str, removed: &mut Temporary) -> Result<()> {
        match self.locate(id)? {
            Some((home, folder)) if self.homes.iter().any(|ours| ours == home) => {
                if self.kind == Driver::Overlay {
                    overlay::remove_link(home, &folder, removed)?;
                }
                removed.take(&folder)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What takes the folder of a layer when it is removed: it is in the same file system.
    pub(crate) fn temporary_for(&self, id: &str) -> Result<Temporary> {
        let home = self.locate(id)?.map(|(home, _)| home);
        let ours = home.filter(|home| self.homes.iter().any(|ours| ours == home));
        Temporary::new(&ours.unwrap_or_else(|| self.home()).join("tempdirs"))
    }

    /// Ends that a layer is mounted.
    pub(crate) fn unmount(&self, id: &str) -> Result<()> {
        match self.locate(id)? {
            Some((_, folder)) if self.kind == Driver::Overlay => overlay::unmount(&folder),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether layers of this store were mounted by a program: its whiteouts are files.
fn has_mount_program(homes: &[PathBuf]) -> bool {
    let says_so = |home: &PathBuf| {
        let said = files::read(&home.join(overlay::MOUNT_PROGRAM));
        said.is_ok_and(|said| said.is_some_and(|said| said.trim_ascii() == b"true"))
    };
    homes.iter().any(says_so)
}

/// Gives a layer's root what that of its parent has.
fn same_root(parent: &Path, root: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, lchown};
    let like = fs_err::symlink_metadata(parent)?;
    let is = fs_err::symlink_metadata(root)?;
    if (like.uid(), like.gid()) != (is.uid(), is.gid()) {
        lchown(root, Some(like.uid()), Some(like.gid()))?;
    }
    Ok(fs_err::set_permissions(root, like.permissions())?)
}
