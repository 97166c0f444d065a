//! `index.json` of a layout: read, edit, write. Reads no file.

use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};
use skopeo_image::number::wide;
use skopeo_image::{Digest, MediaType};

use super::kept::Count;
use super::room::Refusal;

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which a signed schema 1 manifest is found under the digest of its payload,
/// which is not that of its bytes.
pub(crate) const PAYLOAD_DIGEST: &str = "io.skopeo.schema1.payload-digest";

/// The member that holds the descriptors.
const MANIFESTS: &str = "manifests";

/// How many descriptors an index may have: as many as `oci:` reads and writes.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

/// How many members it may have beside them.
const MAX_MEMBERS: usize = 4096;

/// What a descriptor takes beside its text, in bytes: itself, the text of its digest, and what the
/// allocator adds. While they are read there is room for twice as many.
const ENTRY: usize = size_of::<Entry>() + 128;

/// What one takes more while they are read, in bytes: the list has room for twice as many, and is
/// copied when that is full.
const GROWING: usize = 2 * size_of::<Entry>();

/// What one takes in a copy that may grow by one, and then has room for twice as many.
const COPY: usize = 3 * size_of::<Entry>();

/// An `index.json`. What it holds beyond our knowledge is kept as it is, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// All members but the descriptors.
    rest: Vec<(String, Bytes)>,
    /// Before how many of them the descriptors stand.
    at: Option<usize>,
    entries: Vec<Entry>,
    /// How long its text was, in bytes.
    size: usize,
    /// What it takes of the memory, if that is counted. Clones share it.
    _counted: Option<Arc<Count>>,
}

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// A part of the text of the index, or a text of its own.
    raw: Bytes,
    digest: Option<Arc<Digest>>,
    payload: Option<Arc<Digest>>,
    media_type: MediaType,
    ref_name: Option<Arc<str>>,
    is_bare: bool,
}

/// Why an index cannot be used.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It makes no sense, or is not whole.
    Json(Error),
    /// It is more than is read.
    Refused(io::Error),
}

impl Unreadable {
    /// As an error of the system.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Json(error) => error.into(),
            Self::Refused(error) => error,
        }
    }
}

impl Index {
    /// Reads the document. A descriptor without a valid digest is kept and never found. What it
    /// takes is added to `count`, in which its text is already.
    pub(crate) fn parse(text: Bytes, count: Option<Count>) -> Result<Self, Unreadable> {
        let mut reading = Reading { text, count, refused: None };
        let read = reading.index();
        let Reading { count, refused, .. } = reading;
        match (read, refused) {
            (_, Some(refused)) => Err(Unreadable::Refused(refused)),
            (Err(error), None) => Err(Unreadable::Json(error)),
            (Ok(index), None) => Ok(Self { _counted: count.map(Arc::new), ..index }),
        }
    }

    /// About how long its text is, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What a copy takes that is edited, in bytes.
    pub(crate) fn size_of_copy(&self) -> usize {
        self.entries.len().saturating_mul(COPY)
    }

    /// The document as [`write`](Self::write) writes it.
    #[cfg(test)]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write(&mut text).unwrap();
        text
    }

    /// Writes the document as the original's `oci:` does: no spaces, `schemaVersion` first, and `<`,
    /// `>`, `&` escaped as Go does. What we do not change stays as it was written.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        to.write_all(b"{")?;
        if !self.rest.iter().any(|(name, _)| name == "schemaVersion") {
            to.write_all(b"\"schemaVersion\":2,")?;
        }
        let at = self.at.unwrap_or(self.rest.len()).min(self.rest.len());
        let (before, behind) = self.rest.split_at(at);
        let member = |to: &mut dyn io::Write, (name, value): &(String, Bytes)| {
            write_escaped(to, Value::from(name.as_str()).to_string().as_bytes())?;
            to.write_all(b":")?;
            write_escaped(to, value)
        };
        for one in before {
            member(to, one)?;
            to.write_all(b",")?;
        }
        to.write_all(b"\"manifests\":[")?;
        for (number, entry) in self.entries.iter().enumerate() {
            if number > 0 {
                to.write_all(b",")?;
            }
            write_escaped(to, &entry.raw)?;
        }
        to.write_all(b"]")?;
        for one in behind {
            to.write_all(b",")?;
            member(to, one)?;
        }
        to.write_all(b"}")
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
            entry.digest.as_deref() == Some(digest) || entry.payload.as_deref() == Some(digest)
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
        let digest = self.entries.get(at).and_then(|entry| entry.digest.clone());
        if self.entries.iter().filter(|entry| entry.digest == digest).count() > 1 {
            self.entries.remove(at);
        } else if let Some(entry) = self.entries.get_mut(at) {
            entry.forget_ref();
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
        Self::new(Value::Object(raw).to_string().into())
    }

    /// Reads a descriptor; one that makes no sense has no digest.
    fn new(raw: Bytes) -> Self {
        let members: Described = serde_json::from_slice(&raw).unwrap_or_default();
        let Described { media_type, digest, ref_name, payload, is_bare } = members;
        let digest_of =
            |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Arc::new);
        Self {
            digest: digest_of(digest),
            payload: digest_of(payload),
            media_type: media_type.unwrap_or_default().into(),
            ref_name: ref_name.filter(|name| !name.is_empty()).map(Into::into),
            is_bare,
            raw,
        }
    }

    /// What it takes beside itself and the text of the index, in bytes.
    fn heap(&self) -> usize {
        let of_type = self.media_type.as_str().len();
        let payload = if self.payload.is_some() { 128 } else { 0 };
        let name = self.ref_name.as_ref().map_or(0, |name| name.len().saturating_add(32));
        of_type.saturating_add(payload).saturating_add(name)
    }

    /// The digest of the bytes.
    pub(crate) fn digest(&self) -> Option<&Arc<Digest>> {
        self.digest.as_ref()
    }

    /// The digest by which clients know the manifest.
    pub(crate) fn public_digest(&self) -> Option<&Arc<Digest>> {
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
        let Ok(mut raw) = serde_json::from_slice::<Map<String, Value>>(&self.raw) else {
            return;
        };
        if let Some(Value::Object(annotations)) = raw.get_mut("annotations") {
            annotations.remove(REF_NAME);
            if annotations.is_empty() {
                raw.remove("annotations");
            }
        }
        *self = Self::new(Value::Object(raw).to_string().into());
    }
}

/// Writes JSON with the five letters escaped that Go escapes: they stand only inside of strings.
fn write_escaped(to: &mut dyn io::Write, text: &[u8]) -> io::Result<()> {
    // U+2028 and U+2029 begin with E2.
    if ![b'<', b'>', b'&', 0xe2].iter().any(|letter| text.contains(letter)) {
        return to.write_all(text);
    }
    let text = String::from_utf8_lossy(text)
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    to.write_all(text.as_bytes())
}

/// An index that is being read, and what it takes so far.
struct Reading {
    text: Bytes,
    count: Option<Count>,
    /// Why it is not read on.
    refused: Option<io::Error>,
}

impl Reading {
    fn index(&mut self) -> Result<Index, Error> {
        let text = self.text.clone();
        let mut index = Index { size: text.len(), ..Index::default() };
        let Members(members) = serde_json::from_slice(&text)?;
        for (name, value) in members {
            if name != MANIFESTS {
                index.rest.retain(|(other, _)| *other != name);
                index.rest.push((name, text.slice_ref(value.get().as_bytes())));
                continue;
            }
            // As everywhere, the last of two members of a name counts.
            index.at = Some(index.rest.len());
            index.entries = Vec::new();
            // Something else than a list is as good as none.
            if value.get().starts_with('[') {
                let mut json = serde_json::Deserializer::from_str(value.get());
                index.entries = json.deserialize_seq(Entries(self))?;
            }
        }
        Ok(index)
    }

    /// Counts an entry; an error if it is one too many.
    fn count<E: serde::de::Error>(&mut self, number: usize, bytes: usize) -> Result<(), E> {
        let counted = match &mut self.count {
            _ if number >= MAX_ENTRIES => Err(Refusal::ManyManifests(wide(MAX_ENTRIES)).into()),
            Some(count) => count.add(bytes),
            None => Ok(()),
        };
        counted.map_err(|refused| {
            self.refused = Some(refused);
            E::custom("it is too large to read")
        })
    }

    fn give_back(&mut self, bytes: usize) {
        if let Some(count) = &mut self.count {
            count.give_back(bytes);
        }
    }
}

/// The members of an object in their order, their values as text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

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
                    if found.len() == MAX_MEMBERS {
                        let most = format!("it has more than {MAX_MEMBERS} members");
                        return Err(A::Error::custom(most));
                    }
                    found.push((name, value));
                }
                Ok(Members(found))
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

/// The descriptors of an index.
struct Entries<'a>(&'a mut Reading);

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let Self(reading) = self;
        let mut found = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            let entry = Entry::new(reading.text.slice_ref(raw.get().as_bytes()));
            let bytes = (ENTRY + GROWING).saturating_add(entry.heap());
            reading.count(found.len(), bytes)?;
            found.push(entry);
        }
        found.shrink_to_fit();
        reading.give_back(found.len().saturating_mul(GROWING));
        Ok(found)
    }
}

/// What is read of a descriptor.
#[derive(Default)]
struct Described {
    media_type: Option<String>,
    digest: Option<String>,
    ref_name: Option<String>,
    payload: Option<String>,
    is_bare: bool,
}

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Described;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a descriptor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Described { is_bare: true, ..Described::default() };
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match name.as_str() {
                        "mediaType" => found.media_type = string(value),
                        "digest" => found.digest = string(value),
                        "size" => {}
                        "annotations" => {
                            found.is_bare = false;
                            let Annotations { ref_name, payload } =
                                serde_json::from_str(value.get()).unwrap_or_default();
                            (found.ref_name, found.payload) = (ref_name, payload);
                        }
                        _ => found.is_bare = false,
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

/// What is read of its annotations.
#[derive(Default)]
struct Annotations {
    ref_name: Option<String>,
    payload: Option<String>,
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Annotations::default();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match name.as_str() {
                        REF_NAME => found.ref_name = string(value),
                        PAYLOAD_DIGEST => found.payload = string(value),
                        _ => {}
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Index, Unreadable> {
        Index::parse(Bytes::copy_from_slice(text.as_bytes()), None)
    }

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
        let index = parse(text).unwrap();
        assert_eq!(index.encode(), text.as_bytes());
        assert!(index.by_digest(&Digest::sha256(b"")).is_none());
        assert!(parse("[]").is_err());
        let odd = "{\"x\":{\"a\" : 1},\"manifests\":[7,{\"digest\":1},[]],\"schemaVersion\":2}";
        assert_eq!(parse(odd).unwrap().encode(), odd.as_bytes());
        let doubled = "{\"manifests\":[1],\"schemaVersion\":2,\"manifests\":null}";
        let kept = "{\"schemaVersion\":2,\"manifests\":[]}";
        assert_eq!(parse(doubled).unwrap().encode(), kept.as_bytes());
    }

    /// A small file must not take memory a thousand times its size.
    #[test]
    fn refuses_what_has_too_many_entries() {
        let list = |count| format!("{{\"manifests\":[{}]}}", vec!["{}"; count].join(","));
        assert_eq!(parse(&list(MAX_ENTRIES)).unwrap().entries().len(), MAX_ENTRIES);
        let Err(Unreadable::Refused(error)) = parse(&list(MAX_ENTRIES + 1)) else { panic!() };
        assert!(error.to_string().contains("more than 1048576 manifests"), "{error}");
        let text = format!("{{{}\"b\":1}}", "\"a\":0,".repeat(MAX_MEMBERS));
        let Err(Unreadable::Json(error)) = parse(&text) else { panic!() };
        assert!(error.to_string().contains("members"), "{error}");
    }

    #[test]
    fn what_is_odd_in_a_descriptor_is_kept() {
        for (text, is_bare, ref_name) in [
            (r#"{"mediaType":"a","digest":1,"size":{}}"#, true, None),
            (r#"{"annotations":7}"#, false, None),
            (r#"{"annotations":{"org.opencontainers.image.ref.name":7}}"#, false, None),
            (
                r#"{"annotations":{"org.opencontainers.image.ref.name":"1","org.opencontainers.image.ref.name":"2"}}"#,
                false,
                Some("2"),
            ),
            (r#"[1]"#, false, None),
        ] {
            let text = format!("{{\"schemaVersion\":2,\"manifests\":[{text}]}}");
            let index = parse(&text).unwrap();
            let entry = &index.entries()[0];
            assert_eq!((entry.is_bare(), entry.ref_name()), (is_bare, ref_name), "{text}");
            assert_eq!(index.encode(), text.as_bytes());
        }
    }
}
