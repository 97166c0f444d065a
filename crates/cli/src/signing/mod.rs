//! Signing, as the flags ask for it: keys are found, and pass phrases asked for, before anything is
//! copied.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod oidc;
mod params;
mod passphrase;
mod sigstore;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use skopeo_copy::Signing;
use skopeo_image::{RawManifest, Reference, Signature, SignatureKind};
use skopeo_trust::sign::{SignError, Signer};

use crate::app::App;
use crate::args::report::Output;
use crate::args::signing::SignFlags;
use crate::gpg::Gpg;

pub(crate) use passphrase::{ask as ask_passphrase, of_file as passphrase_of_file};

/// What the flags ask for.
///
/// # Errors
/// If a key or pass phrase cannot be read.
pub(crate) fn signing(app: &App, flags: SignFlags, output: Output) -> Result<Signing> {
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    let passphrase = match (&flags.passphrase_file, &flags.sigstore_key) {
        (Some(file), _) => Some(passphrase_of_file(file)?),
        (None, Some(key)) => Some(ask_passphrase(&key.to_string_lossy(), output)?),
        // gpg asks its agent.
        (None, None) => None,
    };
    if let Some(file) = &flags.sigstore_params {
        let signer = sigstore::by_params(file, &app.web()?, output);
        signers.push(signer.context("Error using --sign-by-sigstore")?);
    }
    if flags.by_sequoia {
        bail!(
            "Error using --sign-by-sq-fingerprint: Sequoia-PGP support is not enabled in this build"
        );
    }
    if let Some(key) = flags.by {
        // What was typed is for the other key.
        let passphrase = passphrase.clone().filter(|_| flags.passphrase_file.is_some());
        signers.push(Arc::new(Gpg::new(key, passphrase)));
    }
    if let Some(key) = flags.sigstore_key {
        signers.push(Arc::new(sigstore::by_file(&key, &passphrase.unwrap_or_else(|| "".into()))?));
    }
    Ok(Signing { signers, identity: flags.identity })
}

/// What the flags ask for, where nothing will be signed: no pass phrase is asked for.
///
/// # Errors
/// If the file of parameters cannot be read.
pub(crate) fn pretended(flags: SignFlags) -> Result<Signing> {
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    if flags.by.is_some() || flags.by_sequoia {
        signers.push(Arc::new(Pretended(SignatureKind::Simple)));
    }
    if let Some(file) = &flags.sigstore_params {
        let params = params::Params::read(file).context("Error using --sign-by-sigstore")?;
        signers.push(Arc::new(Pretended(params.format.kind())));
    }
    if flags.sigstore_key.is_some() {
        signers.push(Arc::new(Pretended(SignatureKind::Sigstore)));
    }
    Ok(Signing { signers, identity: flags.identity })
}

/// Somebody who would sign.
#[derive(Debug)]
struct Pretended(SignatureKind);

#[async_trait]
impl Signer for Pretended {
    fn kind(&self) -> SignatureKind {
        self.0
    }

    fn doing(&self) -> &'static str {
        "Signing nothing"
    }

    async fn sign(&self, _: &RawManifest, _: &Reference) -> Result<Signature, SignError> {
        Err(SignError::Refused("nothing is signed in a dry run".into()))
    }
}
