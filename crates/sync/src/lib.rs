//! Mirrors of images: what there is to copy, under which names, and what an exact mirror deletes.
//!
//! Knows repositories, tags and places of many images. Must not know flags, standard output, exit
//! codes or the environment: who asks gives values, and gets values back.
//!
//! - `config`: the YAML file that says what to copy, versions 1 and 2
//! - `select`: which tags are meant
//! - `naming`: what each image is called at its destination
//! - `destination`: a place of many images, as `TRANSPORT:PLACE`
//! - `shard`: which part of all repositories one machine of several takes
//! - `prune`: what an exact mirror deletes

pub mod config;
pub mod destination;
mod error;
pub mod naming;
pub mod prune;
pub mod select;
pub mod shard;

pub use error::{Context, Error, Result, class_of, unwrapped};
