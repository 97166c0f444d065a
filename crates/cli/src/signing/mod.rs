//! Signing, as the flags ask for it: keys are found, and pass phrases asked for, before anything is
//! copied.

pub(crate) mod gpg;
mod passphrase;

use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use skopeo_copy::Signing;
use skopeo_image::{RawManifest, Reference, Signature, SignatureKind};
use skopeo_trust::sign::{SignError, Signer};

use crate::args::signing::SignFlags;

use gpg::Gpg;

pub(crate) use passphrase::of_file as passphrase_of_file;

/// What the flags ask for.
///
/// # Errors
/// If a key or pass phrase cannot be read.
pub(crate) fn signing(flags: SignFlags) -> Result<Signing> {
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    let passphrase = flags.passphrase_file.as_deref().map(passphrase_of_file).transpose()?;
    if flags.by_sequoia {
        bail!(
            "Error using --sign-by-sq-fingerprint: Sequoia-PGP support is not enabled in this build"
        );
    }
    if let Some(key) = flags.by {
        signers.push(Arc::new(Gpg::new(key, passphrase)));
    }
    Ok(Signing { signers, identity: flags.identity })
}

/// What the flags ask for, where nothing will be signed: no pass phrase is asked for.
pub(crate) fn pretended(flags: SignFlags) -> Signing {
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    if flags.by.is_some() || flags.by_sequoia {
        signers.push(Arc::new(Pretended(SignatureKind::Simple)));
    }
    Signing { signers, identity: flags.identity }
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
