//! What is in the store.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use skopeo_image::Digest;

use super::Conditions;

#[derive(Debug)]
pub(super) struct State {
    pub(super) conditions: Conditions,
    /// Whether it speaks as Google does: versions are numbers, and nobody has to say who asks.
    pub(super) google: bool,
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// How many names have been given so far.
    pub(super) count: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) tag: String,
    /// Never the same for two objects.
    pub(super) generation: u64,
    pub(super) written: SystemTime,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) parts: BTreeMap<u32, Bytes>,
    pub(super) begun: SystemTime,
}

impl State {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            google: false,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn bytes(&self, key: &str) -> Option<Bytes> {
        self.objects.get(key).map(|object| object.bytes.clone())
    }

    /// Writes an object, and gives back its tag: as real ones, it says the content and no more.
    pub(super) fn write(&mut self, key: &str, bytes: Bytes) -> String {
        let tag = format!("\"{}\"", &Digest::sha256(&bytes).hex()[..32]);
        self.count += 1;
        let (generation, written) = (self.count, SystemTime::now());
        let object = Object { bytes, tag: tag.clone(), generation, written };
        self.objects.insert(key.to_owned(), object);
        tag
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.objects.remove(key);
    }

    pub(super) fn begin(&mut self, key: &str) -> String {
        self.count += 1;
        let id = format!("upload-{}", self.count);
        let upload =
            Upload { key: key.to_owned(), parts: BTreeMap::new(), begun: SystemTime::now() };
        self.uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn uploads(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn age(&mut self, by: Duration) {
        for object in self.objects.values_mut() {
            object.written -= by;
        }
        for upload in self.uploads.values_mut() {
            upload.begun -= by;
        }
    }
}
