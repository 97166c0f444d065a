//! The image that a name leads to on this machine, and all that a policy judges it by.

use anyhow::{Context as _, Result, bail};
use skopeo_copy::read_signatures;
use skopeo_image::{Manifest, RawManifest, Signature, Which};
use skopeo_transport::{ImageName, Options, Source};
use skopeo_trust::Policy;

use crate::app::App;
use crate::args::image;
use crate::args::value::Values;
use crate::retry;

/// An image that no policy was asked about yet.
pub(super) struct Judged {
    pub(super) source: Box<dyn Source>,
    pub(super) manifest: RawManifest,
    pub(super) signatures: Vec<Signature>,
}

/// Reads the manifest and the signatures, of an instance if the name leads to a list.
pub(super) async fn read(
    app: &App,
    flags: &Values,
    name: &ImageName,
    options: &Options,
    policy: &Policy,
) -> Result<Judged> {
    retry::with(image::retries(flags), async || {
        let source = skopeo_transport::open(name, options).await;
        let source = source.with_context(|| format!("initializing source {name}"))?;
        let (which, manifest) = chosen(app, &*source).await?;
        let signatures = read_signatures(&*source, policy, &manifest, &which).await;
        let signatures = signatures.context("reading signatures")?;
        Ok(Judged { source, manifest, signatures })
    })
    .await
}

/// The manifest of the image itself, chosen from a list if the name leads to one.
async fn chosen(app: &App, source: &dyn Source) -> Result<(Which, RawManifest)> {
    let top = source.manifest(&Which::Top).await?;
    let Manifest::Index(list) = top.parse()? else { return Ok((Which::Top, top)) };
    let digest = list.choose(&app.platforms())?;
    let which = Which::Instance(digest.clone());
    let manifest = source.manifest(&which).await?;
    if !manifest.has_digest(&digest)? {
        bail!("Manifest does not match provided manifest digest {digest}");
    }
    Ok((which, manifest))
}
