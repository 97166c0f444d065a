//! `generate-sigstore-key --output-prefix PREFIX`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use skopeo_blob::FileError;
use skopeo_system::Opening as _;
use skopeo_trust::sign::KeyPair;

use crate::args::names;
use crate::args::report::Output;
use crate::args::value::Values;
use crate::exit::print;
use crate::{go, signing};

pub(crate) fn run(flags: &Values, arguments: &[String]) -> Result<()> {
    let (true, Some(prefix)) = (arguments.is_empty(), flags.text(names::OUTPUT_PREFIX)) else {
        bail!("Usage: generate-sigstore-key --output-prefix PREFIX")
    };
    let (public, private) =
        (PathBuf::from(format!("{prefix}.pub")), PathBuf::from(format!("{prefix}.private")));
    require_none(&public)?;
    require_none(&private)?;
    let passphrase = match flags.text(names::PASSPHRASE_FILE) {
        Some(path) => signing::passphrase_of_file(path.as_ref())?,
        None => signing::ask_passphrase(&private.to_string_lossy(), Output::Text)?,
    };
    let pair =
        KeyPair::generate(passphrase.reveal().as_bytes()).context("Error generating key pair")?;
    write(&private, pair.private.as_bytes(), 0o600)
        .with_context(|| format!("Error writing private key to {}", quoted(&private)))?;
    write(&public, pair.public.as_bytes(), 0o644)
        .with_context(|| format!("Error writing public key to {}", quoted(&public)))?;
    let line = format!("Key written to {} and {}\n", quoted(&private), quoted(&public));
    Ok(print(line)?)
}

/// Refuses what is there, be it a link to nothing.
fn require_none(path: &Path) -> Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(_) => bail!("Refusing to overwrite existing {}", quoted(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::from(error))
            .with_context(|| format!("Error checking existence of {}", quoted(path))),
    }
}

/// Writes a new file, which was not there before.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).made_with(mode);
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(FileError::from).with_context(|| format!("open {}", path.display()))
}

fn quoted(path: &Path) -> String {
    go::quote(&path.to_string_lossy())
}
