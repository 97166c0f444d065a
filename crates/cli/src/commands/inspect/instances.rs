//! Every image of a list, with its size.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Error, Result, bail};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use skopeo_image::{
    Classify as _, Digest, ErrorClass, ImageIndex, ImageManifest, Instance, Layer, Manifest,
    Platform, RawManifest, Summary, Timestamp, Which,
};
use skopeo_sync::tag_info::read_config;
use skopeo_transport::{Error as TransportError, Source};

use super::Inspect;
use super::view::LayerJson;
use crate::retry;

/// How many are read at once.
const AT_ONCE: usize = 8;

/// Lists in lists: one step is seen in the field, more is a trap.
const DEEPEST: usize = 4;

/// Lists in a list, all in all.
const MOST: usize = 1000;

/// How many bytes of manifests and configs are read in all.
const LIMIT: usize = 64 << 20;

/// What there is to say about all images of a name.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Overview {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    digest: String,
    #[serde(rename = "MIMEType")]
    mime_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    artifact_type: String,
    /// Of all blobs, each once; `null` where one is not known.
    size: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    instances: Vec<Row>,
}

/// One image.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    digest: String,
    #[serde(rename = "MIMEType")]
    mime_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    artifact_type: String,
    /// The image that it attests.
    #[serde(skip_serializing_if = "Option::is_none")]
    attests: Option<String>,
    /// The list in the list that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<String>,
    /// Whether the list names it, but it is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    missing: bool,
    #[serde(flatten)]
    found: Option<Found>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What its manifest and config say.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    /// Of config and layers as they are stored; `null` where one is not known.
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    layers: Vec<String>,
    layers_data: Vec<Blob>,
    #[serde(skip)]
    config: Option<(Digest, Option<u64>)>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Blob(#[serde(serialize_with = "as_layer")] Layer);

fn as_layer<S: serde::Serializer>(layer: &Layer, serializer: S) -> Result<S::Ok, S::Error> {
    LayerJson::new(&layer.blob).serialize(serializer)
}

/// An image that some list names, or the only one.
struct Named {
    which: Which,
    entry: Option<Instance>,
    list: Option<Digest>,
}

/// Reads all that there is. `digest` is the name's, in the words it is asked for.
pub(super) async fn overview(
    inspect: &Inspect<'_>,
    source: &dyn Source,
    top: &RawManifest,
    digest: String,
) -> Result<Overview> {
    let reading =
        Reading { inspect, source, bytes: AtomicUsize::new(0), lists: AtomicUsize::new(0) };
    let mut overview = Overview {
        name: inspect.name.docker_reference().map(|reference| reference.name.to_string()),
        digest,
        mime_type: top.media_type.to_string(),
        artifact_type: String::new(),
        size: None,
        annotations: BTreeMap::new(),
        instances: Vec::new(),
    };
    match top.parse().context("Error parsing manifest for image")? {
        Manifest::Image(_) => {
            let only = Named { which: Which::Top, entry: None, list: None };
            overview.instances.push(reading.row(&only, Some(top)).await?);
        }
        Manifest::Index(list) => {
            let artifact = list.artifact();
            overview.artifact_type = artifact.artifact_type;
            overview.annotations = artifact.annotations;
            let mut named = Vec::new();
            reading.named(&list, None, 0, &mut named).await?;
            let rows: Vec<LocalBoxFuture<'_, Result<Row>>> =
                named.iter().map(|named| reading.row(named, None).boxed_local()).collect();
            let at_once = AT_ONCE.min(source.concurrency().get());
            overview.instances = stream::iter(rows).buffered(at_once).try_collect().await?;
        }
    }
    overview.size = size_of_all(&overview.instances);
    Ok(overview)
}

struct Reading<'a> {
    inspect: &'a Inspect<'a>,
    source: &'a dyn Source,
    bytes: AtomicUsize,
    lists: AtomicUsize,
}

impl Reading<'_> {
    /// The images of a list, those of lists in it behind them.
    fn named<'a>(
        &'a self,
        list: &'a ImageIndex,
        digest: Option<Digest>,
        depth: usize,
        named: &'a mut Vec<Named>,
    ) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if depth >= DEEPEST || self.lists.fetch_add(1, Ordering::Relaxed) >= MOST {
                bail!("reading manifest list: too many levels of lists in lists");
            }
            let (lists, images): (Vec<_>, Vec<_>) = list
                .instances()
                .into_iter()
                .partition(|instance| instance.descriptor.media_type.is_index());
            named.extend(images.into_iter().map(|instance| Named {
                which: Which::Instance(instance.descriptor.digest.clone()),
                entry: Some(instance),
                list: digest.clone(),
            }));
            for instance in lists {
                let digest = instance.descriptor.digest;
                let manifest = self.manifest(&Which::Instance(digest.clone())).await?;
                let Manifest::Index(list) = manifest.parse()? else {
                    bail!("reading manifest list {digest}: it is not a list");
                };
                self.named(&list, Some(digest), depth.saturating_add(1), named).await?;
            }
            Ok(())
        })
    }

    async fn row(&self, named: &Named, known: Option<&RawManifest>) -> Result<Row> {
        let entry = named.entry.as_ref();
        let descriptor = entry.map(|entry| &entry.descriptor);
        let mut row = Row {
            platform: entry
                .filter(|entry| entry.has_platform())
                .and_then(|entry| entry.platform.as_ref().map(Platform::to_string)),
            digest: descriptor.map(|it| it.digest.to_string()).unwrap_or_default(),
            mime_type: descriptor.map(|it| it.media_type.to_string()).unwrap_or_default(),
            artifact_type: entry.and_then(|it| it.artifact_type.clone()).unwrap_or_default(),
            attests: entry.and_then(Instance::attested).map(|digest| digest.to_string()),
            list: named.list.as_ref().map(ToString::to_string),
            missing: false,
            found: None,
            annotations: descriptor.map(|it| it.annotations.clone()).unwrap_or_default(),
        };
        // By its type it may be anything.
        let is_unknown = entry.is_some_and(|entry| {
            let media_type = &entry.descriptor.media_type;
            !media_type.is_empty() && !media_type.is_manifest()
        });
        let raw = match known {
            Some(raw) => raw.clone(),
            // A build cache: there is no more to say than the index does.
            None if entry.is_some_and(Instance::is_blob) => return Ok(row),
            None => match self.manifest(&named.which).await {
                Ok(raw) => raw,
                Err(error) if is_unknown && is_missing_file(&error) => return Ok(row),
                Err(error) if is_not_found(&error) => {
                    row.missing = true;
                    return Ok(row);
                }
                Err(error) => return Err(error),
            },
        };
        if entry.is_none() {
            row.digest = raw.digest()?.to_string();
        }
        if is_unknown && !raw.media_type.is_manifest() {
            return Ok(row);
        }
        row.mime_type = raw.media_type.to_string();
        let Manifest::Image(manifest) = raw.parse()? else {
            bail!("reading manifest {}: it is a list, but it is not listed as a list", row.digest);
        };
        if let Some(artifact) = manifest.artifact() {
            row.artifact_type = artifact.artifact_type;
            for (key, value) in artifact.annotations {
                row.annotations.entry(key).or_insert(value);
            }
        }
        let summary = self.summary(&manifest, row.attests.is_some()).await?;
        if row.platform.is_none() && !summary.os.is_empty() && row.attests.is_none() {
            let platform = Platform::new(&summary.os, &summary.architecture, &summary.variant);
            row.platform = Some(platform.to_string());
        }
        row.found = Some(found(&manifest, summary));
        Ok(row)
    }

    /// What is known of an image. Of what is none, only layers are.
    async fn summary(&self, manifest: &ImageManifest, attests: bool) -> Result<Summary> {
        if attests || manifest.is_artifact() {
            return Ok(Summary::of_layers(manifest.layers()));
        }
        let config = match manifest.config() {
            Some(config) => {
                let read = async || Ok(read_config(self.source, config).await?);
                let config = retry::with(self.inspect.retry, read).await;
                Some(config.with_context(|| format!("reading config {}", config_name(manifest)))?)
            }
            None => None,
        };
        self.count(config.as_ref().map_or(0, Vec::len))?;
        Ok(manifest.summary(config.as_deref())?)
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest> {
        let read = async || Ok(self.source.manifest(which).await?);
        let manifest: RawManifest = retry::with(self.inspect.retry, read).await?;
        self.count(manifest.bytes.len())?;
        Ok(manifest)
    }

    fn count(&self, bytes: usize) -> Result<()> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > LIMIT {
            bail!("reading manifests and configs: more than {} MiB in all", LIMIT >> 20);
        }
        Ok(())
    }
}

fn config_name(manifest: &ImageManifest) -> String {
    manifest.config().map(|config| config.digest.to_string()).unwrap_or_default()
}

fn is_missing_file(error: &Error) -> bool {
    error.downcast_ref::<TransportError>().is_some_and(TransportError::is_missing_file)
}

fn is_not_found(error: &Error) -> bool {
    error
        .downcast_ref::<TransportError>()
        .is_some_and(|error| error.is_not_found() || error.class() == Some(ErrorClass::NotFound))
}

fn found(manifest: &ImageManifest, summary: Summary) -> Found {
    let config = manifest.config().map(|config| (config.digest.clone(), config.size));
    let sizes = summary.layers.iter().filter(|layer| !layer.empty).map(|layer| layer.blob.size);
    Found {
        size: sum(sizes.chain(config.iter().map(|(_, size)| *size))),
        created: summary.created,
        labels: summary.labels,
        layers: summary.layers.iter().map(|layer| layer.blob.digest.to_string()).collect(),
        layers_data: summary.layers.into_iter().map(Blob).collect(),
        config,
    }
}

/// The sizes of all blobs that the images have, each once.
fn size_of_all(rows: &[Row]) -> Option<u64> {
    let mut sizes: HashMap<&Digest, Option<u64>> = HashMap::new();
    for found in rows.iter().filter_map(|row| row.found.as_ref()) {
        let layers = found.layers_data.iter().filter(|Blob(layer)| !layer.empty);
        sizes.extend(layers.map(|Blob(layer)| (&layer.blob.digest, layer.blob.size)));
        sizes.extend(found.config.as_ref().map(|(digest, size)| (digest, *size)));
    }
    sum(sizes.into_values())
}

/// The sum; `None` if one is not known.
fn sum(mut sizes: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    sizes.try_fold(0_u64, |sum, size| sum.checked_add(size?))
}
