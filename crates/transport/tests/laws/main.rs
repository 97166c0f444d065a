//! The laws of all transports: each is a function of a [`Place`], run for every place by what it
//! accepts. What only one transport promises is in the file of its name.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod bucket;
mod clouds;
mod collection;
mod dir;
mod docker;
mod docker_archive;
mod folder;
mod killed;
mod laws;
mod layout;
mod lookaside;
mod options;
mod original;
mod place;
mod referrers;
mod reuse;
mod sample;
mod sif;

pub(crate) use place::Place;
pub(crate) use sample::Sample;
