//! Lists of manifests of either kind: choosing from them, changing them.

mod edit;

use crate::manifest::{docker, oci};
use crate::{
    Artifact, Compression, Descriptor, Digest, ManifestError, MediaType, Platform, RawManifest,
    go_json,
};

pub use edit::{InstanceAddition, InstanceEdit};

/// The annotation of instances whose layers need zstd; its value is `true`.
const ZSTD: &str = "io.github.containers.compression.zstd";

/// Annotations by which BuildKit ties what attests an image to it, in the same list.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";

/// A list of manifests.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageIndex {
    /// An OCI image index.
    Oci(oci::Index),
    /// A Docker manifest list.
    Docker(docker::List),
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The manifest.
    pub descriptor: Descriptor,
    /// What it was built for; an index need not say.
    pub platform: Option<Platform>,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
}

impl Instance {
    /// Returns whether it is marked as needing zstd.
    #[must_use]
    pub fn is_zstd(&self) -> bool {
        is_zstd(&self.descriptor)
    }

    /// Returns the instance of the same list that this one attests (BuildKit's attestation
    /// manifests).
    #[must_use]
    pub fn attested(&self) -> Option<Digest> {
        let annotations = &self.descriptor.annotations;
        if annotations.get(REFERENCE_TYPE).is_none_or(|kind| kind != ATTESTATION) {
            return None;
        }
        annotations.get(REFERENCE_DIGEST)?.parse().ok()
    }

    /// Returns whether it is a blob by its media type, and no manifest: BuildKit keeps build caches
    /// so.
    #[must_use]
    pub fn is_blob(&self) -> bool {
        self.descriptor.media_type.is_blob()
    }

    /// Returns whether it is made for some platform. BuildKit's attestations say that theirs is
    /// unknown.
    #[must_use]
    pub fn has_platform(&self) -> bool {
        self.platform.as_ref().is_some_and(|platform| {
            ![&platform.os, &platform.architecture]
                .iter()
                .any(|it| it.is_empty() || *it == "unknown")
        })
    }
}

/// Which of two instances for the same platform is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The one that needs zstd: it is smaller or faster.
    #[default]
    Zstd,
    /// The one that does not: everybody can read it.
    Gzip,
}

impl ImageIndex {
    /// Returns all entries, in order.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        match self {
            Self::Oci(index) => index
                .manifests
                .iter()
                .map(|entry| Instance {
                    descriptor: entry.blob.clone(),
                    platform: entry.platform.clone(),
                    artifact_type: Some(entry.artifact_type.clone()).filter(|t| !t.is_empty()),
                })
                .collect(),
            Self::Docker(list) => list
                .manifests
                .iter()
                .map(|entry| Instance {
                    descriptor: entry.manifest.clone(),
                    platform: Some(entry.platform.clone()),
                    artifact_type: None,
                })
                .collect(),
        }
    }

    /// Returns what the list says of itself: as of an artifact, since it has no layers.
    #[must_use]
    pub fn artifact(&self) -> Artifact {
        match self {
            Self::Oci(index) => Artifact {
                artifact_type: index.artifact_type.clone(),
                config_type: MediaType::default(),
                annotations: index.annotations.clone(),
                subject: index.subject.as_ref().map(|subject| subject.blob.clone()),
            },
            Self::Docker(_) => Artifact {
                artifact_type: String::new(),
                config_type: MediaType::default(),
                annotations: Default::default(),
                subject: None,
            },
        }
    }

    /// Returns the instance that serves best. `wanted` are platforms, best first, at least one.
    ///
    /// # Errors
    /// If none serves; the sentence names the first platform.
    pub fn choose(&self, wanted: &[Platform]) -> Result<Digest, ManifestError> {
        self.choose_preferring(wanted, Preference::Zstd)
    }

    /// As [`Self::choose`]. Among instances of an index for the same platform `preference`
    /// decides, then the order. Instances of an index that name no platform serve last.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn choose_preferring(
        &self,
        wanted: &[Platform],
        preference: Preference,
    ) -> Result<Digest, ManifestError> {
        let instances = self.instances();
        if !instances.is_empty() && instances.iter().all(Instance::is_blob) {
            return Err(self.without_images());
        }
        let rank = |instance: &Instance| {
            if instance.is_blob() {
                return None;
            }
            let platform = match &instance.platform {
                Some(platform) => wanted.iter().position(|wanted| platform.matches(wanted))?,
                None => usize::MAX,
            };
            let zstd = matches!(self, Self::Oci(_)) && instance.is_zstd();
            Some((platform, zstd != (preference == Preference::Zstd)))
        };
        let best = instances
            .into_iter()
            .filter_map(|instance| Some((rank(&instance)?, instance)))
            .min_by_key(|(rank, _)| *rank);
        if let Some((_, instance)) = best {
            return Ok(instance.descriptor.digest);
        }
        let list = self.words();
        let first = wanted.first().cloned().unwrap_or_default();
        Err(ManifestError::NoInstance {
            list,
            architecture: first.architecture,
            variant: first.variant,
            os: first.os,
        })
    }

    /// Returns the platform of the instance that was chosen, where it is for another system than
    /// the first that was wanted.
    #[must_use]
    pub fn other_system(&self, chosen: &Digest, wanted: &[Platform]) -> Option<Platform> {
        let instances = self.instances();
        let instance = instances.iter().find(|it| it.descriptor.digest == *chosen)?;
        let platform = instance.platform.clone()?;
        (platform.os != wanted.first()?.os).then_some(platform)
    }

    /// Returns the error for who wants an image of a list that has blobs only.
    #[must_use]
    pub fn without_images(&self) -> ManifestError {
        let mut types: Vec<String> = Vec::new();
        for instance in self.instances() {
            let media_type = instance.descriptor.media_type.to_string();
            if !types.contains(&media_type) {
                types.push(media_type);
            }
        }
        ManifestError::NoImages { list: self.words(), types }
    }

    /// The kind of list, in words.
    fn words(&self) -> &'static str {
        match self {
            Self::Oci(_) => "image index",
            Self::Docker(_) => "manifest list",
        }
    }

    /// Returns what the list is.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Oci(_) => MediaType::OCI_INDEX,
            Self::Docker(_) => MediaType::DOCKER_LIST,
        }
    }

    /// Returns the bytes as the original writes a list it changed. They differ from those a list
    /// was parsed from even if nothing was changed: compare with `encode` before the change to
    /// know.
    #[must_use]
    pub fn encode(&self) -> RawManifest {
        let bytes = match self {
            Self::Oci(index) => go_json::to_vec(index),
            Self::Docker(list) => go_json::to_vec(list),
        };
        let bytes = bytes.expect("all maps in a list have strings as keys").into();
        RawManifest { media_type: self.media_type(), bytes }
    }
}

fn needs_zstd(compression: Compression) -> bool {
    matches!(compression, Compression::Zstd | Compression::ZstdChunked)
}

fn is_zstd(blob: &Descriptor) -> bool {
    blob.annotations.get(ZSTD).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::oci::OciDescriptor;
    use crate::wanted_platforms;

    fn digest(digit: char) -> Digest {
        format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
    }

    fn entry(digit: char, platform: Option<(&str, &str)>, zstd: bool) -> OciDescriptor {
        let mut blob = Descriptor {
            media_type: MediaType::OCI_MANIFEST,
            digest: digest(digit),
            size: Some(1),
            urls: Vec::new(),
            annotations: Default::default(),
        };
        if zstd {
            blob.annotations.insert(ZSTD.to_owned(), "true".to_owned());
        }
        let platform = platform.map(|(arch, variant)| Platform::new("linux", arch, variant));
        OciDescriptor { platform, ..blob.into() }
    }

    fn index(entries: Vec<OciDescriptor>) -> ImageIndex {
        ImageIndex::Oci(oci::Index::new(entries))
    }

    fn docker(list: &ImageIndex) -> ImageIndex {
        list.convert(&MediaType::DOCKER_LIST, &Platform::new("linux", "host", "")).unwrap()
    }

    #[test]
    fn chooses_as_the_original() {
        let amd64 = Some(("amd64", ""));
        let many = index(vec![
            entry('1', None, false),
            entry('2', amd64, false),
            entry('3', amd64, true),
            entry('4', amd64, true),
            entry('5', Some(("arm", "v6")), false),
            entry('6', Some(("arm", "v7")), false),
            entry('7', Some(("arm64", "v8")), false),
            entry('8', Some(("arm64", "")), false),
        ]);
        let host = Platform::new("linux", "host", "");
        let wanted = |arch, variant| wanted_platforms(None, Some(arch), variant, &host);
        for (arch, variant, zstd, gzip, in_docker) in [
            ("amd64", None, '3', '2', Some('2')), // zstd first, then order
            ("arm", Some("v7"), '6', '6', Some('6')),
            ("arm", Some("v6"), '5', '5', Some('5')),
            ("arm", None, '6', '6', Some('6')),
            ("arm64", Some("v8"), '7', '7', Some('7')),
            ("arm64", None, '8', '8', Some('8')),
            ("arm", Some("v5"), '1', '1', None), // without platform: better than none
            ("mips", None, '1', '1', None),
        ] {
            let wanted = wanted(arch, variant);
            assert_eq!(many.choose(&wanted).unwrap(), digest(zstd), "{arch} {variant:?}");
            let got = many.choose_preferring(&wanted, Preference::Gzip).unwrap();
            assert_eq!(got, digest(gzip), "{arch} {variant:?}");
            let got = docker(&many).choose(&wanted).ok();
            assert_eq!(got, in_docker.map(digest), "{arch} {variant:?}");
        }
        let none = index(vec![entry('2', amd64, false)]);
        let wanted = wanted("arm", Some("v7"));
        assert_eq!(
            none.choose(&wanted).unwrap_err().to_string(),
            "no image found in image index for architecture \"arm\", variant \"v7\", OS \"linux\""
        );
        assert_eq!(
            docker(&none).choose(&wanted).unwrap_err().to_string(),
            "no image found in manifest list for architecture \"arm\", variant \"v7\", OS \"linux\""
        );
    }

    #[test]
    fn edits_entries() {
        let amd64 = Some(("amd64", ""));
        let twice = index(vec![entry('1', amd64, false), entry('1', amd64, false)]);
        let edit = |old, new, compressions| InstanceEdit {
            old: digest(old),
            digest: digest(new),
            size: 7,
            media_type: MediaType::DOCKER_MANIFEST,
            compressions,
        };
        for mut list in [twice.clone(), docker(&twice)] {
            let edits = [
                edit('1', '2', vec![Compression::Gzip]),
                edit('1', '3', vec![Compression::Gzip, Compression::ZstdChunked]),
            ];
            list.replace(&edits).unwrap();
            let got = list.instances();
            assert_eq!(got[0].descriptor.digest, digest('2'));
            assert_eq!(got[1].descriptor.digest, digest('3'));
            assert_eq!(got[1].descriptor.size, Some(7));
            assert_eq!(got[1].descriptor.media_type, MediaType::DOCKER_MANIFEST);
            let zstd: Vec<bool> = got.iter().map(Instance::is_zstd).collect();
            assert_eq!(zstd, [false, matches!(list, ImageIndex::Oci(_))]);
            assert_eq!(
                list.replace(&[edit('9', '1', vec![])]).unwrap_err().to_string(),
                format!("digest {} not found", digest('9'))
            );
            list.retain(&BTreeSet::from([1]));
            let digests = list.instances().into_iter().map(|instance| instance.descriptor.digest);
            assert_eq!(digests.collect::<Vec<_>>(), [digest('3')]);
        }
    }

    #[test]
    fn zstd_goes_behind_what_everybody_reads() {
        let mut attestation = entry('3', Some(("unknown", "")), false);
        let annotations = &mut attestation.blob.annotations;
        annotations.insert(REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned());
        annotations.insert(REFERENCE_DIGEST.to_owned(), digest('1').to_string());
        let mut list = index(vec![
            entry('2', Some(("arm64", "")), true),
            entry('1', Some(("amd64", "")), false),
            attestation,
        ]);
        let kinds: Vec<_> = list.instances().iter().map(Instance::has_platform).collect();
        assert_eq!(kinds, [true, true, false]);
        let addition = |like, new, compression| InstanceAddition {
            like: digest(like),
            digest: digest(new),
            size: 7,
            media_type: MediaType::OCI_MANIFEST,
            compressions: vec![compression],
        };
        let additions =
            [addition('1', '4', Compression::ZstdChunked), addition('2', '5', Compression::Gzip)];
        list.add(&additions).unwrap();
        let seen: Vec<_> = list
            .instances()
            .iter()
            .map(|it| (it.descriptor.digest.hex()[..1].to_owned(), it.is_zstd()))
            .collect();
        let expected = [("1", false), ("3", false), ("5", false), ("2", true), ("4", true)];
        assert_eq!(seen, expected.map(|(digit, zstd)| (digit.to_owned(), zstd)));
        assert_eq!(list.instances()[2].platform.as_ref().unwrap().architecture, "arm64");
        assert!(list.add(&[addition('9', '4', Compression::Gzip)]).is_err());

        let edit = InstanceEdit {
            old: digest('1'),
            digest: digest('6'),
            size: 7,
            media_type: MediaType::OCI_MANIFEST,
            compressions: Vec::new(),
        };
        assert_eq!(list.instances()[1].attested(), Some(digest('1')));
        list.replace(&[edit]).unwrap();
        assert_eq!(list.instances()[1].attested(), Some(digest('6')));
        assert_eq!(list.instances()[0].attested(), None);
    }
}
