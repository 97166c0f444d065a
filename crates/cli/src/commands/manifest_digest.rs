//! `manifest-digest FILE`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use skopeo_image::RawManifest;

use crate::exit::print;
use crate::go;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [file] = arguments else { bail!("Usage: skopeo manifest-digest manifest") };
    let bytes =
        go::read(Path::new(file)).with_context(|| format!("Error reading manifest from {file}"))?;
    let digest = RawManifest::new(None, bytes.into()).digest().context("Error computing digest")?;
    Ok(print(format!("{digest}\n"))?)
}
