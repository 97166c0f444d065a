//! The record of a run: what a program reads of it, and what goes on from it. docs/json.md explains
//! the fields.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use skopeo_image::go_json;

use super::entry::{Entry, Unlisted};
use super::totals::Totals;
use crate::{Context as _, Error, Result};

/// The version of the record: grows if a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The longest part of it that can be of any form, in bytes.
const LONGEST_PART: usize = 1 << 20;

/// What a run was asked for, in the words of who asked: nothing here reads it.
pub type Recorded = BTreeMap<String, Json>;

/// The record of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record.
    pub version: u32,
    /// What it is a record of: `sync`.
    pub command: String,
    /// Whether all went well.
    pub ok: bool,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// When the run began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many requests were sent.
    pub requests: u64,
    /// SOURCE and DESTINATION, in the words of who asked.
    #[serde(deserialize_with = "limited")]
    pub arguments: Vec<String>,
    /// What else was asked for, in the words of who asked.
    #[serde(deserialize_with = "limited")]
    pub options: Recorded,
    /// Sums over the images.
    pub totals: Totals,
    /// What has come of each image.
    pub images: Vec<Entry>,
    /// The sources of which it is not known what there is.
    pub unlisted: Vec<Unlisted>,
    /// Why it ended as it did, in the words of who asked.
    #[serde(default, deserialize_with = "limited")]
    pub error: Option<Json>,
}

/// The beginning of every record: what it is.
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

impl Default for Record {
    fn default() -> Self {
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
}

impl Record {
    /// Returns whether an image failed, or a source could not be listed.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.totals.failed > 0 || !self.unlisted.is_empty()
    }

    /// Returns why not all is well, in a sentence; `None` if all is well.
    #[must_use]
    pub fn shortfall(&self) -> Option<String> {
        if self.ok {
            return None;
        }
        Some(match self.totals.missing() {
            0 => "not all that was asked for could be done".to_owned(),
            missing => {
                let images = self.totals.images;
                format!("{missing} of {images} images are not where they should be")
            }
        })
    }

    /// The longest record that is worth reading, in bytes: half a million images.
    pub const LONGEST: usize = 1 << 29;

    /// Reads a record; errors call it `file`.
    ///
    /// # Errors
    /// If it is not a report.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        let none = || format!("{file} is no report of sync");
        // Never as a tree of values: that takes many times the memory.
        let text = std::str::from_utf8(bytes).with_context(none)?;
        let head: Head = serde_json::from_str(text).with_context(none)?;
        match (head.command.as_str(), head.version) {
            ("sync", version) if version == u64::from(VERSION) => {}
            ("sync", version) if version > 0 => {
                return Err(Error::refused(format!(
                    "{file} is a report of version {version}, and only {VERSION} is known"
                )));
            }
            _ => return Err(Error::refused(none())),
        }
        serde_json::from_str(text).with_context(none)
    }

    /// Returns it as it is written to a file.
    ///
    /// # Errors
    /// If it cannot be JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut json = go_json::to_vec_indent(self, "", "    ")?;
        json.push(b'\n');
        Ok(json)
    }
}
