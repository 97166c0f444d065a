//! Containers: who uses an image or a layer.

use std::path::PathBuf;

use crate::error::Result;
use crate::lock::{Access, Held, LockFile};
use crate::places::Places;
use crate::records::{self, ContainerRecord, Record};

/// The containers of a store.
#[derive(Debug)]
pub(crate) struct Containers {
    lock: LockFile,
    lists: [PathBuf; 2],
}

/// The containers as long as nobody changes them.
#[derive(Debug)]
pub(crate) struct ContainersReading {
    _held: Held,
    list: Vec<Record<ContainerRecord>>,
}

impl Containers {
    pub(crate) fn new(places: &Places) -> Self {
        let volatile = places.volatile_containers();
        Self {
            lock: LockFile::new(volatile.join("containers.lock"), Access::ReadWrite),
            lists: [
                places.containers().join("containers.json"),
                volatile.join("volatile-containers.json"),
            ],
        }
    }

    /// Makes what others make when they open a store.
    pub(crate) fn make(&self) -> Result<()> {
        self.lock.make()
    }

    pub(crate) fn read(&self) -> Result<ContainersReading> {
        let held = self.lock.read()?;
        let mut list = Vec::new();
        for path in &self.lists {
            list.extend(records::load(path)?);
        }
        Ok(ContainersReading { _held: held, list })
    }
}

impl ContainersReading {
    /// The container that was made of an image.
    pub(crate) fn of_image(&self, image: &str) -> Option<&str> {
        self.list.iter().find(|it| it.known.image == image).map(|it| it.known.id.as_str())
    }

    /// Whether a layer is what a container writes into.
    pub(crate) fn have_layer(&self, layer: &str) -> bool {
        // The original looks for a container of the layer's id as well.
        self.list.iter().any(|it| it.known.layer == layer || it.known.id == layer)
    }
}
