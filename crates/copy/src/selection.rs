//! Which referrers of an image are meant.

use std::str::FromStr;

use skopeo_transport::{CosignTag, FoundBy};

/// What to do with the referrers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Referrers {
    /// Leave it behind, and say nothing.
    #[default]
    Leave,
    /// Leave it behind, and say that there is some.
    Mention,
    /// Copy it with the image.
    Copy(Selection),
}

/// Some kinds of referrers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<Kind>);

/// One kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    All,
    /// Those of one purpose, whoever made them.
    Purpose(Purpose),
    /// An artifact type; `*` stands for any text in it.
    Type(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Signature,
    Attestation,
    Sbom,
}

/// A text that is no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown kind of referrer {0:?}: choose 'all', 'signature', 'attestation', 'sbom', or an \
     artifact type such as 'application/spdx+json' or 'application/vnd.in-toto*'"
)]
pub struct UnknownKind(String);

impl Selection {
    /// Returns all there are.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Kind::All])
    }

    /// Returns those of any of these kinds.
    ///
    /// # Errors
    /// If one is not a kind of referrers, or the index is empty.
    pub fn parse<S: AsRef<str>>(kinds: &[S]) -> Result<Self, UnknownKind> {
        if kinds.is_empty() {
            return Err(UnknownKind(String::new()));
        }
        let kinds = kinds.iter().map(|text| text.as_ref().trim().parse());
        Ok(Self(kinds.collect::<Result<_, _>>()?))
    }

    /// Whether all are meant, so that nobody has to know what they are.
    pub(crate) fn is_all(&self) -> bool {
        self.0.contains(&Kind::All)
    }

    /// Whether one of that artifact type, found there, is meant.
    pub(crate) fn wants(&self, artifact_type: &str, found: FoundBy) -> bool {
        let FoundBy::CosignTag(tag) = found else {
            return self.0.iter().any(|kind| kind.includes(artifact_type));
        };
        // What cosign puts under a tag has this type where it refers to the image.
        let artifact_type = match tag {
            CosignTag::Signatures => "application/vnd.dev.cosign.artifact.sig.v1+json",
            CosignTag::Attestations => "application/vnd.dev.cosign.artifact.att.v1+json",
            CosignTag::Sboms => "application/vnd.dev.cosign.artifact.sbom.v1+json",
        };
        self.0.iter().any(|kind| kind.includes(artifact_type))
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Ok(match text {
            "all" => Self::All,
            "signature" | "signatures" => Self::Purpose(Purpose::Signature),
            "attestation" | "attestations" => Self::Purpose(Purpose::Attestation),
            "sbom" | "sboms" => Self::Purpose(Purpose::Sbom),
            text if text.contains('/') => Self::Type(text.to_ascii_lowercase()),
            other => return Err(UnknownKind(other.to_owned())),
        })
    }
}

impl Kind {
    fn includes(&self, artifact_type: &str) -> bool {
        let artifact_type = artifact_type.to_ascii_lowercase();
        match self {
            Self::All => true,
            Self::Type(pattern) => matches(pattern, &artifact_type),
            Self::Purpose(purpose) => {
                purpose.types().iter().any(|pattern| matches(pattern, &artifact_type))
            }
        }
    }
}

impl Purpose {
    /// The types in the field. A sigstore bundle may be a signature or an attestation; which it
    /// is, its type does not say.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Signature => &[
                "application/vnd.cncf.notary.signature",
                "application/vnd.dev.cosign.artifact.sig.*",
                "application/vnd.dev.cosign.simplesigning.*",
                "application/vnd.dev.sigstore.bundle*",
            ],
            Self::Attestation => &[
                "application/vnd.in-toto*",
                "application/vnd.dev.cosign.artifact.att.*",
                "application/vnd.dev.sigstore.bundle*",
                "application/vnd.dsse.envelope*",
            ],
            Self::Sbom => &[
                "application/spdx*",
                "text/spdx*",
                "application/vnd.cyclonedx*",
                "application/vnd.syft*",
                "application/vnd.dev.cosign.artifact.sbom.*",
            ],
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/b*", "a/bc", true),
            ("a/b*", "a/b", true),
            ("*/b", "a/b", true),
            ("*/b", "a/c", false),
            ("a/*+json", "a/x+json", true),
            ("a/*+json", "a/+json", true),
            ("a/*x*y", "a/1x2y", true),
            ("a/*x*y", "a/1y2x", false),
            ("a/x*x", "a/x", false),
            ("*/*", "", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn kinds() {
        let sig = FoundBy::CosignTag(CosignTag::Signatures);
        let sbom = FoundBy::CosignTag(CosignTag::Sboms);
        for (kinds, artifact_type, found, expected) in [
            (&["all"][..], "", FoundBy::Api, true),
            (&["signature"], "application/vnd.cncf.notary.signature", FoundBy::Api, true),
            (&["signature"], "application/spdx+json", FoundBy::Api, false),
            (&["signature"], "", sig, true),
            (&["signature"], "", sbom, false),
            (&["sbom", "signatures"], "", sbom, true),
            (&["sbom"], "application/SPDX+json", FoundBy::Layout, true),
            (&["attestation"], "application/vnd.in-toto+json", FoundBy::FallbackTag, true),
            (&["attestation"], "application/vnd.dev.sigstore.bundle.v0.3+json", FoundBy::Api, true),
            (&["application/vnd.x"], "application/vnd.X", FoundBy::Api, true),
            (&["application/vnd.x"], "application/vnd.x+json", FoundBy::Api, false),
            (&["application/vnd.dev.cosign*"], "", sig, true),
        ] {
            let selection = Selection::parse(kinds).unwrap();
            assert_eq!(selection.wants(artifact_type, found), expected, "{kinds:?}");
        }
        for kinds in [&["none"][..], &["all", ""], &[]] {
            Selection::parse(kinds).unwrap_err();
        }
    }
}
