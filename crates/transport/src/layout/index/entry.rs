//! One descriptor of an index, kept as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Error as JsonError;
use skopeo_image::go_json::{self, Budget, Raw};
use skopeo_image::{Digest, MediaType};

use crate::Error;
use crate::layout::LayoutError;

/// The annotation that holds a reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation in which containerd, and so Docker 25, writes the whole name: what stands beside
/// it as a reference is only its tag.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// One descriptor of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) raw: Raw,
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
pub(super) struct Fields {
    media_type: MediaType,
    pub(super) digest: String,
    #[serde(deserialize_with = "go_json::size")]
    size: Option<u64>,
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

    pub(super) fn of(raw: Raw) -> Result<Self, JsonError> {
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

    pub(in crate::layout) fn size(&self) -> Option<u64> {
        self.fields().ok()?.size
    }

    pub(crate) fn media_type(&self) -> MediaType {
        self.fields().map(|fields| fields.media_type).unwrap_or_default()
    }

    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether another one has the same reference, and beside that the same whole name or none.
    pub(in crate::layout) fn is_called_as(&self, other: &Self) -> bool {
        self.ref_name() == other.ref_name() && self.whole_name() == other.whole_name()
    }

    /// Returns the whole name of the image, as far as its descriptor says it.
    pub(in crate::layout) fn whole_name(&self) -> Option<String> {
        self.annotation(IMAGE_NAME).or_else(|| self.ref_name().map(str::to_owned))
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

    pub(super) fn fields(&self) -> Result<Fields, Error> {
        Ok(self.raw.read().map_err(LayoutError::BadDescriptor)?)
    }

    pub(super) fn forget_reference(&mut self) {
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

pub(super) fn wrong(text: &str) -> JsonError {
    serde::de::Error::custom(text)
}
