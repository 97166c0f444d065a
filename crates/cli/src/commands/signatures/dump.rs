//! `untrusted-signature-dump-without-verification SIGNATURE`.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use skopeo_image::go_json;
use skopeo_trust::Payload;
use skopeo_trust::openpgp::{self, MAX_SIGNATURE};

use crate::exit::{print, sentence};
use crate::go;

/// What a signature says, under names that say what that is worth.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dump {
    untrusted_docker_manifest_digest: String,
    untrusted_docker_reference: String,
    #[serde(rename = "UntrustedCreatorID")]
    untrusted_creator_id: Option<String>,
    untrusted_timestamp: Option<String>,
    untrusted_short_key_identifier: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [file] = arguments else {
        bail!("Usage: skopeo untrusted-signature-dump-without-verification signature")
    };
    let bytes = go::read_at_most(Path::new(file), MAX_SIGNATURE)
        .with_context(|| format!("Error reading untrusted signature from {file}"))?;
    let dump = dump(&bytes)
        .map_err(|error| anyhow!("Error decoding untrusted signature: {}", sentence(&error)))?;
    let mut json = go_json::to_vec_indent(&dump, "", "    ")?;
    json.push(b'\n');
    Ok(print(json)?)
}

fn dump(bytes: &[u8]) -> Result<Dump> {
    let message = openpgp::read_unverified(bytes)?;
    let payload = Payload::parse_simple(&message.payload)?;
    Ok(Dump {
        untrusted_docker_manifest_digest: payload.digest.to_string(),
        untrusted_docker_reference: payload.docker_reference,
        untrusted_creator_id: payload.creator,
        untrusted_timestamp: payload.timestamp.map(rfc3339).transpose()?,
        untrusted_short_key_identifier: message.key_id,
    })
}

/// A time as Go prints it: in the local time zone.
///
/// # Errors
/// If it is beyond all calendars.
pub(crate) fn rfc3339(seconds: i64) -> Result<String> {
    let zoned = jiff::Timestamp::from_second(seconds)?.to_zoned(jiff::tz::TimeZone::system());
    let printed = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    Ok(match printed.strip_suffix("+00:00") {
        Some(utc) => format!("{utc}Z"),
        None => printed,
    })
}
