//! `manifest-digest FILE`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use skopeo_image::RawManifest;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;

use crate::exit::print;
use crate::go;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [file] = arguments else { bail!("Usage: skopeo manifest-digest manifest") };
    let bytes = go::read_at_most(Path::new(file), MAX_MANIFEST_SIZE)
        .with_context(|| format!("Error reading manifest from {file}"))?;
    let digest = RawManifest::new(None, bytes.into()).digest().context("Error computing digest")?;
    Ok(print(format!("{digest}\n"))?)
}
