//! What hangs on an image, on its instances, and on what hangs there.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use skopeo_image::{Digest, Manifest, RawManifest, go_json};
use skopeo_transport::{Referrer, ReferrerSearch, Source};

use crate::exit::print;

/// What hangs on what hangs on what hangs on an image.
const DEEPEST: usize = 8;

/// More than anything has.
const MOST: usize = 10_000;

/// How many are asked for at once.
const AT_ONCE: usize = 6;

/// A line of the list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    digest: String,
    /// The manifest that it hangs on.
    subject: String,
    /// What that manifest is for, if it is an instance of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(rename = "MIMEType")]
    mime_type: String,
    artifact_type: String,
    /// `null` if nobody says.
    size: Option<u64>,
    annotations: Option<BTreeMap<String, String>>,
    /// How it was found.
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// A manifest that something may hang on.
struct Subject {
    digest: Digest,
    platform: Option<String>,
}

/// Prints the list.
pub(super) async fn print_all(source: &dyn Source, top: &RawManifest) -> Result<()> {
    let mut subjects = subjects(top)?;
    let mut seen: HashSet<Digest> = subjects.iter().map(|it| it.digest.clone()).collect();
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..DEEPEST {
        if subjects.is_empty() {
            break;
        }
        let asked: Vec<_> = subjects.iter().map(|subject| ask(source, subject)).collect();
        let answers: Vec<Vec<Referrer>> =
            stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut next = Vec::new();
        for (subject, found) in subjects.iter().zip(answers) {
            for referrer in found {
                if seen.insert(referrer.blob.digest.clone()) {
                    let digest = referrer.blob.digest.clone();
                    next.push(Subject { digest, platform: subject.platform.clone() });
                }
                entries.push(entry(subject, referrer));
            }
            if entries.len() > MOST {
                bail!("the image has more than {MOST} referrers");
            }
        }
        subjects = next;
    }
    let mut text = go_json::to_vec_indent(&entries, "", "    ")?;
    text.push(b'\n');
    Ok(print(text)?)
}

/// The image, and the instances of a list, lists in it as they are.
fn subjects(top: &RawManifest) -> Result<Vec<Subject>> {
    let mut subjects = vec![Subject { digest: top.digest()?, platform: None }];
    if let Manifest::Index(list) = top.parse().context("Error parsing manifest for image")? {
        subjects.extend(list.instances().into_iter().map(|instance| Subject {
            digest: instance.descriptor.digest,
            platform: instance.platform.map(|platform| {
                let parts = [platform.os, platform.architecture, platform.variant];
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
            }),
        }));
    }
    Ok(subjects)
}

async fn ask(source: &dyn Source, subject: &Subject) -> Result<Vec<Referrer>> {
    let found = source.referrers(&subject.digest, ReferrerSearch::All).await;
    let found = found.map_err(|error| {
        Error::from(error).context(format!("Error determining referrers of {}", subject.digest))
    })?;
    let transport = source.name().transport();
    found.ok_or_else(|| anyhow!("{transport}: images cannot have referrers"))
}

fn entry(subject: &Subject, referrer: Referrer) -> Entry {
    let Referrer { blob, artifact_type, found } = referrer;
    Entry {
        digest: blob.digest.to_string(),
        subject: subject.digest.to_string(),
        platform: subject.platform.clone(),
        mime_type: blob.media_type.to_string(),
        artifact_type,
        size: blob.size,
        annotations: Some(blob.annotations).filter(|annotations| !annotations.is_empty()),
        found: found.to_string(),
        tag: found.tag(&subject.digest),
    }
}
