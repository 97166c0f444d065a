//! What a registry must know of a manifest: its type, what it names, its subject.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use skopeo_image::{Digest, MediaType, go_json};

/// About what a digest takes beside its text, and an entry beside what it holds, in bytes.
pub(super) const OVERHEAD: usize = 64;

/// The longest media type that a manifest may name, in bytes: 127 for each half (RFC 6838), and
/// some for parameters.
const MAX_MEDIA_TYPE: usize = 1024;

/// A manifest of any kind, as far as a registry looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedManifest {
    /// What the document says it is, or what its members show.
    pub(crate) media_type: MediaType,
    /// The blobs that must be there before the manifest is.
    pub(crate) blobs: Vec<Digest>,
    /// The instances of a list, with their declared types.
    pub(crate) children: Vec<(Digest, MediaType)>,
    /// The manifest that this one refers to.
    pub(crate) subject: Option<Digest>,
    /// What an artifact is: `artifactType`, or its config's media type.
    pub(crate) artifact_type: Option<String>,
    /// Whether there are annotations. They may be as large as the manifest, so they stay there.
    pub(crate) has_annotations: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestDocument {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<Vec<FsLayer>>,
    signatures: Option<Vec<serde::de::IgnoredAny>>,
    subject: Option<Descriptor>,
    annotations: Option<Texts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    urls: Option<Urls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Digest,
}

impl ParsedManifest {
    /// Reads a manifest; `Err` is what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: ManifestDocument = go_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let declared = document.media_type.clone().filter(|text| !text.is_empty());
        let parsed = match (document.schema_version, &declared) {
            (1, None) => document.schema1()?,
            (1, Some(text)) if MediaType::from(text.as_str()).is_schema1() => document.schema1()?,
            (2, _) if document.manifests.is_some() && document.layers.is_none() => document.list(),
            (2, _) if document.config.is_some() && document.manifests.is_none() => document.image(),
            (2, _) => return Err("neither the members of an image nor of an index".into()),
            (version, _) => return Err(format!("schemaVersion {version} is not supported")),
        };
        let declared_size = declared.as_ref().map_or(0, String::len);
        if parsed.longest_type().max(declared_size) > MAX_MEDIA_TYPE {
            return Err(format!("a media type has more than {MAX_MEDIA_TYPE} bytes"));
        }
        let Some(declared) = declared.map(MediaType::from) else { return Ok(parsed) };
        let seen = &parsed.media_type;
        if is_manifest_type(&declared)
            && (declared.is_index(), declared.is_schema1()) != (seen.is_index(), seen.is_schema1())
        {
            return Err(format!("mediaType {declared} does not fit the members"));
        }
        Ok(Self { media_type: declared, ..parsed })
    }

    fn longest_type(&self) -> usize {
        let children = self.children.iter().map(|(_, media_type)| media_type.as_str().len());
        let artifact_type = self.artifact_type.as_ref().map(String::len);
        children.chain(artifact_type).max().unwrap_or_default()
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let types = self.children.iter().map(|(_, media_type)| media_type);
        let types = types.chain([&self.media_type]).map(|it| it.as_str().len());
        let digests = self.children.iter().map(|(digest, _)| digest);
        let digests = digests.chain(&self.blobs).chain(&self.subject).map(|it| it.as_str().len());
        let texts = types.chain(digests).chain(self.artifact_type.as_ref().map(String::len));
        texts.fold(size_of::<Self>(), |sum, text| text.saturating_add(OVERHEAD).saturating_add(sum))
    }
}

/// The annotations of a manifest; none if it is not understood.
pub(crate) fn annotations(bytes: &[u8]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Annotated {
        annotations: Option<BTreeMap<String, String>>,
    }
    let document: Option<Annotated> = go_json::from_slice(bytes).ok();
    document.and_then(|document| document.annotations).unwrap_or_default()
}

/// Places of a blob, of which only their number is kept: a few bytes of text may be many of them.
struct Urls(usize);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlsVisitor;
        impl<'de> Visitor<'de> for UrlsVisitor {
            type Value = Urls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut count = 0_usize;
                while list.next_element::<String>()?.is_some() {
                    count = count.saturating_add(1);
                }
                Ok(Urls(count))
            }
        }
        deserializer.deserialize_seq(UrlsVisitor)
    }
}

/// Texts by key, of which only their number is kept.
struct Texts(usize);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut count = 0_usize;
                while map.next_entry::<String, String>()?.is_some() {
                    count = count.saturating_add(1);
                }
                Ok(Texts(count))
            }
        }
        deserializer.deserialize_map(TextsVisitor)
    }
}

/// Whether this is the type of a manifest that we know.
pub(crate) fn is_manifest_type(media_type: &MediaType) -> bool {
    media_type.is_index()
        || media_type.is_schema1()
        || [MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST].contains(media_type)
}

impl ManifestDocument {
    fn image(self) -> ParsedManifest {
        let config = self.config;
        let docker = config.as_ref().is_some_and(|config| {
            MediaType::from(config.media_type.as_str()) == MediaType::DOCKER_CONFIG
        });
        let artifact_type = self.artifact_type.filter(|text| !text.is_empty());
        let config_type = config.as_ref().map(|config| config.media_type.clone());
        let layers = self.layers.unwrap_or_default();
        let needed = layers.into_iter().filter(|layer| !is_foreign(layer));
        ParsedManifest {
            media_type: if docker { MediaType::DOCKER_MANIFEST } else { MediaType::OCI_MANIFEST },
            blobs: config.into_iter().chain(needed).map(|blob| blob.digest).collect(),
            children: Vec::new(),
            subject: self.subject.map(|subject| subject.digest),
            artifact_type: artifact_type.or(config_type),
            has_annotations: self.annotations.is_some_and(|Texts(count)| count > 0),
        }
    }

    fn list(self) -> ParsedManifest {
        let entries = self.manifests.unwrap_or_default().into_iter();
        // BuildKit keeps build caches in indexes of blobs.
        let (blobs, children): (Vec<_>, Vec<_>) =
            entries.partition(|it| MediaType::from(it.media_type.as_str()).is_blob());
        let docker = children.iter().any(|child| {
            child.media_type.starts_with("application/vnd.docker.distribution.manifest")
        });
        ParsedManifest {
            media_type: if docker { MediaType::DOCKER_LIST } else { MediaType::OCI_INDEX },
            blobs: blobs.into_iter().map(|blob| blob.digest).collect(),
            children: children.into_iter().map(|c| (c.digest, c.media_type.into())).collect(),
            subject: self.subject.map(|subject| subject.digest),
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()),
            has_annotations: self.annotations.is_some_and(|Texts(count)| count > 0),
        }
    }

    fn schema1(self) -> Result<ParsedManifest, String> {
        let layers = self.fs_layers.ok_or("fsLayers are missing")?;
        let signed = self.signatures.is_some_and(|signatures| !signatures.is_empty());
        Ok(ParsedManifest {
            media_type: if signed {
                MediaType::DOCKER_SCHEMA1_SIGNED
            } else {
                MediaType::DOCKER_SCHEMA1
            },
            blobs: layers.into_iter().map(|layer| layer.blob_sum).collect(),
            children: Vec::new(),
            subject: None,
            artifact_type: None,
            has_annotations: false,
        })
    }
}

/// Whether a layer's bytes lie elsewhere, so that this registry need not have them.
fn is_foreign(layer: &Descriptor) -> bool {
    let foreign_type =
        layer.media_type.contains(".foreign.") || layer.media_type.contains(".nondistributable.");
    foreign_type && layer.urls.as_ref().is_some_and(|Urls(count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Digest::sha256(text.as_bytes()));
        for (document, expected) in [
            (
                format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{a}"}},"layers":[{{"digest":"{b}"}}]}}"#),
                Ok((MediaType::OCI_MANIFEST, vec![a.clone(), b.clone()], vec![])),
            ),
            (
                format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{a}"}},"layers":[
                    {{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{b}","urls":["http://x"]}}]}}"#),
                Ok((MediaType::DOCKER_MANIFEST, vec![a.clone()], vec![])), // the foreign layer may be missing
            ),
            (
                format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{c}"}}]}}"#),
                Ok((MediaType::OCI_INDEX, vec![], vec![(c, "m".into())])),
            ),
            (
                format!(r#"{{"SchemaVersion":2,"Manifests":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","Digest":"{a}"}}]}}"#),
                Ok((MediaType::OCI_INDEX, vec![a.clone()], vec![])), // a build cache
            ),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}"#.into(),
                Ok((MediaType::DOCKER_LIST, vec![], vec![])),
            ),
            (
                format!(r#"{{"schemaVersion":1,"name":"n","fsLayers":[{{"blobSum":"{a}"}}],"signatures":[{{}}]}}"#),
                Ok((MediaType::DOCKER_SCHEMA1_SIGNED, vec![a.clone()], vec![])),
            ),
            ("{}".into(), Err(())),
            ("[]".into(), Err(())),
            (r#"{"schemaVersion":2}"#.into(), Err(())),
            (r#"{"schemaVersion":3,"config":{}}"#.into(), Err(())),
            (r#"{"schemaVersion":2,"config":{"digest":"sha256:../../x"}}"#.into(), Err(())),
            (
                format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[{{"digest":"{a}"}}]}}"#),
                Err(()), // a list that says it is an image
            ),
            (
                format!(r#"{{"schemaVersion":2,"config":{{"digest":"{a}"}},"layers":[],"manifests":[{{"digest":"{a}"}}]}}"#),
                Err(()), // both at once
            ),
            (format!("{}{}", "[".repeat(5000), "]".repeat(5000)), Err(())),
        ] {
            let parsed = ParsedManifest::parse(document.as_bytes());
            let seen = parsed.map(|f| (f.media_type, f.blobs, f.children)).map_err(|_| ());
            assert_eq!(seen, expected, "{document}");
        }
    }
}
