//! `oci:` and `oci-archive:`: images in an OCI layout, which lies in a folder or in a tar.
//!
//! `index.json` names manifests, `blobs/ALGORITHM/HEX` holds them and all else. Whoever edits
//! `index.json` holds an exclusive lock on the file `.lock` beside it, reads the index again, and
//! replaces it by renaming, so that copies into one layout at the same time lose nothing; a
//! registry that is served from the layout does the same.

mod archive;
mod blob_store;
#[cfg_attr(not(feature = "object-stores"), path = "bucket/absent.rs")]
pub(crate) mod bucket;
mod destination;
mod editor;
mod error;
mod folder;
mod index;
mod labels;
mod many;
mod name;
mod reach;
mod referrers;
mod referrers_tag;
mod source;

use skopeo_image::Digest;

use crate::options::LayoutOptions;
use crate::{CommitError, Error};

pub use archive::ArchiveName;
pub(crate) use archive::{
    ManyPacked, PackedLayout, create as create_archive, held as held_in_archive,
    look as look_at_archive, names as names_in_archive, open as open_archive,
};
pub(crate) use bucket::Buckets;
#[cfg(feature = "object-stores")]
pub(crate) use bucket::ManyInBucket;
pub use bucket::{BucketError, BucketName};
pub(crate) use destination::{create, look};
pub use error::LayoutError;
pub(crate) use index::Index;
pub(crate) use many::{Many, held};
pub use name::{LayoutName, LayoutNameError};
pub(crate) use source::open;

use blob_store::BlobStore;
use folder::{Folder, Lock};
use index::Target;
use name::Wanted;
use reach::Reach;

/// Deletes an image: its descriptor, its referrers under names made of its digest, and the blobs
/// that nothing else in the layout needs. Blobs in
/// a shared folder stay, since nobody knows who else needs them. If `expected` is given, the image
/// is deleted only if it is of this digest, and no other image has its name too.
pub(crate) async fn delete(
    name: &LayoutName,
    options: &LayoutOptions,
    expected: Option<&Digest>,
) -> Result<(), Error> {
    let folder = Folder::new(name, options);
    let (name, expected) = (name.clone(), expected.cloned());
    crate::files::blocking(move || {
        // What is no layout gets no lock file, and the error says what is missing.
        folder.index()?;
        let lock = folder.lock()?;
        let mut index = folder.index()?;
        let entry = index.remove(index.find(&name.wanted)?);
        let gone = entry.descriptor()?;
        if expected.as_ref().is_some_and(|expected| *expected != gone.digest) {
            return Err(CommitError::Rewritten(format!("oci:{name}")).into());
        }
        if let Wanted::Reference(reference) = &name.wanted {
            let is_same = |other: &index::Entry| {
                other.is_called_as(&entry)
                    && other.descriptor().is_ok_and(|other| other.digest == gone.digest)
            };
            index.retain(|other| !is_same(other));
            if expected.is_some() && index.find_first(reference).is_some() {
                return Err(LayoutError::NamedTwice(format!("oci:{name}")).into());
            }
        }
        sweep_images(&folder, vec![gone], index, &lock)
    })
    .await
}

/// The digest of an image.
pub(crate) async fn digest(name: &LayoutName, options: &LayoutOptions) -> Result<Digest, Error> {
    let (folder, name) = (Folder::new(name, options), name.clone());
    crate::files::blocking(move || {
        let index = folder.index()?;
        Ok(index.entry(index.find(&name.wanted)?)?.descriptor()?.digest)
    })
    .await
}

/// What the images of a layout are called, in the order of its index.
pub(crate) async fn names(
    name: &LayoutName,
    options: &LayoutOptions,
) -> Result<Vec<String>, Error> {
    let folder = Folder::new(name, options);
    crate::files::blocking(move || Ok(folder.index()?.names())).await
}

/// The digest of an image in a layout, and what else it is called there.
pub(crate) async fn siblings(
    name: &LayoutName,
    options: &LayoutOptions,
) -> Result<(Digest, Vec<String>), Error> {
    let folder = Folder::new(name, options);
    let wanted = name.wanted.clone();
    crate::files::blocking(move || siblings_in(&folder.index()?, &wanted)).await
}

/// The digest of an image in an index, and what else it is called there.
fn siblings_in(index: &Index, wanted: &Wanted) -> Result<(Digest, Vec<String>), Error> {
    let meant = index.find(wanted)?;
    let image = index.entry(meant)?;
    let digest = image.descriptor()?.digest;
    let by_reference = matches!(wanted, Wanted::Reference(_));
    let is_doubled = |entry: &index::Entry| by_reference && entry.is_called_as(image);
    let others = index.entries().iter().enumerate().filter(|(at, entry)| {
        *at != meant
            && !is_doubled(entry)
            && entry.descriptor().is_ok_and(|target| target.digest == digest)
    });
    let others = others.map(|(at, entry)| match entry.ref_name() {
        Some(name) if index.find_first(name) == Some(at) => name.to_owned(),
        _ => format!("@{at}"),
    });
    let others = others.collect();
    Ok((digest, others))
}

/// Writes the index that those which are `gone` are no longer in, without their referrers, and
/// removes the blobs that nothing else needs.
fn sweep_images(
    folder: &Folder,
    gone: Vec<Target>,
    mut index: Index,
    lock: &Lock,
) -> Result<(), Error> {
    let mut reached = Reach::default();
    for gone in gone {
        reached.follow(folder, gone)?;
    }
    let needed = drop_orphans(folder, &mut index, &mut reached)?;
    let mut text = index.encode();
    text.push(b'\n');
    // The name goes first: killed in between, blobs may be left over but none is missing.
    folder.replace_index(&text, lock)?;
    for digest in reached.digests().filter(|digest| !needed.contains(digest)) {
        remove_blob(folder, digest)?;
    }
    Ok(())
}

/// Removes the referrers of nothing but what was `reached` from an image that is gone, and adds
/// them to that. Returns what is still needed. Referrers of what was not here at all stay.
fn drop_orphans(
    place: &dyn BlobStore,
    index: &mut Index,
    reached: &mut Reach,
) -> Result<Reach, Error> {
    let mut needed = Reach::default();
    let mut waiting = Vec::new();
    for entry in index.entries() {
        match entry.ref_name().and_then(referrers_tag::subject_tag) {
            Some(tag) => waiting.push((tag.to_owned(), entry.clone())),
            None => needed.follow(place, entry.descriptor()?)?,
        }
    }
    // Referrers of referrers are reached step by step.
    loop {
        let tags = needed.tags();
        let (kept, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(tag, _)| tags.contains(tag));
        waiting = rest;
        for (_, entry) in &kept {
            needed.follow(place, entry.descriptor()?)?;
        }
        if kept.is_empty() {
            break;
        }
    }
    loop {
        let tags = reached.tags();
        let (gone, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(tag, _)| tags.contains(tag));
        waiting = rest;
        for (_, entry) in &gone {
            reached.follow(place, entry.descriptor()?)?;
            index.forget(entry);
        }
        if gone.is_empty() {
            break;
        }
    }
    for (_, entry) in waiting {
        needed.follow(place, entry.descriptor()?)?;
    }
    Ok(needed)
}

fn remove_blob(folder: &Folder, digest: &Digest) -> Result<(), Error> {
    match fs_err::remove_file(folder.own_blob(digest)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
