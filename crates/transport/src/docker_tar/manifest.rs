//! `manifest.json` of a docker archive: which images it holds, and where in it.
//!
//! Docker's own description is the image specification 1.2 in moby's `image/spec`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skopeo_image::go_json::{self, Budget};
use skopeo_image::{Digest, Reference};

use super::name::Item;
use super::{SavedImageError, SavedManifestError};

/// The name of the file.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The longest that is read, in bytes: ten thousand images, of which the original reads a thousand.
pub(crate) const MAX_MANIFEST: u64 = 16 << 20;
/// The most values in it: ten thousand images with fifty layers each.
const MOST: usize = 1 << 19;
/// The longest config that is read, in bytes; the original's limit.
pub(crate) const MAX_CONFIG: u64 = 4 << 20;

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SavedItem {
    /// Where its config is.
    #[serde(default)]
    pub(crate) config: String,
    /// Its tags, often in their short form.
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    /// Where its layers are, root first.
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
    /// The image it was built on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// Layers that are elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer_sources: Option<BTreeMap<String, serde_json::Value>>,
}

/// Reads a `manifest.json`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<SavedItem>, SavedManifestError> {
    let items: Option<Vec<SavedItem>> =
        Budget::new(bytes.len(), MOST).read(bytes).map_err(SavedManifestError::Manifest)?;
    Ok(items.unwrap_or_default())
}

/// The place of the image that is meant.
pub(crate) fn choose(items: &[SavedItem], which: &Item) -> Result<usize, SavedManifestError> {
    match which {
        Item::Only if items.len() == 1 => Ok(0),
        Item::Only => Err(SavedManifestError::NotOne(items.len())),
        Item::Index(index) if *index < items.len() => Ok(*index),
        Item::Index(index) => {
            Err(SavedManifestError::NoSuchIndex { index: *index, available: items.len() })
        }
        Item::Tag(wanted) => {
            // As we write them: of thousands of tags none has to be parsed then.
            let text = wanted.to_string();
            if let Some(at) = items.iter().position(|item| item.tags().contains(&text)) {
                return Ok(at);
            }
            for (at, item) in items.iter().enumerate() {
                for tag in item.tags() {
                    let parsed = Reference::parse_normalized(tag).map_err(|source| {
                        SavedManifestError::Tag { tag: tag.clone(), at, source }
                    })?;
                    if parsed == *wanted {
                        return Ok(at);
                    }
                }
            }
            Err(SavedManifestError::NoSuchTag(text))
        }
    }
}

/// All tags, as they are written, in the order of the images; `@N` for an image without.
pub(crate) fn tags(items: &[SavedItem]) -> Result<Vec<String>, SavedManifestError> {
    let mut tags = Vec::new();
    for (at, item) in items.iter().enumerate() {
        for tag in item.tags() {
            let parsed = Reference::parse_normalized(tag)
                .map_err(|source| SavedManifestError::ListedTag { tag: tag.clone(), at, source })?;
            if parsed.tag.is_none() {
                return Err(SavedManifestError::Tagless {
                    tag: tag.clone(),
                    parsed: parsed.to_string(),
                });
            }
        }
        tags.extend_from_slice(item.tags());
        if item.tags().is_empty() {
            tags.push(format!("@{at}"));
        }
    }
    Ok(tags)
}

impl SavedItem {
    /// The tags, none if there are none.
    pub(crate) fn tags(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    /// The paths of the layers.
    pub(crate) fn layers(&self) -> &[String] {
        self.layers.as_deref().unwrap_or_default()
    }
}

/// What is in the layers of an image, root first, as its config says.
pub(crate) fn diff_ids(config: &[u8], path: &str) -> Result<Vec<Digest>, SavedImageError> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: Option<RootFs>,
    }
    #[derive(Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Option<Vec<String>>,
    }
    let config: Config = go_json::from_slice(config)
        .map_err(|source| SavedImageError::Config { path: path.to_owned(), source })?;
    let root = config.rootfs.ok_or_else(|| SavedImageError::NoRootFs(path.to_owned()))?;
    let parse = |text: String| {
        text.parse().map_err(|source| SavedImageError::DiffId { path: path.to_owned(), source })
    };
    root.diff_ids.unwrap_or_default().into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<SavedItem> {
        parse(
            br#"[{"Config":"a.json","RepoTags":["busybox:1","quay.io/x/y:2"],"Layers":["l"]},
                 {"config":"b.json","repotags":null,"layers":null,"Parent":"sha256:a"},
                 {"Config":"c.json","RepoTags":["library/busybox"]}]"#,
        )
        .unwrap()
    }

    fn choose_by(name: &str) -> Result<usize, String> {
        let name = super::super::DockerArchiveName::parse(name).unwrap();
        choose(&items(), name.which()).map_err(|error| error.to_string())
    }

    #[test]
    fn finds_images_by_tag_and_place() {
        assert_eq!(choose_by("x:busybox:1"), Ok(0));
        assert_eq!(choose_by("x:docker.io/library/busybox:1"), Ok(0));
        assert_eq!(choose_by("x:quay.io/x/y:2"), Ok(0));
        assert_eq!(choose_by("x:@1"), Ok(1));
        for (name, sentence) in [
            ("x", "Unexpected tar manifest.json: expected 1 item, got 3"),
            ("x:@3", "Invalid source index @3, only 3 manifest items available"),
            ("x:busybox", "Tag \"docker.io/library/busybox:latest\" not found"),
        ] {
            assert_eq!(choose_by(name), Err(sentence.to_owned()));
        }
        assert_eq!(choose(&items()[..1], &Item::Only).unwrap(), 0);
    }

    #[test]
    fn lists_tags_as_they_are_written() {
        assert_eq!(tags(&items()[..2]).unwrap(), ["busybox:1", "quay.io/x/y:2", "@1"]);
        assert_eq!(
            tags(&items()).unwrap_err().to_string(),
            "Invalid tag \"library/busybox\" (docker.io/library/busybox): does not contain a tag"
        );
    }

    /// Whatever stands there, it is taken or refused.
    #[test]
    fn survives_any_change_of_a_byte() {
        let whole = br#"[{"Config":"a.json","RepoTags":["busybox:1"],"Layers":["l"],
            "Parent":"x","LayerSources":{"sha256:a":{"size":1}}}]"#;
        let name = super::super::DockerArchiveName::parse("x:busybox:1").unwrap();
        for at in 0..whole.len() {
            for byte in [b'"', b'[', b']', b'{', b'}', b',', b':', b'0', b'-', b'\\', b'n', 0, 0xff]
            {
                let mut bytes = whole.to_vec();
                bytes[at] = byte;
                let Ok(items) = parse(&bytes) else { continue };
                let _ = (choose(&items, name.which()), tags(&items));
                assert_eq!(parse(&go_json::to_vec(&items).unwrap()).unwrap(), items);
            }
            let _ = (parse(&whole[..at]), diff_ids(&whole[..at], "c"));
        }
    }

    #[test]
    fn reads_diff_ids_of_configs() {
        let digest = Digest::sha256(b"");
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        assert_eq!(diff_ids(config.as_bytes(), "c").unwrap(), [digest]);
        assert_eq!(diff_ids(br#"{"rootfs":{}}"#, "c").unwrap(), []);
        for (config, sentence) in [
            (r#"{"rootfs":null}"#, "Invalid image config (rootFS is not set): \"c\""),
            (r#"{"rootfs":{"diff_ids":["../x"]}}"#, "decoding tar config \"c\""),
            ("[]", "decoding tar config \"c\""),
            ("", "decoding tar config \"c\""),
        ] {
            assert_eq!(diff_ids(config.as_bytes(), "c").unwrap_err().to_string(), sentence);
        }
    }
}
