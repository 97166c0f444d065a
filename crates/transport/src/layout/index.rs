//! `index.json`: find, replace, remove. Pure.
//!
//! All descriptors are kept as they are written, and looked into when they are asked for: a file of
//! others takes no more memory than its own length and a few bytes for each of them.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::Error as JsonError;
use skopeo_image::go_json::{self, Budget, Raw};
use skopeo_image::number::narrow;
use skopeo_image::{Digest, MediaType};

use super::Entry as Wanted;
use super::LayoutError;
use super::labels::name_of;
use crate::{Error, files};

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

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

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    raw: Raw,
    /// The reference in it, which is looked for more often than all else.
    name: Option<Box<str>>,
}

/// What is needed of a descriptor here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) media_type: MediaType,
    pub(crate) digest: Digest,
}

/// A descriptor, as far as it is read here.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    media_type: MediaType,
    digest: String,
    #[serde(deserialize_with = "go_json::size")]
    size: Option<u64>,
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
                let hangs = |entry: &Entry| entry.ref_name().is_some_and(super::hanging::is_name);
                let mut images = self.entries.iter().enumerate().filter(|(_, entry)| !hangs(entry));
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

impl Entry {
    /// A new descriptor, its members in Go's order.
    pub(crate) fn new(target: &Target, size: usize, reference: Option<&str>) -> Self {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct New<'a> {
            media_type: &'a MediaType,
            digest: &'a str,
            size: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            annotations: Option<BTreeMap<&'a str, &'a str>>,
        }
        let raw = Raw::of(&New {
            media_type: &target.media_type,
            digest: target.digest.as_str(),
            size,
            annotations: reference.map(|reference| BTreeMap::from([(REF_NAME, reference)])),
        });
        let raw = raw.expect("texts and a number are JSON");
        Self { raw, name: reference.filter(|it| !it.is_empty()).map(Into::into) }
    }

    fn of(raw: Raw) -> Result<Self, JsonError> {
        if !raw.is_object() && !raw.is_null() {
            return Err(wrong("a descriptor is not an object"));
        }
        let mut entry = Self { raw, name: None };
        entry.name = entry.annotation(REF_NAME).map(Into::into);
        Ok(entry)
    }

    pub(crate) fn descriptor(&self) -> Result<Target, Error> {
        let Fields { media_type, digest, .. } = self.fields()?;
        match digest.parse() {
            Ok(digest) => Ok(Target { media_type, digest }),
            Err(source) => Err(LayoutError::BadDigest { text: digest, source }.into()),
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.fields().ok()?.size
    }

    pub(crate) fn media_type(&self) -> MediaType {
        self.fields().map(|fields| fields.media_type).unwrap_or_default()
    }

    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether another one has the same reference, and beside that the same whole name or none.
    pub(super) fn is_called_as(&self, other: &Self) -> bool {
        self.ref_name() == other.ref_name() && name_of(self) == name_of(other)
    }

    /// An annotation that says something.
    pub(crate) fn annotation(&self, key: &str) -> Option<String> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Annotated<T> {
            annotations: BTreeMap<String, T>,
        }
        let found = match self.raw.read::<Annotated<String>>() {
            Ok(mut read) => read.annotations.remove(key),
            // Another one may be no text.
            Err(_) => {
                let read: Annotated<serde_json::Value> = self.raw.read().ok()?;
                read.annotations.get(key)?.as_str().map(str::to_owned)
            }
        };
        found.filter(|text| !text.is_empty())
    }

    fn fields(&self) -> Result<Fields, Error> {
        Ok(self.raw.read().map_err(LayoutError::BadDescriptor)?)
    }

    fn forget_reference(&mut self) {
        self.name = None;
        if let Ok(raw) = without_reference(&self.raw) {
            self.raw = raw;
        }
    }
}

/// The same descriptor without a reference.
fn without_reference(raw: &Raw) -> Result<Raw, JsonError> {
    let budget = Budget::default();
    let mut kept: Vec<(String, Raw)> = Vec::new();
    for (key, value) in raw.members(&budget)? {
        if !go_json::is_name("annotations", &key) {
            kept.push((key.into_owned(), value));
            continue;
        }
        let annotations = value.members(&budget)?;
        let annotations: Vec<_> = annotations.iter().filter(|(key, _)| key != REF_NAME).collect();
        if !annotations.is_empty() {
            let value = Raw::object(annotations.iter().map(|(key, value)| (&**key, value)))?;
            kept.push((key.into_owned(), value));
        }
    }
    Raw::object(kept.iter().map(|(key, value)| (key.as_str(), value)))
}

fn wrong(text: &str) -> JsonError {
    serde::de::Error::custom(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(content: &str) -> Target {
        Target { media_type: MediaType::OCI_MANIFEST, digest: Digest::sha256(content.as_bytes()) }
    }

    fn entry(content: &str, reference: Option<&str>) -> Entry {
        Entry::new(&target(content), 1, reference)
    }

    fn shown(index: &Index) -> Vec<(&str, Option<&str>)> {
        let name = |entry: &Entry| {
            let digest = entry.descriptor().unwrap().digest;
            ["a", "b"].into_iter().find(|text| Digest::sha256(text.as_bytes()) == digest).unwrap()
        };
        index.entries().iter().map(|entry| (name(entry), entry.ref_name())).collect()
    }

    #[test]
    fn references_move_and_leave_their_descriptor() {
        let mut index = Index::new();
        index.add(entry("a", Some("1")));
        index.add(entry("b", Some("1")));
        assert_eq!(shown(&index), [("a", None), ("b", Some("1"))]);
        index.add(entry("a", Some("2"))); // takes the place of the nameless one
        assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1"))]);
        index.add(entry("a", None)); // a second name of the same digest
        assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1")), ("a", None)]);
        index.add(entry("b", Some("1"))); // again: nothing changes
        assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1")), ("a", None)]);
    }

    #[test]
    fn finds_in_the_originals_words() {
        let mut index = Index::new();
        let only = Wanted::Only;
        let reference = |text: &str| Wanted::Reference(text.into());
        let error = |index: &Index, wanted: &Wanted| index.find(wanted).unwrap_err().to_string();
        assert_eq!(error(&index, &only), "more than one image in oci, choose an image");
        index.add(entry("a", Some("1")));
        assert_eq!(index.find(&only).unwrap(), 0);
        index.add(entry("b", Some("2")));
        assert_eq!(index.find(&reference("2")).unwrap(), 1);
        assert_eq!(index.find(&Wanted::Index(1)).unwrap(), 1);
        assert_eq!(error(&index, &only), "more than one image in oci, choose an image");
        assert_eq!(
            error(&index, &Wanted::Index(2)),
            "index 2 is too large, only 2 entries available"
        );
        let missing = index.find(&reference("3")).unwrap_err();
        assert_eq!(missing.to_string(), "no descriptor found for reference \"3\"");
        assert!(missing.is_not_found());
        let odd = Target { media_type: "text/plain".into(), ..target("b") };
        index.add(Entry::new(&odd, 1, Some("odd")));
        assert_eq!(
            error(&index, &reference("odd")),
            "reference \"odd\" matches unsupported manifest MIME types [\"text/plain\"]"
        );
    }

    #[test]
    fn the_only_image_is_found_beside_what_hangs_on_it() {
        let hex = Digest::sha256(b"a").hex().to_owned();
        let names = [format!("sha256-{hex}"), format!("sha256-{hex}.sig")];
        let mut index = Index::new();
        index.put(entry("b", Some(&names[0])));
        index.add(entry("a", None));
        index.put(entry("b", Some(&names[1])));
        assert_eq!(index.find(&Wanted::Only).unwrap(), 1);
        assert_eq!(index.find(&Wanted::Index(0)).unwrap(), 0);
        assert_eq!(index.find(&Wanted::Reference(names[1].clone())).unwrap(), 2);
        index.put(entry("a", Some(&names[1]))); // in its place: nothing is left nameless
        assert_eq!(index.entries().len(), 3);
        index.add(entry("b", Some("x")));
        index.find(&Wanted::Only).unwrap_err();
        index.remove(3);
        index.remove(1);
        index.find(&Wanted::Only).unwrap_err();
        index.remove(1);
        assert_eq!(index.find(&Wanted::Only).unwrap(), 0); // whatever it is
    }

    #[test]
    fn a_doubled_name_is_replaced_whole() {
        let doubled = || {
            let text = [entry("a", Some("1")), entry("b", Some("2")), entry("b", Some("1"))]
                .map(|entry| entry.raw.as_str().to_owned());
            let text = format!(r#"{{"manifests":[{}]}}"#, text.join(","));
            Index::parse(text.into_bytes()).unwrap()
        };
        let digests = |gone: Vec<Entry>| {
            gone.iter().map(|entry| entry.descriptor().unwrap().digest).collect::<Vec<_>>()
        };
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let mut index = doubled();
        assert_eq!(digests(index.put(entry("b", Some("1")))), [a, b]);
        assert_eq!(shown(&index), [("b", Some("1")), ("b", Some("2"))]);
        // Who keeps what was there takes the name from all that have it.
        let mut index = doubled();
        index.add(entry("a", Some("1")));
        assert_eq!(shown(&index), [("a", Some("1")), ("b", Some("2")), ("b", None)]);
        // Without a reference, only one is replaced.
        let mut index = doubled();
        index.put(entry("a", None));
        index.entries.push(entry("b", None));
        assert_eq!(digests(index.put(entry("b", None))), [Digest::sha256(b"a")]);
        assert_eq!(index.entries().len(), 5);
    }

    #[test]
    fn a_reference_that_is_part_of_two_names_is_taken_from_one() {
        let named = |content: &str, name: &str| {
            entry(content, Some("latest")).raw.as_str().replace(
                "{\"org",
                &format!("{{\"io.containerd.image.name\":\"docker.io/library/{name}\",\"org"),
            )
        };
        let all = [named("a", "x:latest"), named("b", "y:latest"), named("b", "x:latest")];
        let text = format!(r#"{{"manifests":[{}]}}"#, all.join(","));
        let mut index = Index::parse(text.into_bytes()).unwrap();
        assert_eq!(index.put(entry("a", Some("latest"))).len(), 2);
        assert_eq!(shown(&index), [("a", Some("latest")), ("b", Some("latest"))]);
        assert_eq!(name_of(&index.entries()[1]).unwrap(), "docker.io/library/y:latest");
        assert_eq!(index.find(&Wanted::Reference("latest".into())).unwrap(), 0);
    }

    #[test]
    fn encodes_as_go_and_keeps_what_it_does_not_know() {
        let mut index = Index::new();
        index.add(entry("a", Some("1")));
        let digest = Digest::sha256(b"a");
        assert_eq!(
            String::from_utf8(index.encode()).unwrap(),
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
                 \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"digest\":\"{digest}\",\"size\":1,\"annotations\":\
                 {{\"org.opencontainers.image.ref.name\":\"1\"}}}}]}}"
            )
        );
        let text = "{\"x\":\"\\u003c\",\"manifests\":[{\"digest\":\"nonsense\",\"y\":1.50e3}],\
                    \"annotations\":{\"k\":\"v\"}}";
        assert_eq!(Index::parse(text.into()).unwrap().encode(), text.as_bytes());
        for text in ["[]", "{\"manifests\":1}", "{\"manifests\":[1]}", ""] {
            assert!(Index::parse(text.into()).is_err(), "{text}");
        }
        assert!(Index::parse(b"{\"manifests\":null}".into()).unwrap().entries().is_empty());
    }

    #[test]
    fn reads_as_go_does() {
        let digest = Digest::sha256(b"a");
        let index = |text: String| Index::parse(text.into_bytes());
        let own = MediaType::OCI_MANIFEST;
        let named =
            format!(r#""mediaType":"{own}","annotations":{{"{REF_NAME}":"1","{REF_NAME}":"2"}}"#);
        for text in [
            format!(r#"{{"Manifests":[{{"Digest":"{digest}",{named}}}]}}"#),
            format!(
                r#"{{"MANIFESTS":[{{"DIGEST":"x","digest":"{digest}","Annotations":null,{named}}}]}}"#
            ),
            format!(
                r#"{{"manifests":[{{"digest":"x"}}],"manifests":[{{"digest":"{digest}",{named}}}]}}"#
            ),
            format!(
                r#"{{"manifests":[{{{named},"size":1}}],"manifests":[{{"digest":"{digest}"}}]}}"#
            ),
        ] {
            let mut read = index(text.clone()).unwrap();
            assert_eq!(read.find(&Wanted::Reference("2".into())).unwrap(), 0, "{text}");
            assert_eq!(read.entries()[0].descriptor().unwrap().digest, digest, "{text}");
            read.add(entry("b", Some("2")));
            assert_eq!(shown(&read), [("a", None), ("b", Some("2"))], "{text}");
            let again = Index::parse(read.encode()).unwrap();
            assert_eq!(shown(&again), shown(&read), "{text}");
        }
        // Sizes that no file has are refused, with the descriptor that has them.
        for (size, right) in
            [("-1", true), ("null", true), ("9223372036854775808", false), ("1e1", false)]
        {
            let text = format!(r#"{{"manifests":[{{"digest":"{digest}","size":{size}}}]}}"#);
            let read = index(text).unwrap();
            assert_eq!(read.entries()[0].descriptor().is_ok(), right, "{size}");
            assert_eq!(read.entries()[0].size(), None);
        }
    }

    #[test]
    fn only_so_many_entries_are_read() {
        for hostile in ["{\"a\":0},", "{},", "null,"] {
            let text = format!("{{\"manifests\":[{}{{}}]}}", hostile.repeat(MOST));
            let error = Index::parse(text.into_bytes()).unwrap_err().to_string();
            assert!(error.contains("more than 1048576 entries"), "{error}");
        }
        let text = format!("{{{}\"manifests\":[]}}", "\"a\":0,".repeat(MOST));
        assert!(Index::parse(text.into_bytes()).is_err());
        let one = format!("{{\"manifests\":[{{\"x\":[{}0]}}]}}", "0,".repeat(MOST));
        let index = Index::parse(one.into_bytes()).unwrap();
        assert!(index.entries()[0].descriptor().is_err());
    }
}
