//! `index.json` of a layout: read, edit, encode. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};
use skopeo_image::{Digest, MediaType};

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which a signed schema 1 manifest is found under the digest of its payload,
/// which is not that of its bytes.
pub(crate) const PAYLOAD_DIGEST: &str = "io.skopeo.schema1.payload-digest";

/// The member that holds the descriptors.
const MANIFESTS: &str = "manifests";

/// How many descriptors an index may have. Whoever wrote the file must not choose how much memory
/// it takes to read: a descriptor of a few bytes takes some hundred.
pub(super) const MAX_ENTRIES: usize = 200_000;

/// An `index.json`. What it holds beyond our knowledge is kept as it is, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// All members but the descriptors.
    rest: Vec<(String, Arc<RawValue>)>,
    /// Before how many of them the descriptors stand.
    at: Option<usize>,
    entries: Vec<Entry>,
}

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    raw: Arc<RawValue>,
    digest: Option<Digest>,
    payload: Option<Digest>,
    media_type: MediaType,
    ref_name: Option<Box<str>>,
    is_bare: bool,
}

impl Index {
    /// Reads the document. A descriptor without a valid digest is kept and never found.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Members(members) = serde_json::from_slice(bytes)?;
        let mut index = Self::default();
        for (name, value) in members {
            if name != MANIFESTS {
                index.rest.retain(|(other, _)| *other != name);
                index.rest.push((name.into_owned(), value.to_owned().into()));
                continue;
            }
            // As everywhere, the last of two members of a name counts.
            index.at = Some(index.rest.len());
            // Something else than a list is as good as none.
            if !value.get().starts_with('[') {
                index.entries = Vec::new();
                continue;
            }
            let Entries(entries) = serde_json::from_str(value.get())?;
            index.entries = entries;
        }
        Ok(index)
    }

    /// The document as the original's `oci:` writes it: no spaces, `schemaVersion` first, and
    /// `<`, `>`, `&` escaped as Go does. What we do not change stays as it was written.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = String::from("{");
        if !self.rest.iter().any(|(name, _)| name == "schemaVersion") {
            text += "\"schemaVersion\":2,";
        }
        let at = self.at.unwrap_or(self.rest.len()).min(self.rest.len());
        let (before, behind) = self.rest.split_at(at);
        let member = |text: &mut String, (name, value): &(String, Arc<RawValue>)| {
            let _ = write!(text, "{}:{}", Value::from(name.as_str()), value.get());
        };
        for one in before {
            member(&mut text, one);
            text.push(',');
        }
        text += "\"manifests\":[";
        for (number, entry) in self.entries.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            text += entry.raw.get();
        }
        text.push(']');
        for one in behind {
            text.push(',');
            member(&mut text, one);
        }
        text.push('}');
        // These five stand only inside strings, so the text may be edited as a whole.
        text.replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029")
            .into_bytes()
    }

    /// All descriptors, in their order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The descriptor under a reference.
    pub(crate) fn by_ref(&self, ref_name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.ref_name() == Some(ref_name))
    }

    /// A descriptor of this digest, be it of the bytes or of a schema 1 payload.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            entry.digest.as_ref() == Some(digest) || entry.payload.as_ref() == Some(digest)
        })
    }

    /// Adds a descriptor as the original's `oci:` does: whoever had its reference loses it but
    /// stays, and a descriptor of the same digest without a reference is replaced.
    pub(crate) fn add(&mut self, new: Entry) {
        if let Some(name) = new.ref_name() {
            self.remove_ref(name);
        }
        let same = |entry: &&mut Entry| entry.digest == new.digest && entry.ref_name().is_none();
        match self.entries.iter_mut().find(same) {
            Some(entry) => *entry = new,
            None => self.entries.push(new),
        }
    }

    /// Takes a reference away. Its descriptor stays, unless the digest is there a second time.
    pub(crate) fn remove_ref(&mut self, ref_name: &str) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.ref_name() == Some(ref_name))
        else {
            return false;
        };
        let digest = self.entries[at].digest.clone();
        if self.entries.iter().filter(|entry| entry.digest == digest).count() > 1 {
            self.entries.remove(at);
        } else {
            self.entries[at].forget_ref();
        }
        true
    }

    /// Removes the descriptors for which `gone` holds.
    pub(crate) fn remove(&mut self, gone: impl Fn(&Entry) -> bool) {
        self.entries.retain(|entry| !gone(entry));
    }
}

impl Entry {
    /// A new descriptor, its members in the order of the specification's Go type.
    pub(crate) fn describing(
        media_type: &MediaType,
        digest: &Digest,
        size: u64,
        annotations: &[(&str, &str)],
    ) -> Self {
        let mut raw = Map::new();
        raw.insert("mediaType".into(), media_type.as_str().into());
        raw.insert("digest".into(), digest.as_str().into());
        raw.insert("size".into(), size.into());
        if !annotations.is_empty() {
            let annotations: Map<_, _> =
                annotations.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
            raw.insert("annotations".into(), Value::Object(annotations));
        }
        let raw = serde_json::value::to_raw_value(&raw).unwrap_or_default();
        Self::new(raw.into())
    }

    fn new(raw: Arc<RawValue>) -> Self {
        let text = |value: Option<&&RawValue>| value.and_then(|value| string(value));
        let members: HashMap<Cow<'_, str>, &RawValue> = members(&raw);
        let annotations = members.get("annotations").map(|value| self::members(value));
        let annotation = |key| text(annotations.as_ref().and_then(|found| found.get(key)));
        let digest = |value: Option<String>| value.and_then(|text| text.parse().ok());
        Self {
            digest: digest(text(members.get("digest"))),
            payload: digest(annotation(PAYLOAD_DIGEST)),
            media_type: text(members.get("mediaType")).unwrap_or_default().into(),
            ref_name: annotation(REF_NAME).filter(|name| !name.is_empty()).map(Into::into),
            is_bare: members.keys().all(|key| matches!(&**key, "mediaType" | "digest" | "size")),
            raw: raw.clone(),
        }
    }

    /// The digest of the bytes.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The digest by which clients know the manifest.
    pub(crate) fn public_digest(&self) -> Option<&Digest> {
        self.payload.as_ref().or(self.digest.as_ref())
    }

    /// The declared media type; empty if there is none.
    pub(crate) fn media_type(&self) -> MediaType {
        self.media_type.clone()
    }

    /// The reference, if there is one.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.ref_name.as_deref()
    }

    /// Whether nothing but media type, digest and size is said: put by digest, or left by its tag.
    pub(crate) fn is_bare(&self) -> bool {
        self.is_bare
    }

    fn forget_ref(&mut self) {
        let Ok(mut raw) = serde_json::from_str::<Map<String, Value>>(self.raw.get()) else {
            return;
        };
        if let Some(Value::Object(annotations)) = raw.get_mut("annotations") {
            annotations.remove(REF_NAME);
            if annotations.is_empty() {
                raw.remove("annotations");
            }
        }
        if let Ok(raw) = serde_json::value::to_raw_value(&raw) {
            *self = Self::new(raw.into());
        }
    }
}

/// The members of an object, the last of each name; none of what is no object.
fn members(raw: &RawValue) -> HashMap<Cow<'_, str>, &RawValue> {
    serde_json::from_str(raw.get())
        .map(|Members(found)| found.into_iter().collect())
        .unwrap_or_default()
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The members of an object in their order, their values as text.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if found.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("it has too many members"));
                    }
                    found.push((Cow::Owned(name), value));
                }
                Ok(Members(found))
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

/// The descriptors of an index.
struct Entries(Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    if found.len() == MAX_ENTRIES {
                        let most = format!("it lists more than {MAX_ENTRIES} manifests");
                        return Err(A::Error::custom(most));
                    }
                    found.push(Entry::new(raw.to_owned().into()));
                }
                Ok(Entries(found))
            }
        }
        deserializer.deserialize_seq(Seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, tag: Option<&str>) -> Entry {
        let annotations: Vec<_> = tag.iter().map(|tag| (REF_NAME, *tag)).collect();
        Entry::describing(
            &MediaType::OCI_MANIFEST,
            &Digest::sha256(content.as_bytes()),
            1,
            &annotations,
        )
    }

    fn shown(index: &Index) -> Vec<(String, Option<&str>)> {
        let contents = ["a", "b", "c"];
        let name = |d: &Digest| {
            contents.iter().find(|c| Digest::sha256(c.as_bytes()) == *d).unwrap().to_string()
        };
        index.entries().iter().map(|e| (name(e.digest().unwrap()), e.ref_name())).collect()
    }

    #[test]
    fn tags_move_and_leave_their_manifest() {
        let mut index = Index::default();
        index.add(entry("a", Some("1")));
        index.add(entry("b", Some("1")));
        assert_eq!(shown(&index), [("a".into(), None), ("b".into(), Some("1"))]);
        index.add(entry("a", Some("2"))); // the bare one is taken
        assert_eq!(shown(&index), [("a".into(), Some("2")), ("b".into(), Some("1"))]);
        index.add(entry("a", Some("3")));
        assert_eq!(index.entries().len(), 3);
        assert!(index.remove_ref("2")); // a second descriptor of the digest is there
        assert_eq!(shown(&index), [("b".into(), Some("1")), ("a".into(), Some("3"))]);
        assert!(index.remove_ref("3"));
        assert_eq!(shown(&index), [("b".into(), Some("1")), ("a".into(), None)]);
        assert!(index.entries()[1].is_bare());
        assert!(!index.remove_ref("3"));
    }

    #[test]
    fn encodes_as_the_original() {
        let mut index = Index::default();
        index.add(entry("a", Some("<1>")));
        let digest = Digest::sha256(b"a");
        let expected = format!(
            "{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"digest\":\"{digest}\",\"size\":1,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"\\u003c1\\u003e\"}}}}]}}"
        );
        assert_eq!(String::from_utf8(index.encode()).unwrap(), expected);
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        let text = "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"nonsense\",\"x\":1}],\"annotations\":{\"k\":\"v\"}}";
        let index = Index::parse(text.as_bytes()).unwrap();
        assert_eq!(index.encode(), text.as_bytes());
        assert!(index.by_digest(&Digest::sha256(b"")).is_none());
        assert!(Index::parse(b"[]").is_err());
        let odd = "{\"x\":{\"a\" : 1},\"manifests\":[7,{\"digest\":1},[]],\"schemaVersion\":2}";
        assert_eq!(Index::parse(odd.as_bytes()).unwrap().encode(), odd.as_bytes());
        let doubled = "{\"manifests\":[1],\"schemaVersion\":2,\"manifests\":null}";
        let kept = "{\"schemaVersion\":2,\"manifests\":[]}";
        assert_eq!(Index::parse(doubled.as_bytes()).unwrap().encode(), kept.as_bytes());
    }

    /// A small file must not take memory a thousand times its size.
    #[test]
    fn refuses_what_has_too_many_entries() {
        for (text, why) in [
            (format!("{{\"manifests\":[{}1]}}", "{},".repeat(MAX_ENTRIES)), "manifests"),
            (format!("{{{}\"b\":1}}", "\"a\":0,".repeat(MAX_ENTRIES)), "members"),
        ] {
            let error = Index::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let most = format!("{{\"manifests\":[{}]}}", vec!["{}"; MAX_ENTRIES].join(","));
        assert_eq!(Index::parse(most.as_bytes()).unwrap().entries().len(), MAX_ENTRIES);
    }
}
