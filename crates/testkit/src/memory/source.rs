//! A source that has what a test puts into it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_blob::{StreamError, Unverified};
use skopeo_image::{Descriptor, Digest, RawManifest, Signature, Which};
use skopeo_transport::{Error, Head, ImageName, LayoutError, Source};

/// What goes wrong with a blob at the source, once.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The line breaks after so many bytes.
    Break(usize),
    /// The line breaks at the end, as the source has seen often enough.
    Spent,
    /// A byte is another.
    Corrupt,
    /// Nothing comes, for ever.
    Silent,
    /// It is not there.
    Missing,
}

/// A source that has what is put into its fields, and nothing else.
#[derive(Debug)]
pub struct FakeSource {
    /// Its name.
    pub name: ImageName,
    /// Its manifests.
    pub manifests: HashMap<Which, RawManifest>,
    /// Its blobs.
    pub blobs: HashMap<Digest, Bytes>,
    /// Signatures beside its manifests.
    pub signatures: HashMap<Which, Vec<Signature>>,
    /// What goes wrong with its blobs, one after the other.
    pub faults: Mutex<HashMap<Digest, Vec<Fault>>>,
    /// What was asked, in order.
    pub asked: Mutex<Vec<String>>,
}

impl Default for FakeSource {
    fn default() -> Self {
        Self {
            name: source_name().clone(),
            manifests: HashMap::new(),
            blobs: HashMap::new(),
            signatures: HashMap::new(),
            faults: Mutex::default(),
            asked: Mutex::default(),
        }
    }
}

impl FakeSource {
    /// Returns how often something was asked whose words begin so.
    pub fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(what)).count()
    }

    /// Has these things go wrong with a blob, one after the other.
    pub fn fault(&self, digest: &Digest, faults: &[Fault]) {
        self.faults.lock().unwrap().insert(digest.clone(), faults.to_vec());
    }

    /// Opens it under the name by which it was asked for.
    pub fn open(self: &Arc<Self>, name: ImageName) -> Box<dyn Source> {
        Box::new(Renamed { name, source: self.clone() })
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

/// Returns the name of a source that has no other.
pub fn source_name() -> &'static ImageName {
    static NAME: std::sync::LazyLock<ImageName> =
        std::sync::LazyLock::new(|| ImageName::parse("oci:/:from").unwrap());
    &NAME
}

#[async_trait]
impl Source for FakeSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        self.note("head".to_owned());
        Ok(self.manifests.get(&Which::Top).map(|manifest| Head {
            digest: manifest.digest().unwrap(),
            media_type: Some(manifest.media_type.clone()),
        }))
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        self.note(format!("manifest {which:?}"));
        let manifest = self.manifests.get(which).cloned();
        manifest.ok_or_else(|| LayoutError::NoSuchReference("from".to_owned()).into())
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        self.note(format!("blob {}", blob.digest));
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            faults.get_mut(&blob.digest).filter(|all| !all.is_empty()).map(|all| all.remove(0))
        };
        let mut bytes = self.blobs[&blob.digest].to_vec();
        let broken = |tried| {
            Err(StreamError::Read { source: "connection reset".into(), transient: true, tried })
        };
        let end = match fault {
            None => None,
            Some(Fault::Break(after)) => {
                bytes.truncate(after);
                Some(broken(1))
            }
            Some(Fault::Spent) => Some(broken(5)),
            Some(Fault::Corrupt) => {
                bytes[0] ^= 1;
                None
            }
            Some(Fault::Silent) => {
                return Ok(Unverified::new(stream::pending().boxed(), None));
            }
            Some(Fault::Missing) => {
                return Err(LayoutError::NoSuchReference("blob".to_owned()).into());
            }
        };
        let pieces: Vec<_> =
            bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).chain(end).collect();
        // Others get their turn between any two pieces.
        let stream = stream::iter(pieces).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        Ok(Unverified::new(stream.boxed(), None))
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        self.note(format!("signatures {which:?}"));
        Ok(self.signatures.get(which).cloned().unwrap_or_default())
    }

    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::new(32).unwrap()
    }
}

/// A source under another name.
struct Renamed {
    name: ImageName,
    source: Arc<FakeSource>,
}

#[async_trait]
impl Source for Renamed {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        self.source.head().await
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        self.source.manifest(which).await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        self.source.blob(blob).await
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        self.source.signatures(which).await
    }

    fn concurrency(&self) -> NonZeroUsize {
        self.source.concurrency()
    }
}
