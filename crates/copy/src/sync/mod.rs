//! Many copies: what there is to copy, where each image goes, and all of them at once.

pub mod file;
pub mod mirror;
pub mod names;
pub mod place;
pub mod shard;
pub mod tee;
