//! Many copies: what there is to copy, where each image goes, and all of them at once.

pub mod names;
pub mod shard;
pub mod yaml;
