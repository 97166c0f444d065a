//! `oci:` and `oci-archive:`: images in an OCI layout, which lies in a folder or in a tar.
//!
//! `index.json` names manifests, `blobs/ALGORITHM/HEX` holds them and all else. Whoever edits
//! `index.json` holds an exclusive lock on the file `.lock` beside it, reads the index again, and
//! replaces it by renaming, so that copies into one layout at the same time lose nothing; a
//! registry that is served from the layout does the same.

mod archive;
#[cfg_attr(not(feature = "object-stores"), path = "bucket/absent.rs")]
pub(crate) mod bucket;
mod destination;
mod editor;
mod error;
mod folder;
mod hanging;
mod index;
mod labels;
mod many;
mod reach;
mod source;

use std::fmt;
use std::path::Path;

use skopeo_image::{Digest, PolicyScope, Reference};

use crate::Error;
use crate::name::{Name, NameError, parents, resolve, split_path};
use crate::options::LayoutOptions;

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
pub(crate) use source::open;

use folder::{Folder, Lock};
use index::Target;
use reach::Reach;
use source::Place;

/// The name of an image in a layout, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayoutName {
    path: String,
    resolved: String,
    entry: Entry,
}

/// Which descriptor of the index is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Entry {
    /// The only one; when writing, one without a reference.
    Only,
    /// The one annotated with this reference.
    Reference(String),
    /// The one at this place, counted from 0. Only for what is there already.
    Index(usize),
}

impl LayoutName {
    /// Parses what stands behind the colon: a path up to the next colon, then a reference.
    pub(crate) fn parse(details: &str) -> Result<Self, NameError> {
        let (path, reference) = split_path(details);
        let reference = reference.unwrap_or_default();
        let entry = entry_of(reference)?;
        let resolved = resolve(path)?;
        check_entry(&entry)?;
        Ok(Self { path: path.to_owned(), resolved, entry })
    }

    /// The name of one of several images that a place has, or will have.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, NameError> {
        if split_path(place).1.is_some() {
            return Err(NameError::Colon(place.to_owned()));
        }
        if !is_name(label) {
            return Err(NameError::LayoutReference(label.to_owned()));
        }
        Self::parse(&format!("{place}:{label}"))
    }

    /// The reference in it, if it has one.
    pub(crate) fn reference(&self) -> Option<&String> {
        match &self.entry {
            Entry::Reference(reference) => Some(reference),
            Entry::Only | Entry::Index(_) => None,
        }
    }

    /// The folder, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(if self.path.is_empty() { "." } else { &self.path })
    }
}

impl Name for LayoutName {
    fn transport(&self) -> &'static str {
        "oci"
    }

    fn policy_scope(&self) -> PolicyScope {
        // The reference is no part of it: with and without one, a name may mean the same image. The
        // root is the same as any place, so it is no namespace.
        let own = (self.resolved != "/").then(|| self.resolved.clone());
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: self.resolved.clone(),
            namespaces: own.into_iter().chain(parents(&self.resolved)).collect(),
            reference: None,
        }
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Entry::Only => write!(f, "{}:", self.path),
            Entry::Reference(reference) => write!(f, "{}:{reference}", self.path),
            Entry::Index(index) => write!(f, "{}:@{index}", self.path),
        }
    }
}

/// Which descriptor is meant by what stands behind the path of a layout.
fn entry_of(reference: &str) -> Result<Entry, NameError> {
    Ok(match reference.strip_prefix('@') {
        None if reference.is_empty() => Entry::Only,
        None => Entry::Reference(reference.to_owned()),
        Some(number) => match number.parse::<i64>() {
            Ok(index) => {
                Entry::Index(usize::try_from(index).map_err(|_| NameError::IndexNegative(index))?)
            }
            Err(source) => {
                return Err(NameError::IndexNotInteger { text: number.to_owned(), source });
            }
        },
    })
}

fn check_entry(entry: &Entry) -> Result<(), NameError> {
    match entry {
        Entry::Reference(reference) if !is_name(reference) => {
            Err(NameError::LayoutReference(reference.clone()))
        }
        _ => Ok(()),
    }
}

/// The same, of a text that has been looked at.
#[cfg(feature = "object-stores")]
fn parse_entry(reference: &str) -> Result<Entry, NameError> {
    let entry = entry_of(reference)?;
    check_entry(&entry)?;
    Ok(entry)
}

/// Whether an image can be called so in a layout. What registries call images is more than the
/// grammar of the specification has.
fn is_name(text: &str) -> bool {
    is_reference(text) || Reference::parse_normalized(text).is_ok()
}

/// Whether a text is a reference as the OCI image specification has it for
/// `org.opencontainers.image.ref.name`: alphanumeric runs, joined by one of `-._:@+` or by `--`, in
/// components joined by `/`.
fn is_reference(text: &str) -> bool {
    text.split('/').all(|component| {
        let mut rest = component;
        loop {
            let run = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            if run.len() == rest.len() {
                return false;
            }
            if run.is_empty() {
                return true;
            }
            rest = match run.strip_prefix("--") {
                Some(rest) => rest,
                None if run.starts_with(['-', '.', '_', ':', '@', '+']) => &run[1..],
                None => return false,
            };
        }
    })
}

/// Deletes an image: its descriptor, what hangs on it under names made of its digest, and the blobs
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
        let entry = index.remove(index.find(&name.entry)?);
        let gone = entry.descriptor()?;
        if expected.as_ref().is_some_and(|expected| *expected != gone.digest) {
            return Err(Error::Rewritten(format!("oci:{name}")));
        }
        if let Entry::Reference(reference) = &name.entry {
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
        Ok(index.entry(index.find(&name.entry)?)?.descriptor()?.digest)
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
    let entry = name.entry.clone();
    crate::files::blocking(move || siblings_in(&folder.index()?, &entry)).await
}

/// The digest of an image in an index, and what else it is called there.
fn siblings_in(index: &Index, wanted: &Entry) -> Result<(Digest, Vec<String>), Error> {
    let meant = index.find(wanted)?;
    let image = index.entry(meant)?;
    let digest = image.descriptor()?.digest;
    let by_reference = matches!(wanted, Entry::Reference(_));
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

/// Writes the index that those which are `gone` are no longer in, without what hung on them, and
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

/// Removes what hung on nothing but what was `reached` from an image that is gone, and adds it to
/// that. Gives back what is still needed. What hangs on what was not here at all stays.
fn drop_orphans(place: &dyn Place, index: &mut Index, reached: &mut Reach) -> Result<Reach, Error> {
    let mut needed = Reach::default();
    let mut waiting = Vec::new();
    for entry in index.entries() {
        match entry.ref_name().and_then(hanging::subject_tag) {
            Some(tag) => waiting.push((tag.to_owned(), entry.clone())),
            None => needed.follow(place, entry.descriptor()?)?,
        }
    }
    // What hangs on what hangs is reached step by step.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_references() {
        for (text, valid) in [
            ("latest", true),
            ("a", true),
            ("1.2_3:4@5+6-7--8", true),
            ("docker.io/library/centos:7.5.1804", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("-a", false),
            ("a-", false),
            ("a---b", false),
            ("a..b", false),
            ("a b", false),
            ("ä", false),
            ("..", false),
        ] {
            assert_eq!(is_reference(text), valid, "{text:?}");
        }
    }
}
