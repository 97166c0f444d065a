//! The file of `sync --src yaml`, version 1: registries, and what to copy from each.
//!
//! Registries and repositories keep the order of the file. Keys that the original does not know are
//! no error there, and so not here.

use std::path::PathBuf;

use serde::de::{Deserialize as _, Deserializer};
use skopeo_image::Secret;

use super::values::{Expression, Range};
use super::{Malformed, OrderedMap, nullable, read};

/// What a file asks for.
#[derive(Debug, Default)]
pub struct SourceFile {
    /// The registries by host.
    pub registries: OrderedMap<Registry>,
}

/// What to copy from one registry, and how to reach it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Registry {
    /// Repositories with the tags or digests wanted; none means all tags.
    #[serde(deserialize_with = "nullable")]
    pub images: OrderedMap<Option<Vec<String>>>,
    /// Repositories with the regular expression that a tag must match somewhere.
    #[serde(deserialize_with = "expressions")]
    pub images_by_tag_regex: OrderedMap<String>,
    /// Repositories with the constraint that a tag must meet as a semantic version.
    #[serde(deserialize_with = "ranges")]
    pub images_by_semver: OrderedMap<String>,
    /// As whom to ask.
    #[serde(deserialize_with = "nullable")]
    pub credentials: Credentials,
    /// Whether certificates must be good; as on the command line where the file does not say.
    pub tls_verify: Option<bool>,
    /// The folder of certificates; as on the command line where the file does not say.
    pub cert_dir: Option<PathBuf>,
}

impl Registry {
    /// Returns whether there is nothing to copy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.0.is_empty()
            && self.images_by_tag_regex.0.is_empty()
            && self.images_by_semver.0.is_empty()
    }
}

/// As whom to ask a registry.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The user's password.
    #[serde(deserialize_with = "secret")]
    pub password: Option<Secret>,
    /// What is exchanged for an access token instead.
    #[serde(deserialize_with = "secret")]
    pub identitytoken: Option<Secret>,
}

impl Credentials {
    /// Returns whether the file names any.
    #[must_use]
    pub fn are_given(&self) -> bool {
        !self.username.is_empty() || self.password.is_some() || self.identitytoken.is_some()
    }
}

impl SourceFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// If it is no YAML, or what a key says is of another kind than wanted.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let registries: OrderedMap<Option<Registry>> = read(text)?;
        let registries = registries.0.into_iter();
        let registries = registries.map(|(host, registry)| (host, registry.unwrap_or_default()));
        Ok(Self { registries: OrderedMap(registries.collect()) })
    }
}

fn expressions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OrderedMap<String>, D::Error> {
    let pairs: OrderedMap<Expression> = nullable(deserializer)?;
    Ok(OrderedMap(pairs.0.into_iter().map(|(key, expression)| (key, expression.0)).collect()))
}

fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OrderedMap<String>, D::Error> {
    let pairs: OrderedMap<Range> = nullable(deserializer)?;
    Ok(OrderedMap(pairs.0.into_iter().map(|(key, range)| (key, range.0)).collect()))
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_manual_shows() {
        let file = SourceFile::parse(
            "registry.example.com:
    images:
        redis:
            - \"1.0\"
            - 2.0
            - \"sha256:00\"
        busybox: []
        alpine:
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        alpine: \">= 3.12.0\"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
    something-else: 1
quay.io:
    tls-verify: false
    images:
        coreos/etcd: [latest]
nothing.example:
",
        )
        .unwrap();
        let hosts: Vec<_> = file.registries.0.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["registry.example.com", "quay.io", "nothing.example"]);
        let registry = &file.registries.0[0].1;
        let images: Vec<_> = registry
            .images
            .0
            .iter()
            .map(|(name, tags)| format!("{name} {}", tags.as_deref().unwrap_or_default().join(" ")))
            .collect();
        // A tag that looks like a number keeps its zeros.
        assert_eq!(images, ["redis 1.0 2.0 sha256:00", "busybox ", "alpine "]);
        assert_eq!(registry.images_by_tag_regex.0[0].1, "^1\\.13\\.[12]-alpine-perl$");
        assert_eq!(registry.images_by_semver.0[0].1, ">= 3.12.0");
        assert_eq!(registry.tls_verify, Some(true));
        assert_eq!(registry.cert_dir, Some("/home/john/certs".into()));
        assert!(registry.credentials.are_given());
        assert!(!format!("{registry:?}").contains("this is a secret"));
        assert_eq!(file.registries.0[1].1.tls_verify, Some(false));
        assert!(file.registries.0[2].1.is_empty());
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "# only a comment\n", "---\n"] {
            assert!(SourceFile::parse(text).unwrap().registries.0.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, place) in [
            ("a:\n  images: [x]\n", "line 2"),
            ("a:\n  images:\n    x: 1\n", "line 3"),
            ("a:\n  tls-verify: perhaps\n", "line 2"),
            ("a:\n  images: {}\na:\n  images: {}\n", "line 3"),
            ("a: [\n", "line"),
            (
                "a:\n  images-by-tag-regex:\n    x: (\n",
                "line 3, column 8: a.images-by-tag-regex.x: ",
            ),
            ("a:\n  images-by-semver: {x: '>>'}\n", "line 2, column 25: a.images-by-semver.x: "),
            ("- a\n", "line 1"),
        ] {
            let error = SourceFile::parse(text).unwrap_err().to_string();
            assert!(error.contains(place), "{text:?}: {error}");
        }
    }
}
