//! Moving images: one pipeline for every copy.
//!
//! Knows the doors of `transport`, the policy of `trust`, the steps of `blob`. Must not know which
//! transport a name belongs to, nor terminals: who watches gets [`Event`]s.
//!
//! A copy is decided, and then carried out; an estimate decides the same, and then asks of each blob
//! what it would take. Each step is in a file of its name:
//!
//! - `decide`: what will be done, as one value. It has `admit` fetch the manifest, check its digest
//!   and ask the policy, and `plan` find out all that can be known before a byte moves
//! - `visit`: the way through that value, list by list and referrer by referrer
//! - `execute`: carrying it out. `transfer` brings the blobs, a few at a time, each once; `assemble`
//!   makes the manifest to write; `commit` writes config, manifest, signatures, and the name last
//! - `estimate`: what carrying it out would take
//!
//! `job` is what all of them know, `scheduler` what they wait for. `fanout` reads once for several
//! destinations.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use skopeo_copy::{Request, Session, copy};
//! use skopeo_image::Platform;
//! use skopeo_transport::{Connections, ImageName, Options, create, open};
//! use skopeo_trust::Policy;
//!
//! # let folder = tempfile::tempdir()?;
//! # let environment = skopeo_config::Environment::fixed(
//! #     [("PATH", "/usr/bin")], folder.path().join("home"), 1000, folder.path(),
//! # );
//! # let config = skopeo_config::Config::with_environment(Default::default(), environment);
//! # let options = Options::new(std::sync::Arc::new(config), Connections::new());
//! # let layout = folder.path().join("layout");
//! # let image = skopeo_testkit::Image::new(1);
//! # image.write_oci(&layout, Some("busybox:1"));
//! # let layout = layout.display();
//! # let folder = folder.path().join("copy");
//! # let folder = folder.display();
//! let source = open(&ImageName::parse(&format!("oci:{layout}:busybox:1"))?, &options).await?;
//! let destination = create(&ImageName::parse(&format!("dir:{folder}"))?, &options).await?;
//! let session = Session::new(Arc::new(|event| println!("{event:?}")));
//! let request = Request::new(Platform::host());
//! let copied = copy(&session, &*source, destination, &Policy::insecure(), &request).await?;
//! assert_eq!(copied.digest, image.digest());
//! # Ok(())
//! # }
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod admit;
mod assemble;
mod commit;
mod decide;
mod error;
mod estimate;
mod event;
mod execute;
pub mod fanout;
mod item;
mod job;
mod known;
mod known_indexes;
pub mod plan;
mod read;
mod request;
mod retry;
mod scheduler;
mod selection;
mod session;
mod sign;
mod transfer;
mod visit;

#[cfg(test)]
mod tests;

pub use admit::read_signatures;
pub use error::{
    BlobError, Error, ReferrersError, SourceError, WriteError, classified, is_transient, sentence,
};
pub use estimate::{Amount, Change, Forecast, ImageEstimate, estimate};
pub use event::{BlobEvent, BlobKind, Event, ImageEvent, IndexEvent, NotCopied, ReferrersEvent};
pub use execute::{Copied, Outcome, copy};
pub use known_indexes::KnownIndexes;
pub use request::{
    CompressTo, Digests, Encryption, Format, InvalidLevel, Lists, OtherFormats, Others, Request,
    Signing, SourceSignatures,
};
pub use retry::{Retry, retry};
pub use scheduler::Limits;
pub use selection::{Referrers, Selection, UnknownKind};
pub use session::{BlobRetry, Rates, Session};
