//! What can go wrong where images live.

/// An error of a transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {}
