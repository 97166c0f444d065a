//! Where everything of a store lies.

use std::path::{Path, PathBuf};

use crate::options::{Driver, Options};

/// Where everything of a store lies.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `overlay` or `vfs`, with which the folders' names begin.
    name: &'static str,
    graph: PathBuf,
    run: PathBuf,
    image_store: Option<PathBuf>,
    transient: bool,
}

impl Driver {
    /// Returns what it is called, in options and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        }
    }
}

impl Places {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            name: options.driver.as_str(),
            graph: options.graph_root.clone(),
            run: options.run_root.clone(),
            image_store: options.image_store.clone(),
            transient: options.transient,
        }
    }

    /// The roots that are made first of all.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        [&self.run, &self.graph].into_iter().chain(&self.image_store).map(PathBuf::as_path)
    }

    /// A lock of the store as a whole: `storage.lock`, `userns.lock`.
    pub(crate) fn whole(&self, lock: &str) -> PathBuf {
        self.graph.join(lock)
    }

    /// Where the driver has its layers, in one of the roots.
    pub(crate) fn driver_in(&self, root: &Path) -> PathBuf {
        root.join(self.name)
    }

    /// Where the driver has its layers.
    pub(crate) fn driver(&self) -> PathBuf {
        self.driver_in(&self.graph)
    }

    /// Where the driver has image layers, if elsewhere.
    pub(crate) fn image_driver(&self) -> Option<PathBuf> {
        self.image_store.as_deref().map(|root| self.driver_in(root))
    }

    /// A folder of lists, in one of the roots: `layers`, `images`, `containers`.
    pub(crate) fn lists_in(&self, root: &Path, of: &str) -> PathBuf {
        root.join(format!("{}-{of}", self.name))
    }

    /// The list of layers, and their recipes.
    pub(crate) fn layers(&self) -> PathBuf {
        self.lists_in(&self.graph, "layers")
    }

    /// The list of image layers, if elsewhere.
    pub(crate) fn image_layers(&self) -> Option<PathBuf> {
        self.image_store.as_deref().map(|root| self.lists_in(root, "layers"))
    }

    /// What is known of layers until the next restart.
    pub(crate) fn running_layers(&self) -> PathBuf {
        self.lists_in(&self.run, "layers")
    }

    /// Where the layers of containers are listed that do not outlive the machine.
    pub(crate) fn volatile_layers(&self) -> PathBuf {
        if self.transient { self.running_layers() } else { self.layers() }
    }

    /// The lists of images that may be written: new ones go into the first.
    pub(crate) fn images(&self) -> Vec<PathBuf> {
        let roots = self.image_store.iter().chain([&self.graph]);
        roots.map(|root| self.lists_in(root, "images")).collect()
    }

    /// The list of containers.
    pub(crate) fn containers(&self) -> PathBuf {
        self.lists_in(&self.graph, "containers")
    }

    /// What is known of containers until the next restart.
    pub(crate) fn running_containers(&self) -> PathBuf {
        self.lists_in(&self.run, "containers")
    }

    /// Where containers are listed that do not outlive the machine, and where their lock is.
    pub(crate) fn volatile_containers(&self) -> PathBuf {
        if self.transient { self.running_containers() } else { self.containers() }
    }

    /// Locks of single layers.
    pub(crate) fn locks(&self) -> PathBuf {
        self.lists_in(&self.run, "locks")
    }
}
