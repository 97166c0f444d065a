//! `index.json`: find, replace, remove. Pure.
//!
//! All descriptors are kept as they are written, and looked into when they are asked for: a file of
//! others takes no more memory than its own length and a few bytes for each of them.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::Error as JsonError;
use skopeo_image::MediaType;
use skopeo_image::go_json::{self, Budget, Raw};
use skopeo_image::number::narrow;

use super::LayoutError;
use super::name::Wanted;
use super::referrers_tag::is_made_of_digest;
use crate::{Error, files};

pub(crate) use entry::{Entry, Target};

use entry::wrong;

/// The most descriptors: more than a file of [`files::MAX_INDEX`] bytes can have with digests.
const MOST: usize = 1 << 20;

/// An `index.json`. What it holds beyond our knowledge is kept as it is.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// What the document has before and behind its descriptors.
    before: Vec<(String, Raw)>,
    behind: Vec<(String, Raw)>,
    entries: Vec<Entry>,
}

impl Index {
    /// An index of nothing, as the original begins one.
    pub(crate) fn new() -> Self {
        let version = Raw::of(&2).expect("a number is JSON");
        let media_type = Raw::of(&MediaType::OCI_INDEX).expect("a text is JSON");
        let before = vec![("schemaVersion".into(), version), ("mediaType".into(), media_type)];
        Self { before, behind: Vec::new(), entries: Vec::new() }
    }

    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, JsonError> {
        let longest = narrow(files::MAX_INDEX);
        let mut budget = Budget::new(longest, MOST);
        let document = Raw::parse(bytes, &mut budget)?;
        if !document.is_object() {
            return Err(wrong("it is not an object"));
        }
        let mut index = Self { before: Vec::new(), behind: Vec::new(), entries: Vec::new() };
        let mut lists: Vec<Raw> = Vec::new();
        for (key, value) in document.members(&budget)? {
            if go_json::is_name("manifests", &key) {
                lists.push(value);
            } else if lists.is_empty() {
                index.before.push((key.into_owned(), value));
            } else {
                index.behind.push((key.into_owned(), value));
            }
        }
        index.entries = match &lists[..] {
            [] => Vec::new(),
            [list] => items(list, &budget)?,
            lists => merged(lists, &budget)?,
        }
        .into_iter()
        .map(Entry::of)
        .collect::<Result<_, _>>()?;
        Ok(index)
    }

    /// The document on one line, as Go writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let lengths = self.entries.iter().map(|entry| entry.raw.as_str().len().saturating_add(1));
        let mut text = Vec::with_capacity(lengths.fold(256, usize::saturating_add));
        let member = |key: &str, text: &mut Vec<u8>| {
            text.push(if text.is_empty() { b'{' } else { b',' });
            text.extend(go_json::to_vec(key).expect("a text is JSON"));
            text.push(b':');
        };
        for (key, value) in &self.before {
            member(key, &mut text);
            go_json::write_compact(value.as_str(), &mut text);
        }
        member("manifests", &mut text);
        text.push(b'[');
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            go_json::write_compact(entry.raw.as_str(), &mut text);
        }
        text.push(b']');
        for (key, value) in &self.behind {
            member(key, &mut text);
            go_json::write_compact(value.as_str(), &mut text);
        }
        text.push(b'}');
        text
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub(super) fn entry(&self, at: usize) -> Result<&Entry, Error> {
        let entries = self.entries.len();
        self.entries.get(at).ok_or_else(|| LayoutError::NoSuchEntry { index: at, entries }.into())
    }

    /// The references of all descriptors, in their order, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let names = self.entries.iter().filter_map(Entry::ref_name);
        names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
    }

    /// The place of the descriptor that a name means.
    pub(super) fn find(&self, wanted: &Wanted) -> Result<usize, Error> {
        match wanted {
            Wanted::Only if self.entries.len() == 1 => Ok(0),
            Wanted::Only => {
                let is_referrer = |entry: &Entry| entry.ref_name().is_some_and(is_made_of_digest);
                let mut images =
                    self.entries.iter().enumerate().filter(|(_, entry)| !is_referrer(entry));
                match (images.next(), images.next()) {
                    (Some((at, _)), None) => Ok(at),
                    _ => Err(LayoutError::MoreThanOneImage.into()),
                }
            }
            Wanted::Index(index) if *index < self.entries.len() => Ok(*index),
            Wanted::Index(index) => {
                Err(LayoutError::NoSuchEntry { index: *index, entries: self.entries.len() }.into())
            }
            Wanted::Reference(reference) => {
                let mut types = Vec::new();
                for (at, entry) in self.entries.iter().enumerate() {
                    if entry.ref_name() != Some(reference) {
                        continue;
                    }
                    let media_type = entry.media_type();
                    if is_manifest(&media_type) {
                        return Ok(at);
                    }
                    types.push(media_type.to_string());
                }
                Err(if types.is_empty() {
                    LayoutError::NoSuchReference(reference.clone()).into()
                } else {
                    LayoutError::UnsupportedEntry { reference: reference.clone(), types }.into()
                })
            }
        }
    }

    /// The place of the first descriptor under a reference, whatever it is.
    pub(super) fn find_first(&self, reference: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.ref_name() == Some(reference))
    }

    /// The descriptor under a reference, whatever it is.
    pub(super) fn by_ref(&self, reference: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.ref_name() == Some(reference))
    }

    /// Adds a descriptor in the place of the one that has its reference, which is given back, with
    /// all others that have its name too.
    pub(super) fn put(&mut self, new: Entry) -> Vec<Entry> {
        let same = |entry: &&mut Entry| entry.ref_name() == new.ref_name();
        let Some(place) = self.entries.iter_mut().find(same) else {
            self.entries.push(new);
            return Vec::new();
        };
        let old = std::mem::replace(place, new.clone());
        let mut gone = vec![old.clone()];
        if new.ref_name().is_some() {
            let mut is_first = true;
            gone.extend(self.entries.extract_if(.., |entry| {
                entry.ref_name() == new.ref_name()
                    && !std::mem::take(&mut is_first)
                    && (entry.is_called_as(&old) || entry.is_called_as(&new))
            }));
        }
        gone
    }

    /// Adds a descriptor as the original does: those that had its reference lose it but stay, and
    /// one of the same digest without a reference is replaced.
    pub(crate) fn add(&mut self, new: Entry) {
        if let Some(reference) = new.ref_name() {
            let all = self.entries.iter_mut().filter(|entry| entry.ref_name() == Some(reference));
            all.for_each(Entry::forget_reference);
        }
        let digest = new.fields().map(|fields| fields.digest).ok();
        let same = |entry: &&mut Entry| {
            entry.ref_name().is_none()
                && entry.fields().is_ok_and(|fields| Some(fields.digest) == digest)
        };
        match self.entries.iter_mut().find(same) {
            Some(entry) => *entry = new,
            None => self.entries.push(new),
        }
    }

    /// Removes the descriptor that has the reference of this one.
    pub(super) fn forget(&mut self, gone: &Entry) {
        self.entries.retain(|entry| entry.ref_name() != gone.ref_name());
    }

    /// Removes the descriptors that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
    }

    /// Removes the descriptor at a place that [`find`](Self::find) gave.
    pub(crate) fn remove(&mut self, at: usize) -> Entry {
        self.entries.remove(at)
    }
}

/// Whether it says what an image is. Schema 1 comes only from who keeps what was there.
pub(super) fn is_manifest(media_type: &MediaType) -> bool {
    media_type.is_manifest()
}

/// The descriptors of a list.
fn items(list: &Raw, budget: &Budget) -> Result<Vec<Raw>, JsonError> {
    match list.items(budget)? {
        Some(items) => Ok(items),
        None if list.is_null() => Ok(Vec::new()),
        None => Err(wrong("its manifests are not an array")),
    }
}

/// The descriptors of a document that has several lists: Go reads each into what the one before
/// has left, place by place.
fn merged(lists: &[Raw], budget: &Budget) -> Result<Vec<Raw>, JsonError> {
    let mut before: Vec<Raw> = Vec::new();
    for list in lists {
        let mut old = std::mem::take(&mut before).into_iter();
        for item in items(list, budget)? {
            before.push(match old.next() {
                Some(old) if old.is_object() && item.is_object() => {
                    let (old, new) = (old.members(budget)?, item.members(budget)?);
                    let members = old.iter().chain(&new).map(|(key, value)| (&**key, value));
                    Raw::object(members)?
                }
                Some(old) if item.is_null() => old,
                _ => item,
            });
        }
    }
    Ok(before)
}
