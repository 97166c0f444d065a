//! `layers IMAGE [LAYER...]`: hidden and deprecated.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use skopeo_image::{Descriptor, Digest, Manifest, MediaType, RawManifest, Which};
use skopeo_transport::{Destination, ImageName, Role, Source};
use tracing::debug;

use super::judged::{self, Judged};
use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::value::Values;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        b"DEPRECATED: skopeo layers is deprecated in favor of skopeo copy\n",
    );
    let [image, digests @ ..] = arguments else { bail!("Usage: layers imageReference [layer...]") };
    let options = app.options(&app.image(flags, Prefix::None)?);
    let policy = app.policy()?;
    let name = ImageName::parse(image).with_context(|| format!("Invalid source name {image}"))?;
    app.doing(format!("reading layers of {name}"));
    app.run(async {
        let Judged { source, manifest, signatures } =
            judged::read(app, flags, &name, &options, &policy).await?;
        let admitted = policy.admit(&source.name().policy_scope(), manifest, &signatures);
        let manifest = admitted.context("Source image rejected")?.into_manifest();
        let blobs = match digests {
            [] => all(&*source, &manifest).await?,
            digests => digests.iter().map(|digest| named(digest)).collect::<Result<_>>()?,
        };
        let folder = tempfile::Builder::new().prefix("layers-").tempdir_in(".")?;
        let path = Path::new(".").join(folder.path().file_name().unwrap_or_default());
        let to = ImageName::parse(&format!("dir:{}", path.display()))?;
        let destination = skopeo_transport::create(&to, &options).await?;
        write(&*source, destination, &blobs, &manifest).await?;
        debug!("layers of {name} are in {}", path.display());
        // Whole: it stays.
        let _ = folder.keep();
        Ok(())
    })
}

/// The layers, each once, and the config.
async fn all(source: &dyn Source, manifest: &RawManifest) -> Result<Vec<(Descriptor, Role)>> {
    let Manifest::Image(image) = manifest.parse()? else {
        bail!("{} is not an image manifest", manifest.media_type)
    };
    let mut seen = HashSet::new();
    let layers = match source.layers(manifest, &Which::Top).await? {
        Some(layers) => layers,
        None => image.layers().into_iter().map(|layer| layer.blob).collect(),
    };
    let layers = layers.into_iter();
    let layers = layers.filter(|blob| seen.insert(blob.digest.clone())).enumerate();
    let mut blobs: Vec<_> = layers.map(|(at, blob)| (blob, Role::Layer(at))).collect();
    blobs.extend(image.config().cloned().map(|config| (config, Role::Config)));
    Ok(blobs)
}

/// A layer as it is named on the command line: nothing else is known of it.
fn named(digest: &str) -> Result<(Descriptor, Role)> {
    let digest = match digest.starts_with("sha256:") {
        true => digest.to_owned(),
        false => format!("sha256:{digest}"),
    };
    let blob = Descriptor {
        media_type: MediaType::default(),
        digest: digest.parse::<Digest>()?,
        size: None,
        urls: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
    };
    Ok((blob, Role::Layer(0)))
}

async fn write(
    source: &dyn Source,
    destination: Box<dyn Destination>,
    blobs: &[(Descriptor, Role)],
    manifest: &RawManifest,
) -> Result<()> {
    destination.begin().await?;
    for (blob, role) in blobs {
        let read = source.blob(blob).await?;
        let blob = read.expect(&blob.digest, blob.size);
        destination.put_blob(blob, *role).await?;
    }
    destination.put_manifest(manifest, &Which::Top).await?;
    destination.commit(manifest).await?;
    Ok(())
}
