//! Deleting images in a bucket, and the blobs that nothing else needs.

use std::sync::Arc;

use bytes::Bytes;
use skopeo_image::Digest;
use skopeo_objects::{Before, Lease, OLD, Replaced};
use tracing::debug;

use super::super::drop_orphans;
use super::super::index::{self, Index, Target};
use super::super::name::Wanted;
use super::super::reach::Reach;
use super::contents::{Bucket, INDEX, LOCK, UPLOADS, back_off, key};
use super::name::BucketName;
use super::opening::bucket;
use crate::{BucketError, CommitError, Error, LayoutError, Options, files};

/// How often an edit is made again because others were quicker.
const TRIES: u32 = 300;

/// How many blobs are deleted between two words about the lock.
const BATCH: usize = 1000;

/// Deletes an image, its referrers under names made of its digest, and the blobs that
/// nothing else in the layout needs. If `expected` is given, the image is deleted only if it is of
/// this digest, and no other image has its name too. What is left over of old uploads goes as well.
pub(crate) async fn delete(
    name: &BucketName,
    options: &Options,
    expected: Option<&Digest>,
) -> Result<(), Error> {
    let bucket = bucket(name.url(), options).await?;
    // What is no layout gets no lock, and the error says what is missing.
    super::found(&*bucket.index().await?, name.wanted())?;
    let (name, expected) = (name.clone(), expected.cloned());
    let pick = move |index: &mut Index| pick(&name, expected.as_ref(), index);
    remove(&bucket, Arc::new(pick)).await?;
    match bucket.store().remove_leftovers(UPLOADS, OLD).await {
        Ok(_) => {}
        Err(error) => debug!("looking for leftovers: {error}"),
    }
    Ok(())
}

/// Takes an image out of an index.
fn pick(
    name: &BucketName,
    expected: Option<&Digest>,
    index: &mut Index,
) -> Result<Vec<Target>, Error> {
    let (at, gone) = super::found(index, name.wanted())?;
    if expected.is_some_and(|expected| *expected != gone.digest) {
        return Err(CommitError::Rewritten(format!("oci:{name}")).into());
    }
    let entry = index.remove(at);
    if let Wanted::Reference(reference) = name.wanted() {
        let is_same = |other: &index::Entry| {
            other.is_called_as(&entry)
                && other.descriptor().is_ok_and(|other| other.digest == gone.digest)
        };
        index.retain(|other| !is_same(other));
        if expected.is_some() && index.find_first(reference).is_some() {
            return Err(LayoutError::NamedTwice(format!("oci:{name}")).into());
        }
    }
    Ok(vec![gone])
}

/// Removes the blobs of images that are in the index no longer, and of their referrers.
pub(super) async fn sweep(bucket: &Arc<Bucket>, gone: Vec<Target>) -> Result<(), Error> {
    remove(bucket, Arc::new(move |_: &mut Index| Ok(gone.clone()))).await
}

/// What takes images out of an index, and says which; it may be asked again.
type Pick = Arc<dyn Fn(&mut Index) -> Result<Vec<Target>, Error> + Send + Sync>;

async fn remove(bucket: &Arc<Bucket>, pick: Pick) -> Result<(), Error> {
    let conditional = bucket.has_conditions().await?;
    let mut lease = bucket.store().lock(LOCK, conditional).await?;
    let removed = remove_under(bucket, pick, conditional, &mut lease).await;
    let released = lease.release().await;
    removed?;
    Ok(released?)
}

async fn remove_under(
    bucket: &Arc<Bucket>,
    pick: Pick,
    conditional: bool,
    lease: &mut Lease,
) -> Result<(), Error> {
    let store = bucket.store();
    for tries in 0..TRIES {
        let Some((version, index)) = bucket.read_index().await? else {
            return Err(BucketError::NoLayout(store.place().to_string()).into());
        };
        bucket.list().await?;
        lease.keep().await?;
        // All that is left has to be looked into, to find out what it needs.
        bucket.fetch_manifests(&index).await?;
        let (at, pick) = (bucket.clone(), pick.clone());
        let (index, goes) = files::blocking(move || {
            let mut index = Arc::unwrap_or_clone(index);
            let mut reached = Reach::default();
            for gone in pick(&mut index)? {
                reached.follow(&*at, gone)?;
            }
            let needed = drop_orphans(&*at, &mut index, &mut reached)?;
            let goes = reached.digests().filter(|digest| !needed.contains(digest)).cloned();
            Ok((index, goes.collect::<Vec<_>>()))
        })
        .await?;
        let before = if conditional { Before::This(version) } else { Before::Anything };
        let mut text = index.encode();
        if !goes.is_empty() {
            // Most stores make the version of the content, which may stay. Who has read this index
            // and looked for one of the blobs must not be able to replace it.
            text.resize(text.len().saturating_add(fastrand::usize(1..=64)), b' ');
        }
        let text = Bytes::from(text);
        // The name goes first: ended in between, blobs may be left over but none is missing.
        match lease.during(store.replace(INDEX, text, &before)).await? {
            Replaced::Written(version) => {
                bucket.wrote_index(version, Arc::new(index));
                return delete_blobs(bucket, &goes, lease).await;
            }
            Replaced::Changed => back_off(tries).await,
        }
    }
    Err(skopeo_objects::Error::Crowded(store.name_of(INDEX)).into())
}

async fn delete_blobs(bucket: &Bucket, goes: &[Digest], lease: &mut Lease) -> Result<(), Error> {
    for batch in goes.chunks(BATCH) {
        let keys: Vec<String> = batch.iter().map(key).collect();
        // It may be gone although we are not told so.
        batch.iter().for_each(|digest| bucket.has_no_more(digest));
        lease.during(bucket.store().delete(&keys)).await?;
    }
    Ok(())
}
