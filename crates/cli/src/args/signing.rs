//! Flags about signatures that are made.

use std::path::PathBuf;

use anyhow::{Result, bail};
use skopeo_image::Reference;

use super::flag::{Flag, Offers};
use super::handle::Handle;
use super::names;
use super::value::Values;

/// The flags of all commands that copy.
pub(super) fn flags() -> [Flag; 5] {
    let file = |flag, usage| Flag::new(flag, usage).placeholder("PATH").offers(Offers::Files);
    [
        Flag::new(names::SIGN_BY, "sign with the GPG key FINGERPRINT").placeholder("FINGERPRINT"),
        Flag::new(names::SIGN_BY_SQ_FINGERPRINT, "sign with the Sequoia key FINGERPRINT")
            .placeholder("FINGERPRINT")
            .hidden(),
        file(names::SIGN_BY_SIGSTORE, "sign in the sigstore format, with the parameters in PATH"),
        file(names::SIGN_BY_SIGSTORE_PRIVATE_KEY, "sign with the sigstore private key in PATH"),
        file(names::SIGN_PASSPHRASE_FILE, "file with the pass phrase of the signing key"),
    ]
}

/// The flags of [`flags`] that a file of another run may have said: by whom, with which files.
pub(crate) const BY: [Handle<String>; 4] = [
    names::SIGN_BY,
    names::SIGN_BY_SIGSTORE,
    names::SIGN_BY_SIGSTORE_PRIVATE_KEY,
    names::SIGN_PASSPHRASE_FILE,
];

/// `--sign-identity`.
pub(super) fn identity() -> Flag {
    Flag::new(
        names::SIGN_IDENTITY,
        "sign the image with REFERENCE instead of the destination's name",
    )
    .placeholder("REFERENCE")
}

/// What the flags said.
#[derive(Clone, Debug)]
pub(crate) struct SignFlags {
    pub(crate) by: Option<String>,
    pub(crate) by_sequoia: bool,
    /// `--sign-by-sigstore`.
    pub(crate) sigstore_params: Option<PathBuf>,
    /// `--sign-by-sigstore-private-key`.
    pub(crate) sigstore_key: Option<PathBuf>,
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) identity: Option<Reference>,
}

impl SignFlags {
    /// # Errors
    /// If they contradict each other, or the identity is no reference in full.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let path = |name| values.text(name).map(PathBuf::from);
        let flags = Self {
            by: values.text(names::SIGN_BY).map(str::to_owned),
            by_sequoia: values.text(names::SIGN_BY_SQ_FINGERPRINT).is_some(),
            sigstore_params: path(names::SIGN_BY_SIGSTORE),
            sigstore_key: path(names::SIGN_BY_SIGSTORE_PRIVATE_KEY),
            passphrase_file: path(names::SIGN_PASSPHRASE_FILE),
            identity: values.text(names::SIGN_IDENTITY).map(parse_identity).transpose()?,
        };
        let keys = [flags.by.is_some(), flags.by_sequoia, flags.sigstore_key.is_some()];
        if flags.passphrase_file.is_some() && keys.into_iter().filter(|given| *given).count() > 1 {
            bail!(
                "Only one of --sign-by, --sign-by-sq-fingerprint and \
                 --sign-by-sigstore-private-key can be used with --sign-passphrase-file"
            );
        }
        Ok(flags)
    }
}

fn parse_identity(text: &str) -> Result<Reference> {
    // The cause is in the sentence, as scripts know it.
    Reference::parse_canonical(text)
        .map_err(|error| anyhow::anyhow!("Could not parse --sign-identity: {error}"))
}
