//! `standalone-sign MANIFEST REFERENCE KEY -o SIGNATURE`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{RawManifest, SignatureKind};
use skopeo_trust::sign::Payload;

use crate::app::App;
use crate::args::names;
use crate::args::value::Values;
use crate::gpg::Gpg;
use crate::signing::passphrase_of_file;
use crate::{files, go};

const USAGE: &str =
    "Usage: skopeo standalone-sign manifest docker-reference key-fingerprint -o signature";

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let ([manifest, reference, key], Some(output)) = (arguments, flags.text(names::OUTPUT)) else {
        bail!(USAGE)
    };
    let bytes = go::read_at_most(Path::new(manifest), MAX_MANIFEST_SIZE)
        .with_context(|| format!("Error reading {manifest}"))?;
    let passphrase =
        flags.text(names::PASSPHRASE_FILE).map(|path| passphrase_of_file(path.as_ref()));
    let gpg = Gpg::new(key.clone(), passphrase.transpose()?);
    app.doing(format!("signing {reference}"));
    let signed = app.run(async {
        let sign = async || -> Result<_> {
            let digest = RawManifest::new(None, bytes.into()).digest()?;
            let payload = Payload::now(SignatureKind::Simple, reference, &digest).bytes()?;
            Ok(gpg.sign_bytes(payload).await?)
        };
        sign().await.context("Error creating signature")
    })?;
    files::replace(Path::new(output), &signed)
        .with_context(|| format!("Error writing signature to {output}"))
}
