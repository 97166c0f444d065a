//! `signedIdentity`: which name a signature has to be for.

use serde_json::value::RawValue;
use skopeo_image::Reference;

use super::strict::{self, Fields};

/// Which name in a signature is accepted for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignedIdentity {
    /// The image's name, tag or digest included.
    MatchExact,
    /// The same; but an image named by digest may have any tag in its signature.
    #[default]
    MatchRepoDigestOrExact,
    /// The image's repository, with any tag or digest.
    MatchRepository,
    /// This reference, whatever the image is called.
    ExactReference(String),
    /// This repository, whatever the image is called.
    ExactRepository(String),
    /// As the default, after `prefix` of the image's name was replaced.
    RemapIdentity {
        /// What the image's name has to begin with.
        prefix: String,
        /// What it is called in signatures.
        signed_prefix: String,
    },
}

impl SignedIdentity {
    pub(super) fn parse(raw: &RawValue) -> Result<Self, String> {
        let name = strict::type_of(raw)?;
        let mut fields = Fields::parse(raw)?;
        let _ = fields.require("type")?;
        let mut text = |key: &str| {
            let raw = fields.require(key)?;
            Ok::<_, String>(strict::value::<String>(raw)?.unwrap_or_default())
        };
        let identity = match name.as_str() {
            "matchExact" => Self::MatchExact,
            "matchRepoDigestOrExact" => Self::MatchRepoDigestOrExact,
            "matchRepository" => Self::MatchRepository,
            "exactReference" => Self::ExactReference(text("dockerReference")?),
            "exactRepository" => Self::ExactRepository(text("dockerRepository")?),
            "remapIdentity" => Self::RemapIdentity {
                prefix: text("prefix")?,
                signed_prefix: text("signedPrefix")?,
            },
            _ => return Err(format!("Unknown policy reference match type {name:?}")),
        };
        fields.finish()?;
        identity.check()?;
        Ok(identity)
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::ExactReference(text) => {
                let reference = Reference::parse_normalized(text).map_err(|error| {
                    format!("Invalid format of dockerReference {text:?}: {error}")
                })?;
                if reference.is_name_only() {
                    return Err(format!(
                        "dockerReference {text:?} contains neither a tag nor digest"
                    ));
                }
            }
            Self::ExactRepository(text) => {
                Reference::parse_normalized(text).map_err(|error| {
                    format!("Invalid format of dockerRepository {text:?}: {error}")
                })?;
            }
            Self::RemapIdentity { prefix, signed_prefix } => {
                for prefix in [prefix, signed_prefix] {
                    if !is_prefix(prefix) {
                        return Err(format!("prefix {prefix:?} is not valid"));
                    }
                }
            }
            Self::MatchExact | Self::MatchRepoDigestOrExact | Self::MatchRepository => {}
        }
        Ok(())
    }
}

/// Whether `text` is `host[:port]`, or a repository or namespace below one, without tag or digest.
fn is_prefix(text: &str) -> bool {
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (text, None),
    };
    if path.is_some_and(|path| path.contains([':', '@'])) {
        return false;
    }
    // With a path below it, a host must also be one that the reference grammar takes for a host;
    // here every host of the grammar is allowed, so the port decides that it is taken for one.
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:1") };
    Reference::parse_normalized(&format!("{host}/{}", path.unwrap_or("x")))
        .is_ok_and(|reference| reference.is_name_only() && reference.name.domain() == host)
}
