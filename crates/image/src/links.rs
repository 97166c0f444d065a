//! What a manifest of any kind names, whatever its kind.

use std::collections::BTreeMap;

use crate::descriptor::length_of;
use crate::manifest::oci::OciDescriptor;
use crate::{Descriptor, ImageIndex, ImageManifest, Manifest, ManifestError, RawManifest};

/// What a manifest names, for who carries it without asking what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// The config and the layers.
    pub blobs: Vec<Descriptor>,
    /// The manifests of a list.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about: it hangs on that.
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is, or else what its config is; empty for a list that says nothing.
    pub artifact_type: String,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
}

impl Links {
    /// Reads them.
    ///
    /// # Errors
    /// If the manifest is none of a known kind.
    pub fn parse(manifest: &RawManifest) -> Result<Self, ManifestError> {
        let config = |config: Option<&Descriptor>| {
            config.map(|config| config.media_type.to_string()).unwrap_or_default()
        };
        Ok(match manifest.parse()? {
            Manifest::Image(image) => {
                let layers = image.layers().into_iter().map(|layer| layer.blob);
                let artifact_type = match &image {
                    ImageManifest::Oci(oci) if !oci.artifact_type.is_empty() => {
                        oci.artifact_type.clone()
                    }
                    image => config(image.config()),
                };
                Self {
                    blobs: image.config().cloned().into_iter().chain(layers).collect(),
                    manifests: Vec::new(),
                    subject: image.subject().cloned(),
                    artifact_type,
                    annotations: image.annotations().cloned().unwrap_or_default(),
                }
            }
            Manifest::Index(list) => {
                let manifests = list.instances().into_iter().map(|it| it.descriptor).collect();
                let (subject, artifact_type, annotations) = match list {
                    ImageIndex::Oci(index) => {
                        let subject = index.subject.map(|subject| subject.blob);
                        (subject, index.artifact_type, index.annotations)
                    }
                    ImageIndex::Docker(_) => Default::default(),
                };
                Self { blobs: Vec::new(), manifests, subject, artifact_type, annotations }
            }
        })
    }

    /// Returns the descriptor by which lists of referrers name the manifest that these are the
    /// links of (OCI distribution specification 1.1, "Listing Referrers").
    ///
    /// # Errors
    /// If the manifest has no digest.
    pub fn describe(&self, manifest: &RawManifest) -> Result<OciDescriptor, ManifestError> {
        let size = Some(length_of(&manifest.bytes));
        let mut blob = Descriptor::new(manifest.media_type.clone(), manifest.digest()?, size);
        blob.annotations.clone_from(&self.annotations);
        Ok(OciDescriptor { artifact_type: self.artifact_type.clone(), ..blob.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, MediaType};

    #[test]
    fn reads_every_kind() {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let of = |text: &str| format!(r#"{{"mediaType":"a/{text}","digest":"{}"}}"#, digest(text));
        let oci = "application/vnd.oci.image";
        for (media_type, members, blobs, manifests, artifact_type) in [
            (
                format!("{oci}.manifest.v1+json"),
                format!(
                    r#""artifactType":"x/y","config":{},"layers":[{}],"subject":{}"#,
                    of("c"),
                    of("l"),
                    of("s")
                ),
                vec!["c", "l"],
                vec![],
                "x/y",
            ),
            (
                format!("{oci}.manifest.v1+json"),
                format!(r#""config":{},"layers":[],"subject":{}"#, of("c"), of("s")),
                vec!["c"],
                vec![],
                "a/c",
            ),
            (
                format!("{oci}.index.v1+json"),
                format!(r#""artifactType":"x/y","manifests":[{}],"subject":{}"#, of("m"), of("s")),
                vec![],
                vec!["m"],
                "x/y",
            ),
        ] {
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}",{members}}}"#);
            let raw = RawManifest::new(Some(MediaType::from(media_type.as_str())), text.into());
            let links = Links::parse(&raw).unwrap();
            let names = |all: &[Descriptor]| -> Vec<Digest> {
                all.iter().map(|blob| blob.digest.clone()).collect()
            };
            let digests = |all: &[&str]| all.iter().map(|text| digest(text)).collect::<Vec<_>>();
            assert_eq!(names(&links.blobs), digests(&blobs));
            assert_eq!(names(&links.manifests), digests(&manifests));
            assert_eq!(links.subject.as_ref().unwrap().digest, digest("s"));
            assert_eq!(links.artifact_type, artifact_type);
            let described = links.describe(&raw).unwrap();
            assert_eq!(described.blob.size, Some(raw.bytes.len() as u64));
        }
        assert!(Links::parse(&RawManifest::new(None, "{}".into())).is_err());
    }
}
