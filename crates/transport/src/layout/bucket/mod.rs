//! A layout in a bucket of an object store: `oci:s3://BUCKET/PREFIX[:REFERENCE]` and the like.
//!
//! The keys are the paths of a layout in a folder. Nothing is written under the name of a blob
//! before it has been verified. `index.json` is replaced only by who has read what it replaces,
//! which the store sees to; where it cannot, writers take a lock, which is an object too. Who
//! deletes takes the lock in any case, and who gives names waits for it: so no blob goes while an
//! image that needs it gets a name.

mod contents;
mod destination;
mod editor;
mod error;
mod many;
mod name;
mod opening;
mod removal;
mod source;

use skopeo_image::Digest;

use super::index::{self, Index};
use super::labels;
use super::name::Wanted;
use crate::{Destination, Error, Held, ImageName, Options, Probe, Source};

pub use error::BucketError;
pub(crate) use many::ManyInBucket;
pub use name::BucketName;
pub(crate) use opening::Buckets;
pub(crate) use removal::delete;

/// Opens an image in a bucket.
pub(crate) async fn open(name: &BucketName, options: &Options) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(source::open(name, options).await?))
}

/// Opens a place in a bucket for an image to be written.
pub(crate) async fn create(
    name: &BucketName,
    options: &Options,
) -> Result<Box<dyn Destination>, Error> {
    Ok(Box::new(destination::create(name, options).await?))
}

/// Looks at a place in a bucket that an image could be written to.
pub(crate) async fn look(name: &BucketName, options: &Options) -> Result<Box<dyn Probe>, Error> {
    Ok(Box::new(destination::look(name, options).await?))
}

/// The digest of an image.
pub(crate) async fn digest(name: &BucketName, options: &Options) -> Result<Digest, Error> {
    let bucket = opening::bucket(name.url(), options).await?;
    let index = bucket.index().await?;
    Ok(index.entry(index.find(name.wanted())?)?.descriptor()?.digest)
}

/// The store of a place, for who knows layouts itself.
pub(crate) async fn store(place: &str, options: &Options) -> Result<skopeo_objects::Store, Error> {
    opening::store(BucketName::of_all(place)?.url(), options).await
}

/// What the images of a layout are called, in the order of its index.
pub(crate) async fn names(name: &BucketName, options: &Options) -> Result<Vec<String>, Error> {
    Ok(opening::bucket(name.url(), options).await?.index().await?.names())
}

/// The digest of an image in a layout, and what else it is called there.
pub(crate) async fn siblings(
    name: &BucketName,
    options: &Options,
) -> Result<(Digest, Vec<String>), Error> {
    let bucket = opening::bucket(name.url(), options).await?;
    let index: &Index = &*bucket.index().await?;
    super::siblings_in(index, name.wanted())
}

/// The images in a layout.
pub(crate) async fn held(place: &str, options: &Options) -> Result<Vec<Held>, Error> {
    let all = BucketName::of_all(place)?;
    let index = opening::bucket(all.url(), options).await?.index().await?;
    let found = labels::labels(&index, all.url().last(), &format!("oci:{}", all.url()));
    let held = found.into_iter().map(|(wanted, label)| Held {
        name: ImageName::Bucket(BucketName::new(all.url().clone(), wanted)),
        label,
    });
    Ok(held.collect())
}

/// Whether the name of an image, or of a collection, means one in a bucket.
pub(crate) fn is_meant(details: &str) -> bool {
    skopeo_objects::BucketUrl::is_meant(details)
}

/// The place of the image that has a reference, and its digest.
fn found(index: &Index, wanted: &Wanted) -> Result<(usize, index::Target), Error> {
    let at = index.find(wanted)?;
    Ok((at, index.entry(at)?.descriptor()?))
}
