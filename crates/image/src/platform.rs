//! Platforms, and which of them serve a machine, best first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image was built for, as an OCI index or a Docker manifest list writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The CPU, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system, in Go's words: `linux`, `windows`.
    pub os: String,
    /// The version of the operating system; empty where not given.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// What the operating system has to offer, such as `win32k`.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU, such as `v7`; empty where not given.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// What the CPU has to offer: Docker only, dropped on the way to OCI.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl Platform {
    /// Returns a platform of these three; an empty `variant` is none.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        }
    }

    /// Returns the platform this program was built for, in Go's words.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            "powerpc64" => ("ppc64", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        Self::new(os, architecture, variant)
    }

    /// Returns whether an instance for `self` is what `wanted` asks for. Versions and features are
    /// not looked at: the OCI specification leaves them too vague to compare.
    #[must_use]
    pub fn matches(&self, wanted: &Self) -> bool {
        self.architecture == wanted.architecture
            && self.os == wanted.os
            && self.variant == wanted.variant
    }
}

impl fmt::Display for Platform {
    /// `linux/arm64/v8`; what is not known is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        if !self.os_version.is_empty() {
            write!(f, " {}", self.os_version)?;
        }
        Ok(())
    }
}

/// What somebody asks for of a list: every instance for an operating system and an architecture,
/// or those of one variant of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlatformFilter {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A text that is not of the form `OS/ARCHITECTURE[/VARIANT]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform format {0:?}")]
pub struct PlatformError(pub String);

impl PlatformFilter {
    /// Returns whether it asks for what is made for `platform`.
    #[must_use]
    pub fn matches(&self, platform: &Platform) -> bool {
        let usual = |variant: &str| usual_variant(&self.architecture, variant).to_owned();
        self.os == platform.os
            && self.architecture == platform.architecture
            && self.variant.as_ref().is_none_or(|it| usual(it) == usual(&platform.variant))
    }
}

impl FromStr for PlatformFilter {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        if [os, architecture].contains(&"") || variant == Some("") {
            return Err(PlatformError(text.to_owned()));
        }
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

impl fmt::Display for PlatformFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The variant that is meant where none is written.
fn usual_variant<'a>(architecture: &str, variant: &'a str) -> &'a str {
    match (architecture, variant) {
        ("arm64", "") => "v8",
        ("arm", "") => "v7",
        ("amd64", "") => "v1",
        _ => variant,
    }
}

/// Returns the platforms that serve, best first: those of `host` where nothing else is chosen.
///
/// The variant of the host counts only where no architecture is chosen, even if it is the host's:
/// else nobody could ask for "no variant". Empty texts are like `None`. On Windows and macOS, where
/// no system is chosen, images for Linux serve last: their users run those in a virtual machine.
#[must_use]
pub fn wanted_platforms(
    os: Option<&str>,
    architecture: Option<&str>,
    variant: Option<&str>,
    host: &Platform,
) -> Vec<Platform> {
    const LINUX: &str = "linux";

    let given = |choice: Option<&str>| choice.filter(|text| !text.is_empty()).map(str::to_owned);
    let systems = match given(os) {
        Some(os) => vec![os],
        None if ["windows", "darwin"].contains(&host.os.as_str()) => {
            vec![host.os.clone(), LINUX.to_owned()]
        }
        None => vec![host.os.clone()],
    };
    let chosen = given(architecture);
    let variant = match (given(variant), &chosen) {
        (Some(variant), _) => variant,
        (None, Some(_)) => String::new(),
        (None, None) => host.variant.clone(),
    };
    let architecture = chosen.unwrap_or_else(|| host.architecture.clone());

    let known = variants(&architecture);
    let mut candidates: Vec<&str> = Vec::new();
    if variant.is_empty() {
        candidates.push("");
        candidates.extend(known);
    } else {
        match known.iter().position(|known| *known == variant) {
            Some(at) => candidates.extend(known.iter().skip(at)),
            None => candidates.push(&variant),
        }
        candidates.push("");
    }
    let of_system = |os: &String| -> Vec<Platform> {
        candidates.iter().map(|variant| Platform::new(os, &architecture, variant)).collect()
    };
    systems.iter().flat_map(of_system).collect()
}

/// The variants of an architecture, the most capable first: each runs what is made for the later.
fn variants(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "arm" => &["v8", "v7", "v6", "v5"],
        "arm64" => &["v8"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_as_the_original() {
        let host = Platform::new("linux", "arm", "v7");
        for (os, arch, variant, expected) in [
            (None, None, None, vec!["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm/"]),
            (
                Some(""),
                Some(""),
                Some(""),
                vec!["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm/"],
            ),
            (
                None,
                Some("arm"),
                None,
                vec!["linux/arm/", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
            ),
            (None, Some("arm64"), None, vec!["linux/arm64/", "linux/arm64/v8"]),
            (None, Some("arm64"), Some("v8"), vec!["linux/arm64/v8", "linux/arm64/"]),
            (None, Some("arm64"), Some("v9"), vec!["linux/arm64/v9", "linux/arm64/"]),
            (Some("windows"), Some("amd64"), None, vec!["windows/amd64/"]),
            (None, Some("amd64"), Some("v3"), vec!["linux/amd64/v3", "linux/amd64/"]),
            (None, None, Some("v5"), vec!["linux/arm/v5", "linux/arm/"]),
        ] {
            let got: Vec<String> = wanted_platforms(os, arch, variant, &host)
                .into_iter()
                .map(|p| format!("{}/{}/{}", p.os, p.architecture, p.variant))
                .collect();
            assert_eq!(got, expected, "{os:?} {arch:?} {variant:?}");
        }
    }

    #[test]
    fn linux_serves_where_virtual_machines_run_it() {
        for (host, os, expected) in [
            ("windows", None, vec!["windows/amd64", "linux/amd64"]),
            ("darwin", None, vec!["darwin/amd64", "linux/amd64"]),
            ("windows", Some(""), vec!["windows/amd64", "linux/amd64"]),
            ("windows", Some("windows"), vec!["windows/amd64"]),
            ("darwin", Some("linux"), vec!["linux/amd64"]),
            ("freebsd", None, vec!["freebsd/amd64"]),
            ("linux", None, vec!["linux/amd64"]),
        ] {
            let got = wanted_platforms(os, None, None, &Platform::new(host, "amd64", ""));
            let got: Vec<String> = got.iter().map(ToString::to_string).collect();
            assert_eq!(got, expected, "{host} {os:?}");
        }
    }

    #[test]
    fn filters_say_what_they_want() {
        let filter = |text: &str| text.parse::<PlatformFilter>().unwrap();
        for (text, os, architecture, variant, matches) in [
            ("linux/amd64", "linux", "amd64", "", true),
            ("linux/amd64", "linux", "amd64", "v3", true), // all variants
            ("linux/amd64", "windows", "amd64", "", false),
            ("linux/arm", "linux", "arm", "v6", true),
            ("linux/arm", "linux", "arm64", "", false),
            ("linux/arm/v7", "linux", "arm", "v7", true),
            ("linux/arm/v7", "linux", "arm", "v6", false),
            ("linux/arm/v7", "linux", "arm", "", true), // where none is written, v7 is meant
            ("linux/arm64/v8", "linux", "arm64", "", true),
            ("linux/arm64/v8", "linux", "arm64", "v8", true),
            ("linux/amd64/v3", "linux", "amd64", "", false),
            ("linux/amd64", "unknown", "unknown", "", false),
        ] {
            let platform = Platform::new(os, architecture, variant);
            assert_eq!(filter(text).matches(&platform), matches, "{text} {platform}");
            assert_eq!(filter(text).to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "/", "linux/arm/", "linux/arm/v7/x"] {
            let error = text.parse::<PlatformFilter>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid platform format {text:?}"));
        }
    }
}
