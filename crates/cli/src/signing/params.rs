//! The file of `--sign-by-sigstore`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value as Json};
use skopeo_image::Secret;
use skopeo_trust::sign::Format;
use skopeo_trust::sign::rekor::Version;

use crate::go;

/// The largest such file, in bytes.
const MAX_FILE: usize = 1 << 20;

/// What is to be signed with, as the file says it.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) key: KeySource,
    /// A transparency log, and the version of the service. The version is a member of ours.
    pub(super) rekor: Option<(Version, String)>,
    /// The address of an authority for times (RFC 3161). A member of ours.
    pub(super) times: Option<String>,
    /// A member of ours.
    pub(super) format: Format,
}

/// Where the key comes from.
#[derive(Debug)]
pub(super) enum KeySource {
    File {
        path: PathBuf,
        passphrase_file: Option<PathBuf>,
    },
    /// A new key, which Fulcio certifies.
    Fulcio {
        url: String,
        oidc: Oidc,
    },
}

/// Who says to Fulcio whose the key is.
#[derive(Debug)]
pub(super) enum Oidc {
    /// A token that is there already.
    Token(Secret),
    /// Somebody who asks the user.
    Issuer(Issuer),
}

/// An OpenID provider.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) client: String,
    pub(super) secret: Option<Secret>,
    pub(super) mode: Mode,
}

/// How the user is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a browser on any machine.
    DeviceGrant,
    /// In a browser on this machine.
    Interactive,
}

const FIELDS: [&str; 7] = [
    "privateKeyFile",
    "privateKeyPassphraseFile",
    "fulcio",
    "rekorURL",
    "rekorVersion",
    "timestampAuthorityURL",
    "format",
];
const FULCIO: [&str; 6] =
    ["fulcioURL", "oidcMode", "oidcIDToken", "oidcIssuerURL", "oidcClientID", "oidcClientSecret"];

impl Params {
    /// # Errors
    /// If it cannot be read, has members that are none, or does not say what to sign with.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let quoted = go::quote(&path.to_string_lossy());
        let read = || -> Result<Option<Json>> {
            let bytes =
                go::read_at_most(path, MAX_FILE).with_context(|| format!("reading {quoted}"))?;
            let parse = || -> Result<_> {
                let parsed = serde_saphyr::from_str(std::str::from_utf8(&bytes)?);
                parsed.map_err(|error| anyhow!("{error}"))
            };
            let parsed = parse().and_then(|document| check(&document).map(|()| document));
            parsed.with_context(|| format!("parsing {quoted}"))
        };
        let document = read();
        let document = document
            .with_context(|| format!("setting up signing using parameter file {quoted}"))?;
        match document {
            Some(Json::Object(fields)) => Self::new(&fields),
            _ => Self::new(&Map::new()),
        }
    }

    fn new(fields: &Map<String, Json>) -> Result<Self> {
        let file = text(fields, "privateKeyFile").map(PathBuf::from);
        let fulcio = fields.get("fulcio").and_then(Json::as_object);
        let key = match (file, fulcio) {
            (Some(_), Some(_)) => bail!(
                "multiple private key sources specified when preparing to create sigstore signatures"
            ),
            (None, None) => bail!(
                "no private key source provided (neither a private key nor Fulcio) when preparing \
                 to create sigstore signatures"
            ),
            (Some(path), None) => {
                let passphrase_file = text(fields, "privateKeyPassphraseFile").map(PathBuf::from);
                KeySource::File { path, passphrase_file }
            }
            (None, Some(fulcio)) => {
                let url = text(fulcio, "fulcioURL").context("missing fulcioURL")?;
                KeySource::Fulcio { url, oidc: Oidc::new(fulcio)? }
            }
        };
        let format = match text(fields, "format").as_deref() {
            None | Some("attachment") => Format::Attachment,
            Some("bundle") => Format::Bundle,
            Some(other) => bail!("unknown format value {}", go::quote(other)),
        };
        let times = text(fields, "timestampAuthorityURL");
        if times.is_some() && format != Format::Bundle {
            bail!(
                "timestampAuthorityURL needs format: bundle: other signatures cannot store the time"
            );
        }
        let version = match text(fields, "rekorVersion").as_deref() {
            None | Some("1") => Version::V1,
            Some("2") => Version::V2,
            Some(other) => bail!("unknown rekorVersion value {}", go::quote(other)),
        };
        let rekor = text(fields, "rekorURL").map(|url| (version, url));
        if version == Version::V2 {
            if rekor.is_none() {
                bail!("rekorVersion needs rekorURL");
            }
            if format != Format::Bundle {
                bail!(
                    "rekorVersion: 2 needs format: bundle, as no other signature has a place for the proof"
                );
            }
            if times.is_none() && matches!(key, KeySource::Fulcio { .. }) {
                bail!(
                    "rekorVersion: 2 and fulcio need timestampAuthorityURL, as that log does not say when a certificate was used"
                );
            }
        }
        Ok(Self { key, rekor, times, format })
    }
}

impl Oidc {
    fn new(fulcio: &Map<String, Json>) -> Result<Self> {
        let mode = text(fulcio, "oidcMode");
        if mode.as_deref() == Some("staticToken") {
            let token = text(fulcio, "oidcIDToken").context("missing oidcToken")?;
            return Ok(Self::Token(token.into()));
        }
        let url = text(fulcio, "oidcIssuerURL").context("missing oidcIssuerURL")?;
        let mode = match mode.context("missing oidcMode")?.as_str() {
            "deviceGrant" => Mode::DeviceGrant,
            "interactive" => Mode::Interactive,
            other => bail!("unknown oidcMode value {}", go::quote(other)),
        };
        let client = text(fulcio, "oidcClientID").unwrap_or_default();
        let secret = text(fulcio, "oidcClientSecret").map(Secret::from);
        Ok(Self::Issuer(Issuer { url, client, secret, mode }))
    }
}

/// Refuses members that nobody knows: one that is misspelt would make other signatures than meant.
fn check(document: &Option<Json>) -> Result<()> {
    let known = |fields: &Map<String, Json>, names: &[&str], kind: &str| match fields
        .keys()
        .find(|name| !names.contains(&name.as_str()))
    {
        Some(name) => Err(anyhow!("field {name} not found in type params.{kind}")),
        None => Ok(()),
    };
    let fields = match document {
        None | Some(Json::Null) => return Ok(()),
        Some(Json::Object(fields)) => fields,
        Some(_) => bail!("it is not a mapping"),
    };
    known(fields, &FIELDS, "SigningParameterFile")?;
    let mut texts: Vec<(&String, &Json)> = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("fulcio", Json::Object(below)) => {
                known(below, &FULCIO, "SigningParameterFileFulcio")?;
                texts.extend(below);
            }
            ("fulcio", Json::Null) => {}
            ("fulcio", _) => bail!("fulcio is not a mapping"),
            _ => texts.push((name, value)),
        }
    }
    match texts.into_iter().find(|(_, value)| value.is_array() || value.is_object()) {
        Some((name, _)) => bail!("{name} is not text"),
        None => Ok(()),
    }
}

/// A member that is there and not empty.
fn text(fields: &Map<String, Json>, name: &str) -> Option<String> {
    let text = match fields.get(name)? {
        Json::String(text) => text.clone(),
        Json::Null => return None,
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_strictly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        let shown = go::quote(&path.to_string_lossy());
        let setting_up =
            format!("setting up signing using parameter file {shown}: parsing {shown}: ");
        for (text, expected) in [
            ("privateKeyFile: k", ""),
            ("privateKeyFile: k\nrekorURL: https://r", ""),
            ("privateKeyFile: k\nformat: bundle", ""),
            ("privateKeyFile: k\nformat: attachment", ""),
            ("privateKeyFile: k\nformat: bundle\ntimestampAuthorityURL: https://t", ""),
            (
                "privateKeyFile: k\ntimestampAuthorityURL: https://t",
                "timestampAuthorityURL needs format: bundle: other signatures cannot store the time",
            ),
            ("privateKeyFile: k\nrekorURL: https://r\nrekorVersion: 1", ""),
            ("privateKeyFile: k\nrekorURL: https://r\nrekorVersion: 2\nformat: bundle", ""),
            (
                "privateKeyFile: k\nrekorURL: https://r\nrekorVersion: 3\nformat: bundle",
                "unknown rekorVersion value \"3\"",
            ),
            ("privateKeyFile: k\nrekorVersion: 2\nformat: bundle", "rekorVersion needs rekorURL"),
            (
                "privateKeyFile: k\nrekorURL: https://r\nrekorVersion: 2",
                "rekorVersion: 2 needs format: bundle, as no other signature has a place for the proof",
            ),
            (
                "fulcio: {fulcioURL: u, oidcMode: staticToken, oidcIDToken: t}\nrekorURL: https://r\nrekorVersion: 2\nformat: bundle",
                "rekorVersion: 2 and fulcio need timestampAuthorityURL, as that log does not say when a certificate was used",
            ),
            ("privateKeyFile: k\nformat: Bundle", "unknown format value \"Bundle\""),
            ("fulcio: {fulcioURL: u, oidcMode: staticToken, oidcIDToken: t}", ""),
            (
                "fulcio: {fulcioURL: u, oidcMode: deviceGrant, oidcIssuerURL: i, oidcClientID: c}",
                "",
            ),
            (
                "",
                "no private key source provided (neither a private key nor Fulcio) when preparing to create sigstore signatures",
            ),
            (
                "rekorURL: r",
                "no private key source provided (neither a private key nor Fulcio) when preparing to create sigstore signatures",
            ),
            (
                "privateKeyFile: k\nfulcio: {fulcioURL: u, oidcMode: staticToken, oidcIDToken: t}",
                "multiple private key sources specified when preparing to create sigstore signatures",
            ),
            ("fulcio: {}", "missing fulcioURL"),
            ("fulcio: {fulcioURL: u, oidcMode: staticToken}", "missing oidcToken"),
            ("fulcio: {fulcioURL: u, oidcMode: interactive}", "missing oidcIssuerURL"),
            ("fulcio: {fulcioURL: u, oidcIssuerURL: i}", "missing oidcMode"),
            (
                "fulcio: {fulcioURL: u, oidcIssuerURL: i, oidcMode: x}",
                "unknown oidcMode value \"x\"",
            ),
            ("foo: 1", "+field foo not found in type params.SigningParameterFile"),
            ("fulcio: {foo: 1}", "+field foo not found in type params.SigningParameterFileFulcio"),
            ("privateKeyFile: [a]", "+privateKeyFile is not text"),
            ("[]", "+it is not a mapping"),
        ] {
            fs_err::write(&path, text).unwrap();
            let expected = match expected.strip_prefix('+') {
                Some(sentence) => format!("{setting_up}{sentence}"),
                None => expected.to_owned(),
            };
            let found = Params::read(&path).err().map(|error| format!("{error:#}"));
            assert_eq!(found.unwrap_or_default(), expected, "{text}");
        }
        for text in ["privateKeyFile: a\nprivateKeyFile: b", "a: [", "\u{0}"] {
            fs_err::write(&path, text).unwrap();
            let refused = format!("{:#}", Params::read(&path).unwrap_err());
            assert!(refused.starts_with(&setting_up), "{refused}");
        }
        let missing = Params::read(&folder.path().join("none")).unwrap_err();
        assert!(format!("{missing:#}").contains("no such file or directory"));
    }
}
