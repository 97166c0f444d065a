//! What an exact mirror deletes.

pub mod rules;
