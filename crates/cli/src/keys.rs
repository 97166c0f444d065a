//! Keys to encrypt and decrypt layers with: from files, GnuPG's keyring and the list of providers
//! to values.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use skopeo_blob::crypt::{Keys, Provider, Recipients};
use skopeo_config::{Config, KeyProvider};
use skopeo_image::Secret;
use tracing::warn;
use zeroize::Zeroizing;

use crate::{go, gpg};

/// The largest file with a key, in bytes.
const MAX_FILE: usize = 4 << 20;
/// The longest pass phrase, in bytes.
const MAX_PASSPHRASE: usize = 4096;

const PKCS11: &str = "PKCS#11 keys are not supported by this version of skopeo";

/// Those whom `--encryption-key` names, each as `protocol:recipient`.
pub(crate) fn recipients(config: &Config, names: &[String]) -> Result<Recipients> {
    let mut recipients = Recipients::default();
    let mut of_keyring = Vec::new();
    let mut providers = None;
    for name in names {
        let (protocol, value) = name.split_once(':').context("Invalid recipient format")?;
        let file = || file(value).context("Unable to read file");
        let of_file = || format!("reading {value}");
        match protocol {
            "jwe" => recipients.add_jwe(&file()?).with_context(of_file)?,
            "pkcs7" => recipients.add_pkcs7(&file()?).with_context(of_file)?,
            "pgp" => of_keyring.push(value.to_owned()),
            "provider" => {
                let (name, parameter) = value.split_once(':').unwrap_or((value, "Enabled"));
                let provider = provider(known(config, &mut providers)?, name)?;
                recipients.add_provider(provider, parameter);
            }
            "pkcs11" => bail!(PKCS11),
            _ => bail!("Provided protocol not recognized"),
        }
    }
    if !of_keyring.is_empty() {
        recipients.add_pgp(&gpg::keyring()?, &of_keyring)?;
    }
    Ok(recipients)
}

/// What `--decryption-key` names: files with private keys, certificates or secret keyrings, each
/// with its pass phrase if it has one, and providers.
pub(crate) fn keys(config: &Config, names: &[Secret]) -> Result<Keys> {
    let mut keys = Keys::default();
    let mut providers = None;
    for name in names.iter().map(Secret::reveal) {
        if let Some(name) = name.strip_prefix("provider:") {
            let (name, parameter) = name.split_once(':').unwrap_or((name, "Enabled"));
            let provider = provider(known(config, &mut providers)?, name)?;
            keys.add_provider(provider, Some(parameter));
            continue;
        }
        let (name, password) = match name.split_once(':') {
            Some((name, password)) => (name, Some(passphrase(password)?)),
            None => (name, None),
        };
        let file = file(name)?;
        if file.starts_with(b"pkcs11:") {
            bail!(PKCS11);
        }
        let is_key = keys.add(&file, password.as_ref());
        if !is_key.with_context(|| format!("reading {name}"))? {
            warn!("{name} is not a key that can decrypt layers");
        }
    }
    // Who is configured is asked, as by the original, even if not named.
    let all = known(config, &mut providers)?;
    for (name, _) in all.iter().filter(|(_, known)| known.cmd.is_some()) {
        keys.add_provider(provider(all, name)?, None);
    }
    Ok(keys)
}

fn file(path: &str) -> Result<Zeroizing<Vec<u8>>> {
    Ok(Zeroizing::new(go::read_at_most(Path::new(path), MAX_FILE)?))
}

/// A pass phrase as the flag has it: `file=PATH`, `fd=NUMBER`, `pass=TEXT`, or as it is.
fn passphrase(text: &str) -> Result<Secret> {
    let bytes = if let Some(path) = text.strip_prefix("file=") {
        Zeroizing::new(go::read_at_most(Path::new(path), MAX_PASSPHRASE)?)
    } else if let Some(number) = text.strip_prefix("fd=") {
        let number: u32 =
            number.parse().with_context(|| format!("could not parse file descriptor {number}"))?;
        let mut bytes = Zeroizing::new(vec![0; MAX_PASSPHRASE]);
        let mut file = fs_err::File::open(format!("/dev/fd/{number}"))
            .with_context(|| format!("{number} is not a valid file descriptor"))?;
        let length = file.read(&mut bytes).context("could not read from file descriptor")?;
        bytes.truncate(length);
        bytes
    } else {
        return Ok(text.strip_prefix("pass=").unwrap_or(text).into());
    };
    // Editors and `echo` end files with a line break, which is in no pass phrase.
    let text = std::str::from_utf8(&bytes).context("reading a pass phrase")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text).into())
}

type Known = BTreeMap<String, KeyProvider>;

/// The providers that are configured, read once.
fn known<'a>(config: &Config, known: &'a mut Option<Known>) -> Result<&'a Known> {
    if known.is_none() {
        *known = Some(config.key_providers()?);
    }
    known.as_ref().ok_or_else(|| anyhow!("no key providers"))
}

fn provider(known: &Known, name: &str) -> Result<Provider> {
    let configured = known.get(name).with_context(|| {
        format!("key provider {name} is not in the file of $OCICRYPT_KEYPROVIDER_CONFIG")
    })?;
    let Some(command) = &configured.cmd else {
        if configured.grpc.is_some() {
            bail!(
                "key provider {name} uses gRPC, which is not supported by this version of skopeo"
            );
        }
        bail!("Unsupported keyprovider invocation. Supported invocation methods are grpc and cmd");
    };
    Ok(Provider {
        name: name.to_owned(),
        program: command.path.clone(),
        arguments: command.args.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_phrases_in_all_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        for (written, expected) in
            [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")]
        {
            fs_err::write(&path, written).unwrap();
            let given = format!("file={}", path.display());
            assert_eq!(passphrase(&given).unwrap().reveal(), expected);
        }
        for (given, expected) in [("x", "x"), ("pass=x", "x"), ("pass=pass=x", "pass=x"), ("", "")]
        {
            assert_eq!(passphrase(given).unwrap().reveal(), expected);
        }
        for given in ["file=/nowhere", "fd=x", "fd=-1", "fd=99999"] {
            assert!(passphrase(given).is_err(), "{given}");
        }
    }

    #[test]
    fn providers_that_cannot_be_asked() {
        let known = |json| serde_json::from_str::<KeyProvider>(json).unwrap();
        let known = [("g".to_owned(), known(r#"{"grpc":"h:1"}"#)), ("n".to_owned(), known("{}"))];
        let known = known.into();
        for (name, expected) in [
            ("x", "key provider x is not in the file of $OCICRYPT_KEYPROVIDER_CONFIG"),
            ("g", "key provider g uses gRPC, which is not supported by this version of skopeo"),
            (
                "n",
                "Unsupported keyprovider invocation. Supported invocation methods are grpc and cmd",
            ),
        ] {
            assert_eq!(provider(&known, name).unwrap_err().to_string(), expected);
        }
    }
}
