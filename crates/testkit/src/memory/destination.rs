//! A destination that refuses everything that does not make a whole image.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use skopeo_blob::Blob;
use skopeo_image::{Descriptor, Digest, Manifest, MediaType, RawManifest, Signature, Which};
use skopeo_transport::{
    Accepts, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Probe,
    PutManifestError, Role, Stored, Wish,
};

use super::source::source_name;

/// What a destination holds, or did.
#[derive(Debug, Default)]
pub struct State {
    /// The blobs that were put.
    pub blobs: BTreeMap<Digest, Bytes>,
    /// The manifests that were put.
    pub manifests: HashMap<Which, RawManifest>,
    /// The signatures that were put.
    pub signatures: HashMap<Which, Vec<Signature>>,
    /// The manifest that has the name.
    pub committed: Option<RawManifest>,
    /// Whether it was given up.
    pub abandoned: bool,
    /// What was done, in order.
    pub log: Vec<String>,
    /// How many blobs are being written.
    pub writing: usize,
    /// How many blobs were being written at the most.
    pub most_at_once: usize,
}

/// A destination that refuses what makes no whole image.
#[derive(Clone, Debug)]
pub struct FakeDestination {
    /// Its name.
    pub name: ImageName,
    /// The name of the source that blobs must come from, where only one may be.
    pub from: Option<ImageName>,
    /// What a plan knows of it.
    pub accepts: Accepts,
    /// What its name leads to.
    pub present: Option<Digest>,
    /// The types of manifests that it refuses.
    pub rejected: HashSet<MediaType>,
    /// Whether it takes indexes whose instances are missing.
    pub sparse: bool,
    /// Where it is a part of, and which.
    pub place: Option<(&'static str, &'static str)>,
    /// What it holds, or did.
    pub state: Arc<Mutex<State>>,
}

/// Returns the name of a destination that has no other.
pub fn destination_name() -> &'static ImageName {
    static NAME: std::sync::LazyLock<ImageName> =
        std::sync::LazyLock::new(|| ImageName::parse("oci:/:to").unwrap());
    &NAME
}

impl Default for FakeDestination {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeDestination {
    /// Returns one that takes everything from the source without a name of its own.
    pub fn new() -> Self {
        Self {
            name: destination_name().clone(),
            from: Some(source_name().clone()),
            accepts: Accepts {
                manifests: Vec::new(),
                layers: LayerForm::AsIs,
                signatures: KeptSignatures::All,
                foreign_layers: false,
                embedded_name: None,
                digest: None,
                concurrency: NonZeroUsize::new(32).unwrap(),
            },
            present: None,
            rejected: HashSet::new(),
            sparse: false,
            place: None,
            state: Arc::default(),
        }
    }

    /// Returns one that takes these types of manifests.
    pub fn accepting(types: &[MediaType]) -> Self {
        let mut new = Self::new();
        new.accepts.manifests = types.to_vec();
        new
    }

    /// Returns one that wants its layers in this form.
    pub fn wanting(layers: LayerForm) -> Self {
        let mut new = Self::new();
        new.accepts.layers = layers;
        new
    }

    /// Returns one that refuses these types of manifests, which nobody knows before.
    pub fn rejecting(types: &[MediaType]) -> Self {
        Self { rejected: types.iter().cloned().collect(), ..Self::new() }
    }

    /// Returns it, to be written to.
    pub fn door(&self) -> Box<dyn Destination> {
        Box::new(self.clone())
    }

    /// Returns what it holds.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Returns how often something was done.
    pub fn did(&self, what: &str) -> usize {
        self.state().log.iter().filter(|done| done.starts_with(what)).count()
    }
}

#[async_trait]
impl Probe for FakeDestination {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.state().log.push("present".to_owned());
        Ok(self.present.clone())
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let mut state = self.state();
        state.log.push(format!("holds {}", wish.blob.digest));
        Ok(state.blobs.contains_key(&wish.blob.digest).then_some(How::Present))
    }

    fn pool(&self) -> Option<String> {
        self.place.map(|(pool, _)| pool.to_owned())
    }

    fn room(&self) -> Option<String> {
        self.place.map(|(_, room)| room.to_owned())
    }

    fn is_remote(&self) -> bool {
        self.place.is_some()
    }
}

#[async_trait]
impl Destination for FakeDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        if let (Some(expected), Some(from)) = (&self.from, wish.from) {
            assert_eq!(from, expected);
        }
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.log.push(format!("reuse {}", wish.blob.digest));
        Ok(state.blobs.get(&wish.blob.digest).map(|bytes| Stored {
            digest: wish.blob.digest.clone(),
            size: bytes.len() as u64,
            how: How::Present,
        }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        {
            let mut state = self.state();
            state.writing += 1;
            state.most_at_once = state.most_at_once.max(state.writing);
        }
        let writing = Writing(self.state.clone());
        let known = blob.digest().cloned();
        let written = skopeo_blob::file::write(blob, Vec::new()).await;
        drop(writing);
        let mut state = self.state();
        let written = written?;
        assert_eq!(written.digest, Digest::sha256(&written.file), "verified by the stream");
        assert!(known.is_none_or(|known| known == written.digest));
        state.log.push(format!("blob {}", written.digest));
        let before = state.blobs.insert(written.digest.clone(), written.file.into());
        assert!(before.is_none(), "{} was sent twice", written.digest);
        Ok(Stored { digest: written.digest, size: written.size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let mut state = self.state();
        state.log.push(format!("manifest {}", manifest.media_type));
        if self.rejected.contains(&manifest.media_type) {
            return Err(PutManifestError::TypeRejected {
                media_type: manifest.media_type.clone(),
                source: None,
            });
        }
        if let Which::Instance(digest) = which {
            assert!(manifest.has_digest(digest).unwrap());
        }
        match manifest.parse().unwrap() {
            Manifest::Image(image) => {
                for layer in image.layers() {
                    let elsewhere = self.accepts.foreign_layers && !layer.blob.urls.is_empty();
                    require(&state, &layer.blob, elsewhere);
                }
                if let Some(config) = image.config() {
                    require(&state, config, false);
                }
            }
            Manifest::Index(list) => {
                for instance in list.instances() {
                    let which = Which::Instance(instance.descriptor.digest.clone());
                    let held = state.manifests.get(&which);
                    assert!(self.sparse || held.is_some(), "an instance is missing");
                    if let Some(held) = held {
                        assert_eq!(held.media_type, instance.descriptor.media_type);
                        assert_eq!(instance.descriptor.size, Some(held.bytes.len() as u64));
                    }
                }
            }
        }
        state.manifests.insert(which.clone(), manifest.clone());
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        let mut state = self.state();
        assert!(state.manifests.contains_key(which), "signatures before their manifest");
        state.log.push("signatures".to_owned());
        state.signatures.insert(which.clone(), signatures.to_vec());
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let mut state = self.state();
        assert_eq!(state.manifests.get(&Which::Top), Some(top));
        assert_eq!(state.writing, 0, "committed while blobs are being written");
        state.log.push("commit".to_owned());
        state.committed = Some(top.clone());
        Ok(())
    }

    async fn abandon(self: Box<Self>) {
        self.state().abandoned = true;
    }
}

/// A blob on its way, which may be given up.
struct Writing(Arc<Mutex<State>>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lock().unwrap().writing -= 1;
    }
}

fn require(state: &State, blob: &Descriptor, elsewhere: bool) {
    let held = state.blobs.get(&blob.digest);
    assert!(elsewhere || held.is_some(), "blob {} is missing", blob.digest);
    if let (Some(held), Some(size)) = (held, blob.size) {
        assert_eq!(size, held.len() as u64);
    }
}
