//! What there is to copy.
//!
//! `input` is what was named, `search` finds the images in it: `v1` and `v2` know files, `catalog`
//! asks registries for their repositories, `choose` chooses tags.

mod catalog;
mod choose;
mod input;
mod search;
mod v1;
mod v2;

pub(crate) use search::Search;

pub use input::{Input, Selection, SourceKind};
