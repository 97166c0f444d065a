//! Where a store is, and how it is kept.

use std::path::PathBuf;

/// How the layers of a store lie on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Driver {
    /// Each layer is a folder of what it changes.
    Overlay,
    /// Each layer is a folder of everything.
    Vfs,
}

/// Where a store is, and how it is kept. Nothing is looked up: who calls has read storage.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How its layers lie.
    pub driver: Driver,
    /// The folder of images and layers, absolute.
    pub graph_root: PathBuf,
    /// The folder of what is gone after a restart, absolute.
    pub run_root: PathBuf,
    /// Where image layers lie if not in `graph_root`.
    pub image_store: Option<PathBuf>,
    /// Stores that are read too, and never written.
    pub additional_stores: Vec<PathBuf>,
    /// Whether containers' records lie in `run_root`.
    pub transient: bool,
    /// Whether files may keep the user's id where theirs cannot be given.
    pub ignore_chown_errors: bool,
    /// The mode that files get, where storage.conf forces one.
    pub force_mask: Option<u32>,
    /// Whether layers are mounted by a program (fuse-overlayfs): whiteouts are files then.
    pub mount_program: bool,
    /// Whether the process is root in a user namespace only: attributes are `user.overlay.*` and
    /// devices are left out.
    pub rootless: bool,
}

impl Options {
    /// Returns the options of a store of which nothing else is said.
    #[must_use]
    pub fn new(driver: Driver, graph_root: PathBuf, run_root: PathBuf) -> Self {
        Self {
            driver,
            graph_root,
            run_root,
            image_store: None,
            additional_stores: Vec::new(),
            transient: false,
            ignore_chown_errors: false,
            force_mask: None,
            mount_program: false,
            rootless: false,
        }
    }
}
