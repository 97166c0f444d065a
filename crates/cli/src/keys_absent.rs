//! Keys of layers in a program that was built without encryption: there are none.

use anyhow::{Result, bail};
use skopeo_blob::crypt::{CryptError, Keys, Recipients};
use skopeo_config::Config;
use skopeo_image::Secret;

/// Refuses `--encryption-key`.
pub(crate) fn recipients(_: &Config, _: &[String]) -> Result<Recipients> {
    bail!(CryptError::NotBuilt)
}

/// Refuses `--decryption-key`.
pub(crate) fn keys(_: &Config, _: &[Secret]) -> Result<Keys> {
    bail!(CryptError::NotBuilt)
}
