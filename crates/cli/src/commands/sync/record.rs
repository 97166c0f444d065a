//! `--report`: what a run has done, as a file. docs/json.md explains the fields.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use skopeo_image::go_json;

use super::outcome::{Entry, Unlisted};
use super::summary::Totals;
use crate::args::recorded::Recorded;
use crate::{files, go};

/// The version of the document: grows if a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The longest report that is read, in bytes: half a million images.
const LONGEST: usize = 1 << 29;

/// The longest part of it that can be of any form, in bytes.
const LONGEST_PART: usize = 1 << 20;

/// The flags that are recorded: what they say is no secret, and needed to do the same again.
pub(super) const RECORDED: &[&str] = &[
    "all",
    "authfile",
    "dest",
    "dest-authfile",
    "dest-cert-dir",
    "dest-no-creds",
    "dest-tls-verify",
    "format",
    "overwrite",
    "platform",
    "preserve-digests",
    "referrers",
    "remove-list-signatures",
    "remove-signatures",
    "sign-by",
    "sign-by-sigstore",
    "sign-by-sigstore-private-key",
    "sign-passphrase-file",
    "src",
    "src-authfile",
    "src-cert-dir",
    "src-no-creds",
    "src-tls-verify",
    "tls-verify",
    "to",
];

/// A report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) version: u32,
    pub(super) command: String,
    pub(super) ok: bool,
    pub(super) dry_run: bool,
    /// RFC 3339 in UTC.
    pub(super) started: String,
    pub(super) seconds: f64,
    pub(super) requests: u64,
    /// SOURCE and DESTINATION.
    #[serde(deserialize_with = "limited")]
    pub(super) arguments: Vec<String>,
    #[serde(deserialize_with = "limited")]
    pub(super) options: Recorded,
    pub(super) totals: Totals,
    pub(super) images: Vec<Entry>,
    pub(super) unlisted: Vec<Unlisted>,
    /// Why it ended as it did: what `--error-format json` says.
    #[serde(default, deserialize_with = "limited")]
    pub(super) error: Option<Json>,
}

/// The beginning of every document: what it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    command: String,
    version: u64,
}

/// Reads what may be of any form only if it is short.
fn limited<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = <&'de RawValue>::deserialize(deserializer)?.get();
    if text.len() > LONGEST_PART {
        let most = LONGEST_PART >> 20;
        return Err(D::Error::custom(format!("a part of it is longer than {most} MiB")));
    }
    serde_json::from_str(text).map_err(D::Error::custom)
}

impl Document {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            version: VERSION,
            command: "sync".to_owned(),
            ok: true,
            dry_run: false,
            started: String::new(),
            seconds: 0.0,
            requests: 0,
            arguments: Vec::new(),
            options: Recorded::new(),
            totals: Totals::default(),
            images: Vec::new(),
            unlisted: Vec::new(),
            error: None,
        }
    }

    /// # Errors
    /// If the file cannot be read, or is no report.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = go::quote(&path.to_string_lossy());
        let bytes = go::read_at_most(path, LONGEST).with_context(|| format!("reading {file}"))?;
        let none = || format!("{file} is no report of sync");
        // Never as a tree of values: that takes many times the memory.
        let text = std::str::from_utf8(&bytes).with_context(none)?;
        let head: Head = serde_json::from_str(text).with_context(none)?;
        match (head.command.as_str(), head.version) {
            ("sync", version) if version == u64::from(VERSION) => {}
            ("sync", version) if version > 0 => {
                bail!("{file} is a report of version {version}, and only {VERSION} is known")
            }
            _ => bail!(none()),
        }
        serde_json::from_str(text).with_context(none)
    }

    /// # Errors
    /// If it cannot be written; what was there before is there then.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        files::replace(path, &self.bytes()?)
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let mut json = go_json::to_vec_indent(self, "", "    ")?;
        json.push(b'\n');
        Ok(json)
    }
}
