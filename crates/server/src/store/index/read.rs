//! Reads `index.json`: counts what it takes while it is read.

use std::{fmt, io};

use bytes::Bytes;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Error;
use serde_json::value::RawValue;
use skopeo_image::number::wide;

use super::{Entry, Index, MAX_ENTRIES, PAYLOAD_DIGEST, REF_NAME};
use crate::refusal::Refusal;
use crate::store::count::Count;

/// The member that holds the descriptors.
const MANIFESTS: &str = "manifests";

/// How many members it may have beside them.
pub(super) const MAX_MEMBERS: usize = 4096;

/// What a descriptor takes beside its text, in bytes: itself, the text of its digest, and what the
/// allocator adds. While they are read there is room for twice as many.
const ENTRY: usize = size_of::<Entry>() + 128;

/// What one takes more while they are read, in bytes: the list has room for twice as many, and is
/// copied when that is full.
const GROWING: usize = 2 * size_of::<Entry>();

/// An index that is being read, and what it takes so far.
pub(super) struct Reading {
    text: Bytes,
    pub(super) count: Option<Count>,
    /// Why it is not read on.
    pub(super) refused: Option<io::Error>,
}

impl Reading {
    pub(super) fn new(text: Bytes, count: Option<Count>) -> Self {
        Self { text, count, refused: None }
    }

    /// Reads the document.
    pub(super) fn index(&mut self) -> Result<Index, Error> {
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
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
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
        deserializer.deserialize_map(MembersVisitor)
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
pub(super) struct Described {
    pub(super) media_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) ref_name: Option<String>,
    pub(super) payload: Option<String>,
    pub(super) is_bare: bool,
}

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DescribedVisitor;
        impl<'de> Visitor<'de> for DescribedVisitor {
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
        deserializer.deserialize_map(DescribedVisitor)
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
        struct AnnotationsVisitor;
        impl<'de> Visitor<'de> for AnnotationsVisitor {
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
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}
