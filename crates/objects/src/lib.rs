//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Knows buckets, keys, conditional writes, multipart uploads and listings. Must not know images,
//! configuration files or the environment: all that a [`Store`] needs is in its [`StoreOptions`].
//!
//! - `url`: names of places in buckets
//! - `options`: what a store is opened with
//! - `credentials`: who asks S3, as long as that counts
//! - `store`: reading, writing, listing, deleting; `open` makes one
//! - `upload`: large objects in parts, which have no name before all of it is there
//! - `replace`: writing only if nobody else has written meanwhile
//! - `lock`: one at a time, by an object; `tickets` where the store knows no conditions; `heartbeat`:
//!   how a holder shows that it lives
//! - `aborting`: work that goes on after its value has been dropped
//! - `leftovers`: uploads that nobody has ended
//! - `http`: requests, over a client that is given in
//! - `error`: what a store said, in words for users

// What servers send must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod aborting;
mod credentials;
mod error;
mod heartbeat;
mod http;
mod leftovers;
mod lock;
mod open;
mod options;
mod replace;
mod store;
mod tickets;
mod upload;
mod url;

pub use error::Error;
pub use leftovers::OLD;
pub use lock::Lease;
pub use options::{Credentials, Keys, Settings, StoreOptions};
pub use replace::{Before, Replaced};
pub use store::{Fetched, Object, ROOM, Reading, Store, Version};
pub use upload::{UNKNOWN_PART, Upload};
pub use url::{BucketUrl, Cloud, UrlError};
