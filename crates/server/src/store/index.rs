//! `index.json` of a layout: read, edit, encode. Pure.

use serde_json::{Map, Value};
use skopeo_image::{Digest, MediaType};

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which a signed schema 1 manifest is found under the digest of its payload,
/// which is not that of its bytes.
pub(crate) const PAYLOAD_DIGEST: &str = "io.skopeo.schema1.payload-digest";

/// An `index.json`. What it holds beyond our knowledge is kept as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    document: Map<String, Value>,
    entries: Vec<Entry>,
}

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    raw: Map<String, Value>,
    digest: Option<Digest>,
    payload: Option<Digest>,
}

impl Index {
    /// Reads the document. A descriptor without a valid digest is kept and never found.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes)?;
        let entries = match document.get_mut("manifests") {
            Some(Value::Array(entries)) => std::mem::take(entries),
            _ => Vec::new(),
        };
        let entries = entries
            .into_iter()
            .filter_map(
                |entry| if let Value::Object(raw) = entry { Some(Entry::new(raw)) } else { None },
            )
            .collect();
        Ok(Self { document, entries })
    }

    /// The document as the original's `oci:` writes it: no spaces, `schemaVersion` first, and
    /// `<`, `>`, `&` escaped as Go does.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut document = self.document.clone();
        document.entry("schemaVersion").or_insert_with(|| 2.into());
        let entries = self.entries.iter().map(|entry| Value::Object(entry.raw.clone())).collect();
        document.insert("manifests".into(), Value::Array(entries));
        let text = Value::Object(document).to_string();
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
        Self::new(raw)
    }

    fn new(raw: Map<String, Value>) -> Self {
        let digest = raw.get("digest").and_then(Value::as_str).and_then(|d| d.parse().ok());
        let mut entry = Self { raw, digest, payload: None };
        entry.payload = entry.annotation(PAYLOAD_DIGEST).and_then(|d| d.parse().ok());
        entry
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
        self.raw.get("mediaType").and_then(Value::as_str).unwrap_or_default().into()
    }

    /// The reference, if there is one.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.annotation(REF_NAME).filter(|name| !name.is_empty())
    }

    /// Whether nothing but media type, digest and size is said: put by digest, or left by its tag.
    pub(crate) fn is_bare(&self) -> bool {
        self.raw.keys().all(|key| matches!(key.as_str(), "mediaType" | "digest" | "size"))
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.raw.get("annotations")?.get(key)?.as_str()
    }

    fn forget_ref(&mut self) {
        if let Some(Value::Object(annotations)) = self.raw.get_mut("annotations") {
            annotations.remove(REF_NAME);
            if annotations.is_empty() {
                self.raw.remove("annotations");
            }
        }
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
    }
}
