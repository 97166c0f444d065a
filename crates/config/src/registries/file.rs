//! One registries.conf: parsed, checked and made uniform.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::short::{self, Aliases};
use super::{Mirror, PullFrom, Registry, ShortNameMode};
use crate::Error;
use crate::tables::{lower, report, toml_error};

/// What one file says. Absent is not the same as empty: an empty list replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) registries: Vec<Registry>,
    pub(super) unqualified: Option<Vec<String>>,
    pub(super) credential_helpers: Option<Vec<String>>,
    pub(super) short_name_mode: Option<ShortNameMode>,
    pub(super) layer_store_helper: Option<String>,
    pub(super) aliases: Aliases,
}

/// Parses the text of a registries.conf. `path` is where aliases are said to come from.
///
/// # Errors
///
/// The text is no TOML, is of version 1, or says something that is not allowed.
pub(super) fn parse(text: &str, path: &Path) -> Result<File, Error> {
    let table: toml::Table = toml::from_str(text).map_err(|error| toml_error(&error, text))?;
    let raw: Raw = uniform(table, path)
        .try_into()
        .map_err(|error: toml::de::Error| Error::Toml(error.message().to_owned()))?;
    if raw.registries.is_some_and(|v1| v1.is_used()) {
        return Err(Error::Invalid("registry must be in v2 format but is in v1".to_owned()));
    }

    let mut registries =
        raw.registry.into_iter().map(RawRegistry::check).collect::<Result<Vec<_>, _>>()?;
    refuse_conflicts(&registries)?;
    // The first of several entries for one prefix counts; the order is that of the prefixes.
    registries.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    registries.dedup_by(|later, first| later.prefix == first.prefix);

    let unqualified = raw.unqualified_search_registries.map(|list| {
        list.iter()
            .map(|entry| {
                let host = location(entry)?;
                if short::is_domain(host) {
                    Ok(host.to_owned())
                } else {
                    let text = format!("Invalid unqualified-search-registries entry {host:?}");
                    Err(Error::Invalid(text))
                }
            })
            .collect::<Result<Vec<_>, _>>()
    });
    let mode = raw.short_name_mode.filter(|mode| !mode.is_empty());
    Ok(File {
        registries,
        unqualified: unqualified.transpose()?,
        credential_helpers: raw.credential_helpers,
        short_name_mode: mode.map(|mode| ShortNameMode::parse(&mode)).transpose()?,
        layer_store_helper: raw.additional_layer_store_auth_helper.filter(|it| !it.is_empty()),
        aliases: short::parse(&raw.aliases.unwrap_or_default(), path)?,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    #[serde(default)]
    registry: Vec<RawRegistry>,
    unqualified_search_registries: Option<Vec<String>>,
    credential_helpers: Option<Vec<String>>,
    short_name_mode: Option<String>,
    additional_layer_store_auth_helper: Option<String>,
    aliases: Option<BTreeMap<String, String>>,
    registries: Option<V1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct RawRegistry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    pull_from_mirror: String,
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RawMirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct V1 {
    search: V1List,
    insecure: V1List,
    block: V1List,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct V1List {
    registries: Option<Vec<String>>,
}

impl V1 {
    fn is_used(&self) -> bool {
        [&self.search, &self.insecure, &self.block].iter().any(|list| list.registries.is_some())
    }
}

impl RawRegistry {
    fn check(self) -> Result<Registry, Error> {
        let place = location(&self.location)?.to_owned();
        let prefix = if self.prefix.is_empty() {
            if place.is_empty() {
                return invalid("invalid condition: both location and prefix are unset");
            }
            place.clone()
        } else {
            location(&self.prefix)?.to_owned()
        };
        let wildcard = prefix.strip_prefix("*.");
        if place.is_empty() && wildcard.is_none() {
            return invalid(
                "invalid condition: location is unset and prefix is not in the format: *.example.com",
            );
        }
        if !self.pull_from_mirror.is_empty() {
            return invalid(format!(
                "pull-from-mirror must not be set for a non-mirror registry {prefix:?}"
            ));
        }
        if wildcard.is_some_and(|domain| domain.contains(['/', '@', ':'])) {
            return invalid(format!(
                "Wildcarded prefix should be in the format: *.example.com. Current prefix \
                 {prefix:?} is incorrectly formatted"
            ));
        }
        let mirrors = self
            .mirror
            .into_iter()
            .map(|mirror| mirror.check(&prefix, self.mirror_by_digest_only))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Registry {
            prefix,
            location: (!place.is_empty()).then_some(place),
            insecure: self.insecure,
            blocked: self.blocked,
            mirrors,
        })
    }
}

impl RawMirror {
    fn check(self, prefix: &str, by_digest_only: bool) -> Result<Mirror, Error> {
        let place = location(&self.location)?;
        if place.is_empty() {
            return invalid("invalid condition: mirror location is unset");
        }
        if by_digest_only && !self.pull_from_mirror.is_empty() {
            return invalid(format!(
                "cannot set mirror usage mirror-by-digest-only for the registry ({prefix:?}) and \
                 pull-from-mirror for per-mirror ({place:?}) at the same time"
            ));
        }
        let pull_from = match self.pull_from_mirror.as_str() {
            "" if by_digest_only => PullFrom::DigestOnly,
            "" | "all" => PullFrom::All,
            "digest-only" => PullFrom::DigestOnly,
            "tag-only" => PullFrom::TagOnly,
            other => {
                return invalid(format!(
                    "unsupported pull-from-mirror value {other:?} for mirror {place:?}"
                ));
            }
        };
        Ok(Mirror { location: place.to_owned(), insecure: self.insecure, pull_from })
    }
}

/// A location or prefix without trailing slashes.
fn location(input: &str) -> Result<&str, Error> {
    if input.starts_with("http://") || input.starts_with("https://") {
        return invalid(format!("invalid location '{input}': URI schemes are not supported"));
    }
    Ok(input.trim_end_matches('/'))
}

/// Entries for one location must agree on whether it is insecure or blocked.
fn refuse_conflicts(registries: &[Registry]) -> Result<(), Error> {
    let mut seen: BTreeMap<&str, &Registry> = BTreeMap::new();
    for registry in registries {
        let place = registry.location.as_deref().unwrap_or(&registry.prefix);
        let first = *seen.entry(place).or_insert(registry);
        let conflict = if first.insecure != registry.insecure {
            "insecure"
        } else if first.blocked != registry.blocked {
            "blocked"
        } else {
            continue;
        };
        return invalid(format!(
            "registry '{place}' is defined multiple times with conflicting '{conflict}' setting"
        ));
    }
    Ok(())
}

/// Keys in lower case, as the original matches them in any case; a key in `blocked`'s place that is
/// written `Blocked` must not be passed over. Unknown keys are mentioned in the debug log only.
fn uniform(table: toml::Table, path: &Path) -> toml::Table {
    let mut result = lower(table);
    report(&result, TOP_KEYS, "", path);
    if let Some(toml::Value::Array(registries)) = result.get_mut("registry") {
        for registry in registries.iter_mut().filter_map(toml::Value::as_table_mut) {
            *registry = lower(std::mem::take(registry));
            report(registry, REGISTRY_KEYS, "registry.", path);
            if let Some(toml::Value::Array(mirrors)) = registry.get_mut("mirror") {
                for mirror in mirrors.iter_mut().filter_map(toml::Value::as_table_mut) {
                    *mirror = lower(std::mem::take(mirror));
                    report(mirror, MIRROR_KEYS, "registry.mirror.", path);
                }
            }
        }
    }
    result
}

const TOP_KEYS: &[&str] = &[
    "registry",
    "unqualified-search-registries",
    "credential-helpers",
    "short-name-mode",
    "additional-layer-store-auth-helper",
    "aliases",
    "registries",
];
const REGISTRY_KEYS: &[&str] = &[
    "prefix",
    "location",
    "insecure",
    "blocked",
    "mirror-by-digest-only",
    "pull-from-mirror",
    "mirror",
];
const MIRROR_KEYS: &[&str] = &["location", "insecure", "pull-from-mirror"];

fn invalid<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(text.into()))
}
