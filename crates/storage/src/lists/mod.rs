//! The lists of a store under their locks: who reads one has it as it is on disk, who writes one is
//! alone.

mod containers;
mod images;
mod layers;
mod loaded;

pub(crate) use containers::{Containers, ContainersReading};
pub(crate) use images::{Images, read_data};
pub(crate) use layers::{LayerList, Layers, LayersReading, LayersWriting, chain};
