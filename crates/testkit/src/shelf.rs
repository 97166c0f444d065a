//! A source and a destination in memory, stricter than any real one.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_blob::{Blob, StreamError, Unverified};
use skopeo_image::{Descriptor, Digest, Manifest, MediaType, RawManifest, Signature, Which};
use skopeo_transport::{
    Accepts, Destination, Error, Head, How, ImageName, KeptSignatures, LayerForm, LayoutError,
    Probe, PutManifestError, Role, Source, Stored, Wish,
};

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
        Box::new(Opened { name, source: self.clone() })
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

/// Returns the name of a destination that has no other.
pub fn destination_name() -> &'static ImageName {
    static NAME: std::sync::LazyLock<ImageName> =
        std::sync::LazyLock::new(|| ImageName::parse("oci:/:to").unwrap());
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
struct Opened {
    name: ImageName,
    source: Arc<FakeSource>,
}

#[async_trait]
impl Source for Opened {
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

    /// How often something was done.
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
            Manifest::List(list) => {
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

/// Builds images of any kind into a source.
#[derive(Debug)]
pub struct Builder {
    /// The source.
    pub source: FakeSource,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns one with nothing in its source.
    pub fn new() -> Self {
        Self { source: FakeSource::default() }
    }

    /// Adds a blob.
    pub fn blob(&mut self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.source.blobs.insert(digest.clone(), bytes);
        digest
    }

    /// An image of these layers: their types and bytes.
    pub fn image(&mut self, kind: Kind, layers: &[(&MediaType, Bytes)]) -> RawManifest {
        let diff_ids: Vec<String> =
            layers.iter().map(|(_, bytes)| Digest::sha256(&unpacked(bytes)).to_string()).collect();
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": layers.iter().map(|_| serde_json::json!({ "created_by": "test" }))
                .collect::<Vec<_>>(),
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config_size = config.len();
        let config = self.blob(config);
        let layers: Vec<_> = layers
            .iter()
            .map(|(media_type, bytes)| {
                let digest = self.blob(bytes.clone());
                serde_json::json!({
                    "mediaType": media_type.as_str(), "size": bytes.len(), "digest": digest,
                })
            })
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": kind.manifest().as_str(),
            "config": {
                "mediaType": kind.config().as_str(), "size": config_size, "digest": config,
            },
            "layers": layers,
        });
        raw(kind.manifest(), &manifest)
    }

    /// An index of these manifests, each for an architecture.
    pub fn list(&mut self, kind: Kind, instances: &[(&str, &RawManifest)]) -> RawManifest {
        let entries: Vec<_> = instances
            .iter()
            .map(|(architecture, manifest)| {
                let platform = serde_json::json!({ "architecture": architecture, "os": "linux" });
                (serde_json::json!({ "platform": platform }), *manifest)
            })
            .collect();
        self.list_of(kind, &entries)
    }

    /// An index of these manifests, with what else it says of each.
    pub fn list_of(
        &mut self,
        kind: Kind,
        instances: &[(serde_json::Value, &RawManifest)],
    ) -> RawManifest {
        let manifests: Vec<_> = instances
            .iter()
            .map(|(more, manifest)| {
                let digest = manifest.digest().unwrap();
                self.source.manifests.insert(Which::Instance(digest.clone()), (*manifest).clone());
                let mut entry = serde_json::json!({
                    "mediaType": manifest.media_type.as_str(),
                    "size": manifest.bytes.len(),
                    "digest": digest,
                });
                entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                entry
            })
            .collect();
        let media_type = match kind {
            Kind::Oci => MediaType::OCI_INDEX,
            Kind::Docker => MediaType::DOCKER_LIST,
        };
        let list = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type.as_str(), "manifests": manifests,
        });
        raw(media_type, &list)
    }

    /// The source whose name leads to that manifest.
    pub fn top(mut self, manifest: &RawManifest) -> FakeSource {
        self.source.manifests.insert(Which::Top, manifest.clone());
        self.source
    }
}

/// A kind of image.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// As the OCI has it.
    Oci,
    /// As Docker has it, schema 2.
    Docker,
}

impl Kind {
    fn manifest(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::Docker => MediaType::DOCKER_MANIFEST,
        }
    }

    fn config(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_CONFIG,
            Self::Docker => MediaType::DOCKER_CONFIG,
        }
    }
}

fn raw(media_type: MediaType, value: &serde_json::Value) -> RawManifest {
    // Not as this program would write it, so that a copy that writes it anew shows.
    let bytes = serde_json::to_vec_pretty(value).unwrap();
    RawManifest::new(Some(media_type), bytes.into())
}

/// A tar, as far as anybody looks.
pub fn tar(seed: u8, len: usize) -> Bytes {
    (0..len).map(|i| (i / 7) as u8 ^ seed).collect::<Vec<_>>().into()
}

/// Returns these bytes, compressed.
pub fn gzip(bytes: &[u8]) -> Bytes {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

/// Returns these bytes, uncompressed.
pub fn unpacked(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    match flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out) {
        Ok(_) => out,
        Err(_) => bytes.to_vec(),
    }
}
