//! `index.json`: find, replace, remove. Pure.

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use skopeo_image::{Digest, MediaType, go_json};

use super::Entry as Wanted;
use crate::Error;

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An `index.json`. What it holds beyond our knowledge is kept as it is.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    document: Map<String, Value>,
    entries: Vec<Entry>,
}

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    raw: Map<String, Value>,
    /// The reference in it, which is looked for more often than all else.
    name: Option<String>,
}

/// What is needed of a descriptor here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) media_type: MediaType,
    pub(crate) digest: Digest,
}

impl Index {
    /// An index of nothing, as the original begins one.
    pub(crate) fn new() -> Self {
        let mut document = Map::new();
        document.insert("schemaVersion".into(), 2.into());
        document.insert("mediaType".into(), MediaType::OCI_INDEX.as_str().into());
        document.insert("manifests".into(), Value::Null);
        Self { document, entries: Vec::new() }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes)?;
        let entries = document.get_mut("manifests").map_or(Value::Null, Value::take);
        let entries: Option<Vec<Map<String, Value>>> = serde_json::from_value(entries)?;
        let entries = entries.unwrap_or_default().into_iter().map(Entry::of).collect();
        Ok(Self { document, entries })
    }

    /// The document on one line, as Go writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        go_json::to_vec(self).expect("a JSON value always encodes")
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
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
                    _ => Err(Error::MoreThanOneImage),
                }
            }
            Wanted::Index(index) if *index < self.entries.len() => Ok(*index),
            Wanted::Index(index) => {
                Err(Error::NoSuchEntry { index: *index, entries: self.entries.len() })
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
                    Error::NoSuchReference(reference.clone())
                } else {
                    Error::UnsupportedEntry { reference: reference.clone(), types }
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

    /// Adds a descriptor in the place of the one that has its reference, which is given back.
    pub(super) fn put(&mut self, new: Entry) -> Option<Entry> {
        match self.entries.iter_mut().find(|entry| entry.ref_name() == new.ref_name()) {
            Some(entry) => Some(std::mem::replace(entry, new)),
            None => {
                self.entries.push(new);
                None
            }
        }
    }

    /// Adds a descriptor as the original does: the one that had its reference loses it but stays,
    /// and one of the same digest without a reference is replaced.
    pub(crate) fn add(&mut self, new: Entry) {
        if let Some(reference) = new.ref_name()
            && let Some(old) =
                self.entries.iter_mut().find(|entry| entry.ref_name() == Some(reference))
        {
            old.forget_reference();
        }
        let same = |entry: &&mut Entry| {
            entry.text("digest") == new.text("digest") && entry.ref_name().is_none()
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

    /// Removes the descriptor at a place that [`find`](Self::find) gave.
    pub(crate) fn remove(&mut self, at: usize) -> Entry {
        self.entries.remove(at)
    }
}

/// Whether it says what an image is. Schema 1 comes only from who keeps what was there.
pub(super) fn is_manifest(media_type: &MediaType) -> bool {
    media_type.is_list()
        || media_type.is_schema1()
        || *media_type == MediaType::OCI_MANIFEST
        || *media_type == MediaType::DOCKER_MANIFEST
}

impl Entry {
    /// A new descriptor, its members in Go's order.
    pub(crate) fn new(target: &Target, size: usize, reference: Option<&str>) -> Self {
        let mut raw = Map::new();
        raw.insert("mediaType".into(), target.media_type.as_str().into());
        raw.insert("digest".into(), target.digest.as_str().into());
        raw.insert("size".into(), size.into());
        if let Some(reference) = reference {
            let annotations = Map::from_iter([(REF_NAME.to_owned(), reference.into())]);
            raw.insert("annotations".into(), Value::Object(annotations));
        }
        Self { raw, name: reference.filter(|it| !it.is_empty()).map(str::to_owned) }
    }

    fn of(raw: Map<String, Value>) -> Self {
        let mut entry = Self { raw, name: None };
        entry.name = entry.annotation(REF_NAME).map(str::to_owned);
        entry
    }

    pub(crate) fn descriptor(&self) -> Result<Target, Error> {
        let digest = self.text("digest").unwrap_or_default();
        let digest = digest
            .parse()
            .map_err(|source| Error::BadDigest { text: digest.to_owned(), source })?;
        Ok(Target { media_type: self.media_type(), digest })
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.raw.get("size")?.as_u64()
    }

    pub(crate) fn media_type(&self) -> MediaType {
        self.text("mediaType").unwrap_or_default().into()
    }

    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// An annotation that says something.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.raw.get("annotations")?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.raw.get(key)?.as_str()
    }

    fn forget_reference(&mut self) {
        self.name = None;
        if let Some(Value::Object(annotations)) = self.raw.get_mut("annotations") {
            annotations.shift_remove(REF_NAME);
            if annotations.is_empty() {
                self.raw.shift_remove("annotations");
            }
        }
    }
}

impl Serialize for Index {
    /// What it holds beyond our knowledge stays where it was.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.document {
            match key.as_str() {
                "manifests" => map.serialize_entry(key, &self.entries)?,
                _ => map.serialize_entry(key, value)?,
            }
        }
        if !self.document.contains_key("manifests") {
            map.serialize_entry("manifests", &self.entries)?;
        }
        map.end()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
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
        let text = "{\"x\":\"\\u003c\",\"manifests\":[{\"digest\":\"nonsense\",\"y\":1}],\
                    \"annotations\":{\"k\":\"v\"}}";
        assert_eq!(Index::parse(text.as_bytes()).unwrap().encode(), text.as_bytes());
        for text in ["[]", "{\"manifests\":1}", "{\"manifests\":[1]}", ""] {
            assert!(Index::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Index::parse(b"{\"manifests\":null}").unwrap().entries().is_empty());
    }
}
