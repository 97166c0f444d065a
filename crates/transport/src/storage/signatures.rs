//! Signatures as a store keeps them: all in one run of bytes, and their lengths in what the writer
//! noted of the image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skopeo_image::{Digest, Signature, Which};
use skopeo_storage::{Image, Store};

use super::StorageError;
use crate::signature_file;

/// What the writer of an image notes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Metadata {
    /// The lengths of the signatures of the manifest itself, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_sizes: Option<Vec<usize>>,
    /// Those of the signatures of the manifest of a digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures_sizes: Option<BTreeMap<String, Option<Vec<usize>>>>,
}

/// Under which key the signatures of the manifest itself are.
const KEY: &str = "signatures";

/// Under which key the signatures of the manifest of that digest are.
fn key_of(digest: &Digest) -> String {
    format!("signature-{}", digest.hex())
}

impl Metadata {
    /// Reads what was noted; nothing if it is empty.
    pub(super) fn parse(text: &str) -> Result<Self, StorageError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).map_err(StorageError::Metadata)
    }

    fn sizes(&self, which: &Which) -> &[usize] {
        let sizes = match which {
            Which::Top => self.signature_sizes.as_ref(),
            Which::Instance(digest) => self
                .signatures_sizes
                .as_ref()
                .and_then(|sizes| sizes.get(digest.as_str()))
                .and_then(Option::as_ref),
        };
        sizes.map_or(&[], Vec::as_slice)
    }

    /// The signatures of a manifest of an image. Waits for the disk.
    pub(super) fn signatures(
        &self,
        store: &Store,
        image: &Image,
        which: &Which,
    ) -> Result<Vec<Signature>, StorageError> {
        let sizes = self.sizes(which);
        if sizes.is_empty() {
            return Ok(Vec::new());
        }
        let id = || image.id.clone();
        let (key, which) = match which {
            Which::Top => (KEY.to_owned(), "default instance".to_owned()),
            Which::Instance(digest) => (key_of(digest), digest.hex().to_owned()),
        };
        let bytes = store.image_data(&image.id, &key).map_err(|source| {
            StorageError::Signatures { id: id(), which: which.clone(), source: source.into() }
        })?;
        let mut signatures = Vec::new();
        let mut at: usize = 0;
        for &length in sizes {
            let end = at.saturating_add(length);
            let Some(signature) = bytes.get(at..end) else {
                let (expected, found) = (end, bytes.len());
                return Err(StorageError::ShortSignatures { id: id(), which, expected, found });
            };
            let signature = signature_file::decode(signature.to_vec());
            signatures.push(signature.map_err(|source| StorageError::Signature {
                at,
                length,
                source,
            })?);
            at = end;
        }
        match bytes.len().saturating_sub(at) {
            0 => Ok(signatures),
            extra => Err(StorageError::LongSignatures { which, extra }),
        }
    }

    /// Notes the signatures of an image, and gives what has to be kept, by key.
    pub(super) fn take(
        &mut self,
        signatures: &[Signature],
        which: &Which,
        manifest: Option<&Digest>,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        let encoded = signatures.iter().map(signature_file::encode);
        let encoded = encoded.collect::<Result<Vec<_>, _>>();
        let encoded = encoded.map_err(StorageError::EncodeSignature)?;
        let sizes: Vec<usize> = encoded.iter().map(Vec::len).collect();
        let bytes = encoded.concat();
        let mut kept = Vec::new();
        let digest = match which {
            Which::Top => {
                if !bytes.is_empty() {
                    kept.push((KEY.to_owned(), bytes.clone()));
                }
                self.signature_sizes = Some(sizes.clone()).filter(|sizes| !sizes.is_empty());
                manifest
            }
            Which::Instance(digest) => Some(digest),
        };
        if let Some(digest) = digest {
            kept.push((key_of(digest), bytes));
            let all = self.signatures_sizes.get_or_insert_default();
            all.insert(digest.to_string(), Some(sizes));
        }
        Ok(kept)
    }

    /// As JSON.
    pub(super) fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_what_the_original_notes() {
        let digest = Digest::sha256(b"manifest");
        let mut metadata = Metadata::default();
        assert_eq!(metadata.encode().unwrap(), "{}");
        let one = Signature::Simple(vec![0xA3, 1, 2].into());
        let two = Signature::Sigstore {
            mime_type: "t".to_owned(),
            payload: b"p".to_vec().into(),
            annotations: BTreeMap::new(),
        };
        let kept = metadata.take(&[one, two], &Which::Top, Some(&digest)).unwrap();
        let keys: Vec<&str> = kept.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["signatures", &format!("signature-{}", digest.hex())]);
        assert_eq!(kept[0].1, kept[1].1);
        let second = kept[0].1.len() - 3;
        assert_eq!(
            metadata.encode().unwrap(),
            format!(
                "{{\"signature-sizes\":[3,{second}],\"signatures-sizes\":{{\"{digest}\":[3,{second}]}}}}"
            )
        );
    }

    #[test]
    fn reads_what_others_noted() {
        let digest = Digest::sha256(b"manifest");
        for (text, top, instance) in [
            ("", &[][..], &[][..]),
            ("{}", &[], &[]),
            (&format!("{{\"signatures-sizes\":{{\"{digest}\":[]}}}}"), &[], &[]),
            (&format!("{{\"signatures-sizes\":{{\"{digest}\":null}}}}"), &[], &[]),
            ("{\"signature-sizes\":null,\"more\":1}", &[], &[]),
            ("{\"signature-sizes\":[1,2]}", &[1, 2], &[]),
            (&format!("{{\"signatures-sizes\":{{\"{digest}\":[7]}}}}"), &[], &[7]),
        ] {
            let metadata = Metadata::parse(text).unwrap();
            assert_eq!(metadata.sizes(&Which::Top), top, "{text}");
            assert_eq!(metadata.sizes(&Which::Instance(digest.clone())), instance, "{text}");
        }
        assert!(Metadata::parse("{\"signature-sizes\":[-1]}").is_err());
    }
}
