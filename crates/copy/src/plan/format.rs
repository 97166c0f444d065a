//! Which manifest types, in which order.

use skopeo_image::{Compression, MediaType};

use super::{FormatError, Frozen, IndexError, PlanError};

/// Preferred where the source's own type will not do. Schema 2 does not change with the name it is
/// stored under; schema 1 must be signed for old registries to take it.
const PREFERRED: [MediaType; 2] = [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_SCHEMA1_SIGNED];

const IMAGES: [MediaType; 4] = [
    MediaType::OCI_MANIFEST,
    MediaType::DOCKER_MANIFEST,
    MediaType::DOCKER_SCHEMA1_SIGNED,
    MediaType::DOCKER_SCHEMA1,
];

const LISTS: [MediaType; 2] = [MediaType::DOCKER_LIST, MediaType::OCI_INDEX];

/// What a manifest must have words for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Must {
    /// Layers so compressed.
    pub(super) compression: Option<Compression>,
    /// Encrypted layers.
    pub(super) encryption: bool,
}

/// The types to try for an image's manifest, best first; at least one. If nothing may change that
/// is the source's type alone, whether or not the destination is known to take it.
pub(super) fn image_types(
    source: &MediaType,
    accepted: &[MediaType],
    forced: Option<MediaType>,
    must: Must,
    frozen: Option<Frozen>,
) -> Result<Vec<MediaType>, PlanError> {
    let Must { compression, encryption } = must;
    let candidates: Vec<MediaType> = match &forced {
        Some(forced) => vec![forced.clone()],
        None if accepted.is_empty() => IMAGES.to_vec(),
        None => accepted.to_vec(),
    };
    let usable: Vec<&MediaType> = candidates
        .iter()
        .filter(|to| !to.is_index())
        .filter(|to| !encryption || **to == MediaType::OCI_MANIFEST)
        .filter(|to| compression.is_none_or(|compression| to.allows(compression)))
        .collect();
    if usable.is_empty() && encryption {
        // What every format has words for is not worth a word.
        let compression = compression.filter(|it| !MediaType::DOCKER_MANIFEST.allows(*it));
        match forced {
            Some(format) => {
                return Err(PlanError::Format(FormatError::EncryptionNotInFormat {
                    compression,
                    format,
                }));
            }
            None if accepted.is_empty() => {}
            None => {
                let accepted = candidates;
                return Err(PlanError::Format(FormatError::EncryptionNotAccepted {
                    compression,
                    accepted,
                }));
            }
        }
        let compression = compression.unwrap_or(Compression::Gzip);
        return Err(PlanError::Format(FormatError::CompressionNowhere { compression }));
    }
    if usable.is_empty() {
        let compression = compression.unwrap_or(Compression::Gzip);
        return Err(match forced {
            Some(format) => {
                PlanError::Format(FormatError::CompressionNotInFormat { compression, format })
            }
            None if accepted.is_empty() => {
                PlanError::Format(FormatError::CompressionNowhere { compression })
            }
            None => PlanError::Format(FormatError::CompressionNotAccepted {
                compression,
                accepted: candidates,
            }),
        });
    }
    if frozen.is_some() {
        return Ok(vec![source.clone()]);
    }
    let first = std::iter::once(source).chain(&PREFERRED).filter(|to| usable.contains(to));
    let mut ordered: Vec<MediaType> = Vec::new();
    for to in first.chain(usable.iter().copied()) {
        if !ordered.contains(to) {
            ordered.push(to.clone());
        }
    }
    Ok(ordered)
}

/// The types to try for an index, best first; at least one. `compression` is that of an instance
/// which is to be marked so.
pub(super) fn index_types(
    source: &MediaType,
    accepted: &[MediaType],
    forced: Option<MediaType>,
    compression: Option<Compression>,
    frozen: Option<Frozen>,
) -> Result<Vec<MediaType>, PlanError> {
    let mut candidates: Vec<MediaType> = match &forced {
        Some(forced) => vec![forced.clone()],
        None if accepted.is_empty() => LISTS.to_vec(),
        None => accepted.to_vec(),
    };
    if let Some(compression) = compression.filter(|it| *it != Compression::Gzip) {
        candidates.retain(|to| *to == MediaType::OCI_INDEX);
        if candidates.is_empty() {
            return Err(match forced {
                Some(format) => {
                    PlanError::Format(FormatError::CompressionNotInFormat { compression, format })
                }
                None => PlanError::Format(FormatError::CompressionNotAccepted {
                    compression,
                    accepted: accepted.to_vec(),
                }),
            });
        }
    }
    let first = std::iter::once(source).filter(|to| candidates.contains(to));
    let mut ordered: Vec<MediaType> = Vec::new();
    for to in first.chain(candidates.iter().filter(|to| to.is_index())) {
        if !ordered.contains(to) {
            ordered.push(to.clone());
        }
    }
    let Some(best) = ordered.first() else { return Err(PlanError::Index(IndexError::NoType)) };
    match frozen {
        Some(frozen) if best != source => {
            Err(PlanError::Index(IndexError::MustChange { to: best.clone(), frozen }))
        }
        // Whatever else it takes, it will not be another.
        Some(_) => Ok(vec![source.clone()]),
        None => Ok(ordered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCI: MediaType = MediaType::OCI_MANIFEST;
    const S2: MediaType = MediaType::DOCKER_MANIFEST;
    const S1: MediaType = MediaType::DOCKER_SCHEMA1_SIGNED;
    const S1U: MediaType = MediaType::DOCKER_SCHEMA1;
    const INDEX: MediaType = MediaType::OCI_INDEX;
    const LIST: MediaType = MediaType::DOCKER_LIST;

    #[test]
    fn orders_the_types_of_images() {
        use Compression::{Bzip2, Gzip, Zstd};
        let registry = [OCI, S2, S1, S1U];
        for (source, accepted, forced, compression, frozen, expected) in [
            (OCI, &registry[..], None, None, None, &[OCI, S2, S1, S1U][..]),
            (S2, &registry, None, None, None, &[S2, S1, OCI, S1U]),
            (S1, &registry, None, None, None, &[S1, S2, OCI, S1U]),
            (S1U, &registry, None, None, None, &[S1U, S2, S1, OCI]),
            (OCI, &[], None, None, None, &[OCI, S2, S1, S1U]), // dir: takes anything
            (S2, &[OCI, INDEX], None, None, None, &[OCI]),     // an index is no image
            (OCI, &[S1, S2], None, None, None, &[S2, S1]),
            (OCI, &registry, Some(S2), None, None, &[S2]),
            (OCI, &registry, Some(S1), None, None, &[S1]),
            (S2, &registry, None, Some(Zstd), None, &[OCI]),
            (S2, &registry, None, Some(Gzip), None, &[S2, S1, OCI, S1U]),
            (S2, &[OCI], None, None, Some(Frozen::PreserveDigests), &[S2]), // taking our chances
            (S2, &registry, Some(OCI), None, Some(Frozen::Signed), &[S2]),
        ] {
            let must = Must { compression, encryption: false };
            let types = image_types(&source, accepted, forced, must, frozen).unwrap();
            assert_eq!(types, expected, "{source} to {accepted:?}");
        }
        for (accepted, forced, compression, sentence) in [
            (
                &registry[..],
                Some(S2),
                Zstd,
                "compression using zstd required together with format \
                 application/vnd.docker.distribution.manifest.v2+json, which does not support it",
            ),
            (
                &[],
                None,
                Bzip2,
                "compression using bzip2 required, but none of the known manifest formats \
                 support it",
            ),
            (
                &[S2, S1],
                None,
                Zstd,
                "compression using zstd required but the destination only supports MIME types \
                 [application/vnd.docker.distribution.manifest.v2+json, \
                 application/vnd.docker.distribution.manifest.v1+prettyjws], none of which \
                 support it",
            ),
        ] {
            let must = Must { compression: Some(compression), encryption: false };
            let error = image_types(&OCI, accepted, forced, must, None).unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn only_oci_has_words_for_encryption() {
        use Compression::{Gzip, Zstd};
        let must = |compression| Must { compression, encryption: true };
        for source in [OCI, S2, S1] {
            for accepted in [&[OCI, S2, S1][..], &[]] {
                let types = image_types(&source, accepted, None, must(None), None).unwrap();
                assert_eq!(types, [OCI]);
            }
        }
        let s2 = "application/vnd.docker.distribution.manifest.v2+json";
        for (accepted, forced, compression, sentence) in [
            (
                &[][..],
                Some(S2),
                Some(Gzip),
                format!(
                    "encryption required together with format {s2}, which does not support encryption"
                ),
            ),
            (
                &[],
                Some(S2),
                Some(Zstd),
                format!(
                    "compression using zstd, and encryption, required together with format {s2}, which does not support both"
                ),
            ),
            (
                &[S2],
                None,
                None,
                format!(
                    "encryption required but the destination only supports MIME types [{s2}], none of which support encryption"
                ),
            ),
            (
                &[S2],
                None,
                Some(Zstd),
                format!(
                    "compression using zstd, and encryption, required but the destination only supports MIME types [{s2}], none of which support both"
                ),
            ),
        ] {
            let error = image_types(&OCI, accepted, forced, must(compression), None).unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn orders_the_types_of_lists() {
        let registry = [OCI, S2, S1, INDEX, LIST];
        for (source, accepted, forced, expected) in [
            (INDEX, &registry[..], None, &[INDEX, LIST][..]),
            (LIST, &registry, None, &[LIST, INDEX]),
            (INDEX, &[], None, &[INDEX, LIST]),
            (LIST, &[OCI, INDEX], None, &[INDEX]),
            (LIST, &registry, Some(INDEX), &[INDEX]),
        ] {
            assert_eq!(index_types(&source, accepted, forced, None, None).unwrap(), expected);
        }
        let error = index_types(&INDEX, &[OCI], None, None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "destination does not support any supported manifest list types \
             ([application/vnd.docker.distribution.manifest.list.v2+json \
             application/vnd.oci.image.index.v1+json])"
        );
        let frozen = Some(Frozen::PreserveDigests);
        assert_eq!(index_types(&INDEX, &registry, None, None, frozen).unwrap(), [INDEX]);
        let error = index_types(&LIST, &[OCI, INDEX], None, None, frozen).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Manifest list must be converted to type \"application/vnd.oci.image.index.v1+json\" \
             to be written to destination, but we cannot modify it: Instructed to preserve digests"
        );
    }
}
