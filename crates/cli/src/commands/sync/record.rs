//! `--report`: what a run has done, as a file. docs/json.md explains the fields.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use skopeo_image::go_json;

use super::outcome::{Entry, Unlisted};
use super::summary::Totals;
use crate::args::recorded::Recorded;
use crate::{files, go};

/// The version of the document: grows if a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The longest report that is read, in bytes: half a million images.
const LONGEST: usize = 1 << 29;

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
    pub(super) arguments: Vec<String>,
    pub(super) options: Recorded,
    pub(super) totals: Totals,
    pub(super) images: Vec<Entry>,
    pub(super) unlisted: Vec<Unlisted>,
    /// Why it ended as it did: what `--error-format json` says.
    pub(super) error: Option<Json>,
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
        let json: Json = serde_json::from_slice(&bytes)
            .with_context(|| format!("{file} is no report of sync"))?;
        match (json["command"].as_str(), json["version"].as_u64()) {
            (Some("sync"), Some(version)) if version == u64::from(VERSION) => {}
            (Some("sync"), Some(version)) => {
                bail!("{file} is a report of version {version}, and only {VERSION} is known")
            }
            _ => bail!("{file} is no report of sync"),
        }
        serde_json::from_value(json).with_context(|| format!("{file} is no report of sync"))
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
