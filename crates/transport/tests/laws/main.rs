//! The laws of all transports: each is a function of a [`Place`], run for every place by what it
//! accepts. What only one transport promises is in the file of its name.

mod dir;
mod laws;
mod layout;
mod place;
mod sample;

pub(crate) use place::Place;
pub(crate) use sample::Sample;
