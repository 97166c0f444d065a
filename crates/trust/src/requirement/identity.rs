//! `signedIdentity`: which name a signature has to be for.

use serde_json::value::RawValue;
use skopeo_image::Reference;

use crate::strict::{self, Fields, Wrong};

/// Which name in a signature is accepted for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

/// Parses `signedIdentity`, or gives the default.
pub(super) fn parse(fields: &mut Fields<'_>) -> Result<SignedIdentity, Wrong> {
    fields
        .take("signedIdentity")
        .map_or_else(|| Ok(SignedIdentity::default()), SignedIdentity::parse)
}

impl SignedIdentity {
    pub(super) fn parse(raw: &RawValue) -> Result<Self, Wrong> {
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
            _ => return Err(format!("Unknown policy reference match type {name:?}").into()),
        };
        fields.finish()?;
        identity.check().map_err(|reason| Wrong::from(reason).within(raw))?;
        Ok(identity)
    }

    /// Returns whether a signature for the name `signed` is one for an image that the user calls
    /// `image`.
    ///
    /// `image` is a docker reference with its tag or digest; a name that has none (that of a
    /// folder) is met by exact references and repositories only. Whatever is no reference is not
    /// accepted.
    #[must_use]
    pub fn accepts(&self, image: Option<&str>, signed: &str) -> bool {
        let Ok(signed) = Reference::parse_normalized(signed) else { return false };
        let image = || image.and_then(|text| Reference::parse_normalized(text).ok());
        match self {
            Self::MatchExact => image().is_some_and(|image| is_exact(&image, &signed)),
            Self::MatchRepoDigestOrExact => {
                image().is_some_and(|image| is_repo_digest_or_exact(&image, &signed))
            }
            Self::MatchRepository => image().is_some_and(|image| image.name == signed.name),
            Self::ExactReference(text) => Reference::parse_normalized(text)
                .is_ok_and(|reference| is_exact(&reference, &signed)),
            Self::ExactRepository(text) => Reference::parse_normalized(text)
                .is_ok_and(|reference| reference.name == signed.name),
            Self::RemapIdentity { prefix, signed_prefix } => image()
                .and_then(|image| remap(image, prefix, signed_prefix))
                .is_some_and(|image| is_repo_digest_or_exact(&image, &signed)),
        }
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

/// Both say which image of the repository, and the same.
fn is_exact(image: &Reference, signed: &Reference) -> bool {
    !image.is_name_only() && image == signed
}

/// As [`is_exact`]; but an image that is named by its digest alone may have any tag in its
/// signature: that it has this digest is found out from the manifest.
fn is_repo_digest_or_exact(image: &Reference, signed: &Reference) -> bool {
    match (&image.tag, &image.digest) {
        (Some(_), _) => image == signed,
        (None, Some(_)) => !signed.is_name_only() && image.name == signed.name,
        (None, None) => false,
    }
}

/// What an image is called in signatures. A name that does not begin with the prefix stays.
fn remap(image: Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let name = image.name.to_string();
    let begins =
        name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !begins {
        return Some(image);
    }
    let renamed = image.to_string().replacen(prefix, signed_prefix, 1);
    Reference::parse_canonical(&renamed).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:20bf21ed457b390829cdbeec8795a7bea1626991fda603e0d01b4e7f60427e55";
    const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn accepts(identity: &SignedIdentity, image: &str, signed: &str) -> bool {
        let put = |text: &str| text.replace("DIGEST", DIGEST).replace("OTHER", OTHER);
        let image = put(image);
        identity.accepts((!image.is_empty()).then_some(image.as_str()), &put(signed))
    }

    #[test]
    fn names_of_images_and_names_in_signatures() {
        // Image, signed name; then matchExact, matchRepoDigestOrExact, matchRepository.
        for (image, signed, expected) in [
            ("docker.io/library/busybox:1", "docker.io/library/busybox:1", "yyy"),
            ("docker.io/library/busybox:1", "busybox:1", "yyy"),
            ("docker.io/library/busybox:1", "busybox:2", "nny"),
            ("docker.io/library/busybox:1", "busybox", "nny"),
            ("docker.io/library/busybox:latest", "busybox", "nny"),
            ("docker.io/library/busybox:1", "busybox@DIGEST", "nny"),
            ("docker.io/library/busybox:1", "example.com/library/busybox:1", "nnn"),
            ("docker.io/library/busybox:1", "other:1", "nnn"),
            ("docker.io/library/busybox:1", "", "nnn"),
            ("docker.io/library/busybox:1", "UPPER:1", "nnn"),
            ("docker.io/library/busybox:1", "busybox:1@DIGEST", "nny"),
            ("docker.io/library/busybox@DIGEST", "busybox@DIGEST", "yyy"),
            ("docker.io/library/busybox@DIGEST", "busybox@OTHER", "nyy"),
            ("docker.io/library/busybox@DIGEST", "busybox:1", "nyy"),
            ("docker.io/library/busybox@DIGEST", "busybox", "nny"),
            ("docker.io/library/busybox@DIGEST", "other:1", "nnn"),
            ("docker.io/library/busybox:1@DIGEST", "busybox:1@DIGEST", "yyy"),
            ("docker.io/library/busybox:1@DIGEST", "busybox:1", "nny"),
            ("docker.io/library/busybox:1@DIGEST", "busybox@DIGEST", "nny"),
            ("docker.io/library/busybox", "busybox", "nny"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "yyy"),
            ("localhost:5000/a/b:1", "localhost:5001/a/b:1", "nnn"),
            ("", "busybox:1", "nnn"),
            ("", "", "nnn"),
        ] {
            let found: String = [
                SignedIdentity::MatchExact,
                SignedIdentity::MatchRepoDigestOrExact,
                SignedIdentity::MatchRepository,
            ]
            .iter()
            .map(|identity| if accepts(identity, image, signed) { 'y' } else { 'n' })
            .collect();
            assert_eq!(found, expected, "{image} {signed}");
        }
    }

    #[test]
    fn names_of_the_policy() {
        let exact = |text: &str| SignedIdentity::ExactReference(text.replace("DIGEST", DIGEST));
        let repository = |text: &str| SignedIdentity::ExactRepository(text.to_owned());
        for (identity, signed, expected) in [
            (exact("busybox:1"), "docker.io/library/busybox:1", true),
            (exact("docker.io/library/busybox:1"), "busybox:1", true),
            (exact("busybox:1"), "busybox:2", false),
            (exact("busybox:1"), "busybox", false),
            (exact("busybox:1"), "busybox@DIGEST", false),
            (exact("busybox@DIGEST"), "busybox@DIGEST", true),
            (exact("busybox@DIGEST"), "busybox@OTHER", false),
            (exact("busybox:1"), "not a reference", false),
            (repository("busybox"), "busybox:1", true),
            (repository("busybox:7"), "busybox", true),
            (repository("busybox"), "busybox@DIGEST", true),
            (repository("busybox"), "other:1", false),
            (repository("localhost:5000/a"), "localhost:5000/a:1", true),
            (repository("localhost:5000/a"), "localhost:5000/a/b:1", false),
        ] {
            for image in ["", "docker.io/library/other:1"] {
                assert_eq!(accepts(&identity, image, signed), expected, "{identity:?} {signed}");
            }
        }
    }

    #[test]
    fn remapped_names() {
        let remap = |prefix: &str, signed_prefix: &str| SignedIdentity::RemapIdentity {
            prefix: prefix.to_owned(),
            signed_prefix: signed_prefix.to_owned(),
        };
        for (identity, image, signed, expected) in [
            (remap("mirror:5000", "docker.io"), "mirror:5000/a/b:1", "docker.io/a/b:1", true),
            (remap("mirror:5000", "docker.io"), "mirror:5000/a/b:1", "mirror:5000/a/b:1", false),
            (remap("mirror:5000", "docker.io"), "mirror:5001/a/b:1", "mirror:5001/a/b:1", true),
            (remap("mirror:5000", "docker.io"), "mirror:5000/b:1", "docker.io/library/b:1", false),
            (remap("m/a", "n/c"), "m/a:1", "n/c:1", false),
            (remap("m.io/a", "n.io/c"), "m.io/a:1", "n.io/c:1", true),
            (remap("m.io/a", "n.io/c"), "m.io/a/b:1", "n.io/c/b:1", true),
            (remap("m.io/a", "n.io/c"), "m.io/ab:1", "n.io/cb:1", false),
            (remap("m.io/a", "n.io/c"), "m.io/ab:1", "m.io/ab:1", true),
            (remap("m.io/a", "n.io/c"), "m.io/a@DIGEST", "n.io/c:1", true),
            (remap("m.io/a", "n.io/c"), "m.io/a@DIGEST", "n.io/c", false),
            (remap("m.io/a", "n.io/c"), "", "n.io/c:1", false),
        ] {
            assert_eq!(
                accepts(&identity, image, signed),
                expected,
                "{identity:?} {image} {signed}"
            );
        }
    }
}
