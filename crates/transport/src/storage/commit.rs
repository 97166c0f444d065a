//! An image gets into the store: its layers in their order, then its record with all that is kept
//! of it, and its name.

use std::collections::HashMap;
use std::io::{self, BufReader, Seek as _};

use bytes::Bytes;
use skopeo_blob::MaxUnpacked;
use skopeo_image::{
    CompressionEdit, Digest, Edit, EncryptionEdit, ImageManifest, LayerEdit, MediaType,
    RawManifest, Timestamp, convert,
};
use skopeo_storage::{Below, Layer, NewData, NewImage, NewLayer, Store, layer_id};
use tracing::debug;

use super::came::Came;
use super::opened::{MANIFEST, manifest_key};
use super::packed::Packed;
use super::shared::Shared;
use super::signatures::Metadata;
use super::{StorageError, StorageName};
use crate::{CommitError, Error};

/// All that there is of an image.
pub(super) struct Image {
    pub(super) manifest: RawManifest,
    pub(super) view: ImageManifest,
    pub(super) config: Option<Bytes>,
    /// The list that it was chosen from.
    pub(super) origin: Option<RawManifest>,
    pub(super) metadata: Metadata,
    pub(super) signatures: Vec<(String, Vec<u8>)>,
    pub(super) layers: HashMap<Digest, Came>,
    pub(super) max_unpacked: MaxUnpacked,
}

/// Puts an image into the store, and gives it the name. Waits for the disk.
pub(super) fn commit(store: &Store, name: &StorageName, mut image: Image) -> Result<(), Error> {
    if let Some(digest) = name.reference().and_then(|reference| reference.digest.as_ref()) {
        let origin = image.origin.as_ref();
        let is_index = origin.map_or(Ok(false), |list| list.has_digest(digest))?;
        if !is_index && !image.manifest.has_digest(digest)? {
            return Err(StorageError::OtherDigest(digest.clone()).into());
        }
    }
    let diff_ids = DiffIds::of(&image);
    let (top, found) = put_layers(store, &mut image, &diff_ids)?;
    let id = match name.id() {
        Some(id) => id.to_owned(),
        None => image_id(&image.view, &found)?,
    };
    let names = name.reference().map(ToString::to_string).into_iter().collect();
    let created = created(&image);
    let metadata = image.metadata.encode()?;
    let data = data(&image)?;
    let new = NewImage { id: id.clone(), layer: top, created, metadata, data, names };
    match store.put_image(&new) {
        Ok(_) => Ok(()),
        // This one says all of it.
        Err(error @ skopeo_storage::Error::IdInUse { .. }) => {
            Err(StorageError::Store(error).into())
        }
        Err(source) => Err(StorageError::Create { id, source: source.into() }.into()),
    }
}

/// What the config says is in the layers.
struct DiffIds(Vec<String>);

impl DiffIds {
    /// None are known of schema 1, and of configs that say nothing of any layer.
    fn of(image: &Image) -> Self {
        let config = image.view.oci_config(image.config.as_deref()).ok();
        let ids = config.and_then(|config| config.rootfs.diff_ids).unwrap_or_default();
        Self(if ids.iter().all(String::is_empty) { Vec::new() } else { ids })
    }

    /// Refuses a layer that is another than the config says.
    fn check(&self, at: usize, blob: &Digest, found: &Digest) -> Result<(), StorageError> {
        let Self(ids) = self;
        match ids.get(at) {
            _ if ids.is_empty() => Ok(()),
            None => Err(StorageError::NoDiffId { known: ids.len(), at }),
            Some(expected) if expected != found.as_str() => Err(StorageError::DiffId {
                at,
                blob: blob.clone(),
                found: found.clone(),
                expected: expected.clone(),
            }),
            Some(_) => Ok(()),
        }
    }
}

/// Puts the layers into the store that are not there. Gives the id of the top one, and what is in
/// each layer that is not empty.
fn put_layers(
    store: &Store,
    image: &mut Image,
    diff_ids: &DiffIds,
) -> Result<(Option<String>, Vec<Digest>), Error> {
    let mut parent: Option<String> = None;
    let mut found = Vec::new();
    let mut done: HashMap<Digest, Layer> = HashMap::new();
    for (at, layer) in image.view.layers().into_iter().enumerate() {
        if layer.empty {
            continue;
        }
        let blob = layer.blob.digest;
        let came = match image.layers.remove(&blob) {
            Some(came) => came,
            // The same layer a second time.
            None => match done.get(&blob) {
                Some(layer) => Came::There(Box::new(layer.clone())),
                None => return Err(StorageError::Missing(blob).into()),
            },
        };
        let add = |source: skopeo_storage::Error| StorageError::AddLayer {
            blob: blob.clone(),
            source: source.into(),
        };
        let check = |diff: &Digest| diff_ids.check(at, &blob, diff);
        let put = match came {
            Came::Staged(shared) => {
                let diff = &shared.diff;
                check(diff)?;
                match shared.take() {
                    Some(staged) => {
                        let new = shared.packed.new_layer(parent, diff);
                        store.commit(staged, new).map_err(add)?
                    }
                    // Another image of the run has brought it into the store.
                    None => put_elsewhere(store, &shared, parent, &blob)?.map_err(add)?,
                }
            }
            Came::Elsewhere(shared) => {
                check(&shared.diff)?;
                put_elsewhere(store, &shared, parent, &blob)?.map_err(add)?
            }
            Came::Spooled(file, packed) => {
                put_spooled(store, file, &packed, parent, image.max_unpacked, &blob, check)?
            }
            Came::There(there) => {
                let diff = there.diff_digest.clone();
                let diff = diff.ok_or_else(|| StorageError::UnknownLayer(there.id.clone()))?;
                check(&diff)?;
                put_again(store, &there, parent, &diff).map_err(add)?
            }
        };
        let diff = put.diff_digest.clone();
        found.push(diff.ok_or_else(|| StorageError::UnknownLayer(put.id.clone()))?);
        parent = Some(put.id.clone());
        done.insert(blob, put);
    }
    Ok((parent, found))
}

/// Unpacks a layer that waited in a file.
fn put_spooled(
    store: &Store,
    file: fs_err::File,
    packed: &Packed,
    parent: Option<String>,
    most: MaxUnpacked,
    blob: &Digest,
    check: impl Fn(&Digest) -> Result<(), StorageError>,
) -> Result<Layer, Error> {
    let mut file = file;
    file.rewind()?;
    let reader = BufReader::with_capacity(1 << 17, file);
    let tar = skopeo_blob::unpack(reader, packed.compression, most)?;
    let add = |source: skopeo_storage::Error| StorageError::AddLayer {
        blob: blob.clone(),
        source: source.into(),
    };
    let below = parent.clone().map_or(Below::Nothing, Below::Layer);
    let staged = store.stage(&below, tar).map_err(add)?;
    check(staged.diff_digest())?;
    let diff = staged.diff_digest().clone();
    Ok(store.commit(staged, packed.new_layer(parent, &diff)).map_err(add)?)
}

/// Puts a layer into the store that another image of the run has unpacked, and maybe has brought
/// there, onto another one.
fn put_elsewhere(
    store: &Store,
    shared: &Shared,
    parent: Option<String>,
    blob: &Digest,
) -> Result<skopeo_storage::Result<Layer>, Error> {
    let diff = &shared.diff;
    if !shared.is_staged() {
        let there = store.layers_by_diff_digest(diff).map_err(StorageError::Store)?;
        let there = there.into_iter().next();
        let there = there.ok_or_else(|| CommitError::Vanished(blob.clone()))?;
        return Ok(put_again(store, &there, parent, diff));
    }
    let id = layer_id(parent.as_deref(), diff);
    if let Some(layer) = store.layer(&id).map_err(StorageError::Store)? {
        return Ok(Ok(layer));
    }
    debug!("unpacking the layer {diff} of another image again, onto another layer");
    let new = shared.packed.new_layer(parent, diff);
    Ok(put_tar(store, new, |out| shared.tar(store, out).map(drop)))
}

/// Puts a layer that is in the store onto another one. If it is there, too, it is what is given.
fn put_again(
    store: &Store,
    there: &Layer,
    parent: Option<String>,
    diff: &Digest,
) -> skopeo_storage::Result<Layer> {
    if let Some(layer) = store.layer(&layer_id(parent.as_deref(), diff))? {
        return Ok(layer);
    }
    debug!("unpacking layer {} again, onto another layer", there.id);
    let compressed = there.compressed_digest.clone().zip(there.compressed_size);
    let new = NewLayer {
        id: None,
        parent,
        expected_diff: Some(diff.clone()),
        compressed,
        compression: there.compression,
    };
    put_tar(store, new, |out| store.layer_tar(&there.id, out))
}

/// Puts a layer into the store whose tar is made meanwhile.
fn put_tar(
    store: &Store,
    new: NewLayer,
    make: impl FnOnce(&mut io::PipeWriter) -> skopeo_storage::Result<()> + Send,
) -> skopeo_storage::Result<Layer> {
    let (reader, mut writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let read = scope.spawn(move || {
            let made = make(&mut writer);
            drop(writer);
            made
        });
        let put = store.put_layer(new, reader);
        match read.join() {
            // Why it broke off is worth more than that it did.
            Ok(Err(error)) if !is_broken_pipe(&error) => Err(error),
            _ => put,
        }
    })
}

/// Whether who reads a tar has had enough of it.
fn is_broken_pipe(error: &skopeo_storage::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The id of an image: the digest of its config. Schema 1 has none: it is that of the config which
/// schema 2 would have.
fn image_id(view: &ImageManifest, found: &[Digest]) -> Result<String, StorageError> {
    if let Some(config) = view.config() {
        return Ok(config.digest.hex().to_owned());
    }
    let mut found = found.iter();
    let edits = view.layers().into_iter().map(|layer| LayerEdit {
        diff_id: if layer.empty { None } else { found.next().cloned() },
        digest: layer.blob.digest,
        size: 0,
        compression: CompressionEdit::Keep,
        encryption: EncryptionEdit::Keep,
        annotations: None,
        urls: Vec::new(),
    });
    let to = MediaType::DOCKER_MANIFEST;
    let edit = Edit { to, layers: Some(edits.collect()), embedded_name: None };
    let converted = convert(view, None, &edit).map_err(StorageError::ImageId)?;
    let config = converted.config.map(|(digest, _)| digest.hex().to_owned());
    config.ok_or(StorageError::ImageId(skopeo_image::ConvertError::NoConfig))
}

/// When the image was made, as its config says; now, if it does not.
fn created(image: &Image) -> Timestamp {
    let summary = image.view.summary(image.config.as_deref()).ok();
    let said = summary.and_then(|summary| summary.created);
    let said = said.filter(|said| said.unix() != Timestamp::default().unix());
    let utc = said.and_then(|said| {
        let (seconds, nanosecond) = said.unix();
        Timestamp::from_unix(seconds, nanosecond)
    });
    utc.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
        Timestamp::from_unix(seconds, now.subsec_nanos()).unwrap_or_default()
    })
}

/// What is kept of an image, in the original's order.
fn data(image: &Image) -> Result<Vec<NewData>, Error> {
    let mut data = Vec::new();
    if let (Some(config), Some(bytes)) = (image.view.config(), &image.config) {
        let key = config.digest.to_string();
        data.push(NewData { key, bytes: bytes.to_vec(), digest: None });
    }
    let digest = image.manifest.digest()?;
    if let Some(list) = image.origin.as_ref().filter(|it| it.bytes != image.manifest.bytes) {
        let digest = list.digest()?;
        data.push(NewData {
            key: manifest_key(&digest),
            bytes: list.bytes.to_vec(),
            digest: Some(digest),
        });
    }
    for key in [manifest_key(&digest), MANIFEST.to_owned()] {
        let bytes = image.manifest.bytes.to_vec();
        data.push(NewData { key, bytes, digest: Some(digest.clone()) });
    }
    for (key, bytes) in &image.signatures {
        data.push(NewData { key: key.clone(), bytes: bytes.clone(), digest: None });
    }
    Ok(data)
}
