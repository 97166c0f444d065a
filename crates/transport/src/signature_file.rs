//! Signatures as files hold them, in folders and in lookaside storage.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skopeo_image::number::wide;
use skopeo_image::{Signature, go_json};

use crate::Error;
use crate::signature_error::{MalformedSignature, SignaturesError};

const SIMPLE: &[u8] = b"simple-signing";
const SIGSTORE: &[u8] = b"sigstore-json";

/// The most that the signatures of one manifest may have together, in bytes.
const MAX_SIZE: u64 = 32 << 20;

/// What a signature counts at least, in bytes: so that there are not too many of them, either.
const MIN_SIZE: u64 = 16 << 10;

/// The signatures of one manifest while they are read: not more than somebody can mean.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    all: Vec<Signature>,
    size: u64,
}

impl Gathered {
    /// One more, of so many bytes.
    ///
    /// # Errors
    /// If they are too many, or too large together.
    pub(crate) fn add(&mut self, signature: Signature, size: usize) -> Result<(), Error> {
        self.size = self.size.saturating_add(MIN_SIZE.max(wide(size)));
        if self.size > MAX_SIZE {
            return Err(SignaturesError::TooLarge(self.len().saturating_add(1)).into());
        }
        self.all.push(signature);
        Ok(())
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub(crate) fn all(self) -> Vec<Signature> {
        self.all
    }
}

#[derive(Serialize, Deserialize)]
struct Sigstore {
    #[serde(rename = "mimeType", default)]
    mime_type: String,
    #[serde(default)]
    payload: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The bytes of a file that holds `signature`: an OpenPGP message as it is; anything newer as a
/// zero byte, the name of its kind, a newline and its data.
pub(crate) fn encode(signature: &Signature) -> Result<Vec<u8>, MalformedSignature> {
    match signature {
        Signature::Simple(blob) => Ok(blob.to_vec()),
        Signature::Sigstore { mime_type, payload, annotations } => {
            let json = go_json::to_vec(&Sigstore {
                mime_type: mime_type.clone(),
                payload: Some(STANDARD.encode(payload)),
                annotations: Some(annotations.clone()),
            })?;
            Ok([b"\0", SIGSTORE, b"\n", &json].concat())
        }
    }
}

/// The signature that a file holds.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Signature, MalformedSignature> {
    match bytes.first() {
        None => Err(MalformedSignature::Empty),
        // OpenPGP packets (RFC 4880, 4.2): compressed data, one-pass signature, signature; old and
        // new packet format.
        Some(0xA0..=0xA3 | 0xC8 | 0x90..=0x92 | 0x3D | 0xC4 | 0x88..=0x8B | 0xC2) => {
            Ok(Signature::Simple(bytes.into()))
        }
        Some(0) => {
            let newline = bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .ok_or(MalformedSignature::NoNewline)?;
            let (format, data) = bytes.split_at_checked(newline).unwrap_or_default();
            let format = format.get(1..).unwrap_or_default();
            let data = data.get(1..).unwrap_or_default();
            if let Some(byte) = format.iter().find(|byte| !(32..0x7F).contains(*byte)) {
                return Err(MalformedSignature::NonAscii(*byte));
            }
            match format {
                SIMPLE => Ok(Signature::Simple(Bytes::copy_from_slice(data))),
                SIGSTORE => {
                    let sigstore: Sigstore = go_json::from_slice(data)?;
                    Ok(Signature::Sigstore {
                        mime_type: sigstore.mime_type,
                        payload: STANDARD.decode(sigstore.payload.unwrap_or_default())?.into(),
                        annotations: sigstore.annotations.unwrap_or_default(),
                    })
                }
                _ => Err(MalformedSignature::UnknownFormat(
                    String::from_utf8_lossy(format).into_owned(),
                )),
            }
        }
        Some(byte) => Err(MalformedSignature::UnknownStart(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let annotations =
            BTreeMap::from([("dev.cosignproject.cosign/signature".into(), "<&>".into())]);
        for signature in [
            Signature::Simple(Bytes::from_static(&[0xA3, 1, 2, 3])),
            Signature::Sigstore {
                mime_type: "application/vnd.dev.cosign.simplesigning.v1+json".into(),
                payload: Bytes::from_static(b"payload"),
                annotations,
            },
        ] {
            assert_eq!(decode(encode(&signature).unwrap()).unwrap(), signature);
        }
        let simple = Signature::Simple(Bytes::from_static(b"x"));
        assert_eq!(decode(b"\0simple-signing\nx".to_vec()).unwrap(), simple);
    }

    #[test]
    fn writes_the_bytes_that_others_read() {
        let signature = Signature::Sigstore {
            mime_type: "t".into(),
            payload: Bytes::from_static(b"p"),
            annotations: BTreeMap::from([("k".into(), "<".into())]),
        };
        assert_eq!(
            String::from_utf8(encode(&signature).unwrap()).unwrap(),
            "\0sigstore-json\n{\"mimeType\":\"t\",\"payload\":\"cA==\",\
             \"annotations\":{\"k\":\"\\u003c\"}}"
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for (bytes, sentence) in [
            (&b""[..], "empty signature blob"),
            (b"hello", "unrecognized signature format, starting with binary 0x68"),
            (b"\0abc", "invalid signature format, missing newline"),
            (b"\0a\xffc\n", "invalid signature format, non-ASCII byte 0xff"),
            (b"\0other\nx", "unrecognized signature format \"other\""),
            (b"\0sigstore-json\n{", "parsing sigstore signature"),
        ] {
            assert_eq!(decode(bytes.to_vec()).unwrap_err().to_string(), sentence);
        }
    }
}
