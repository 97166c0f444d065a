//! `index.json` of a layout: read, edit, write. Reads no file.

mod read;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Error, Map, Value};
use skopeo_image::{Digest, MediaType};

use super::count::Count;

use read::{Described, Reading};

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which a signed schema 1 manifest is found under the digest of its payload,
/// which is not that of its bytes.
pub(crate) const PAYLOAD_DIGEST: &str = "io.skopeo.schema1.payload-digest";

/// How many descriptors an index may have: as many as `oci:` reads and writes.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

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
        let mut reading = Reading::new(text, count);
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

    /// Writes the document as the original's `oci:` does: no spaces, `schemaVersion` first, and
    /// `<`, `>`, `&` escaped as Go does. What we do not change stays as it was written.
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
