//! Mirrors of images: what there is to copy, under which names, many copies at once, and what an
//! exact mirror deletes.
//!
//! Knows repositories, tags and collections of images. Must not know flags, standard output, exit
//! codes or the environment: who asks gives a [`SyncRequest`], may watch as an [`Observer`], and
//! gets a [`SyncReport`].
//!
//! - `request`: what is asked of a run
//! - `config`: the YAML file that says what to copy, versions 1 and 2
//! - `select`: which tags are meant
//! - `discover`: what there is to copy; `found` has the values
//! - `task`: one image, where from, where to
//! - `naming`: what each image is called at its destination
//! - `destination`: a collection of images, as `TRANSPORT:PLACE`
//! - `shard`: which part of all repositories one machine of several takes
//! - `schedule`: many images at once
//! - `prune`: what an exact mirror deletes
//! - `lockfile`: which digest every tag led to
//! - `plan`, `estimate`: what a run would take, and that for another run
//! - `cache`: what was learnt, kept between runs
//! - `immutable`: tags that need no question
//! - `report`: what has come of each image; `outcomes` knows it while the run goes on, `resume` goes
//!   on from it
//! - `digests`: the lines of a file that lists what is where it should be
//! - `earlier`: the file of an earlier run, a plan or a report
//! - `reach`: which registries the file of another run leads to, and how
//! - `tag_info`: what there is to know of tags
//! - `transports`: how images are reached by name
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use skopeo_copy::{Rates, Request};
//! use skopeo_image::Platform;
//! use skopeo_sync::{Images, Input, Selection, SourceKind, SyncRequest, sync};
//! use skopeo_transport::{CollectionKind, Connections, Options};
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
//! # let folder = folder.path().join("copies");
//! # let folder = folder.display();
//! let images = Images::Selected(Box::new(Selection::new(Input::One {
//!     kind: SourceKind::Held(CollectionKind::Oci),
//!     source: layout.to_string(),
//!     places: vec![format!("dir:{folder}").parse()?],
//! })));
//! let copy = Request::new(Platform::host());
//! let source = Arc::new(options.clone());
//! let request = SyncRequest::new(images, source, options, Policy::insecure(), copy);
//! let session = skopeo_sync::session(None, None, Rates::default());
//! let report = sync(&session, &request, Arc::new(())).await;
//! report.result?;
//! assert_eq!(report.record.totals.copied, 1);
//! # Ok(())
//! # }
//! ```

// What files and registries say must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod cache;
pub mod config;
pub mod destination;
mod digests;
mod discover;
mod earlier;
mod error;
mod estimate;
mod found;
mod immutable;
pub mod lockfile;
pub mod naming;
mod observer;
mod outcomes;
pub mod plan;
pub mod prune;
mod reach;
pub mod report;
mod request;
mod resume;
mod retry;
mod run;
mod schedule;
pub mod select;
pub mod shard;
mod size;
mod sources;
pub mod tag_info;
mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transports;
mod within;

/// For the fuzzer.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::cache::read_and_forget as read_cache;
}

use std::sync::Arc;

use skopeo_copy::Session;

pub use cache::CacheFile;
pub use digests::DigestLines;
pub use discover::{Input, Selection, SourceKind};
pub use earlier::Earlier;
pub use error::{Error, Result, classified, unwrapped};
pub use immutable::Immutable;
pub use lockfile::{Digests, Lock};
pub use observer::{Observer, SyncEvent};
pub use reach::{Reach, Side};
pub use request::{Images, Manner, SyncRequest};
pub use resume::Resume;
pub use run::Run;
pub use schedule::session;
pub use task::{SyncTask, TaskId};

use error::Context;
use report::Record;

/// What has come of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct SyncReport {
    /// What has come of each image.
    pub record: Record,
    /// The digests that tags led to, if these were wanted, or why the run failed.
    pub result: Result<Option<Digests>>,
}

/// Does what is asked. A [`Run`] does the same, and what has come of it is known also if it is
/// dropped.
pub async fn sync(
    session: &Session,
    request: &SyncRequest,
    observer: Arc<dyn Observer>,
) -> SyncReport {
    let run = Run::new(request, observer);
    let result = run.run(session).await;
    let record = Record { ok: result.is_ok(), ..run.record() };
    SyncReport { record, result }
}
