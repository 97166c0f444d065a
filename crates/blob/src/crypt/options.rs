//! What has to be known to decrypt a layer, and how it is written down (ocicrypt's "private
//! options", which are wrapped for the recipients, and "public options", which stand beside them).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use skopeo_image::Digest;
use zeroize::{Zeroize as _, Zeroizing};

use super::CryptError;

/// The only cipher there is.
pub(super) const CIPHER: &str = "AES_256_CTR_HMAC_SHA256";

pub(super) const KEY_LENGTH: usize = 32;
pub(super) const NONCE_LENGTH: usize = 16;
const HMAC_LENGTH: usize = 32;

/// The key of one layer, with what else its cipher needs.
#[derive(Clone)]
pub struct LayerKey {
    pub(super) key: Zeroizing<[u8; KEY_LENGTH]>,
    pub(super) nonce: [u8; NONCE_LENGTH],
    /// Of the encrypted bytes.
    pub(super) hmac: [u8; HMAC_LENGTH],
}

impl std::fmt::Debug for LayerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LayerKey(****)")
    }
}

#[derive(Deserialize, Serialize)]
struct Private {
    symkey: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    cipheroptions: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Serialize)]
struct Public {
    #[serde(default)]
    cipher: String,
    #[serde(default)]
    hmac: Option<String>,
    #[serde(default)]
    cipheroptions: Option<BTreeMap<String, String>>,
}

impl LayerKey {
    /// What only recipients may know. `digest` is that of the layer at the source.
    pub(super) fn private(&self, digest: &Digest) -> Zeroizing<Vec<u8>> {
        let nonce = BASE64.encode(self.nonce);
        let mut options = Private {
            symkey: BASE64.encode(*self.key),
            digest: digest.to_string(),
            cipheroptions: Some([("nonce".to_owned(), nonce)].into()),
        };
        let json = serde_json::to_vec(&options).expect("texts");
        options.symkey.zeroize();
        Zeroizing::new(json)
    }

    /// What everybody may know.
    pub(super) fn public(&self) -> Vec<u8> {
        let options = Public {
            cipher: CIPHER.to_owned(),
            hmac: Some(BASE64.encode(self.hmac)),
            cipheroptions: Some(BTreeMap::new()),
        };
        serde_json::to_vec(&options).expect("texts")
    }

    /// The key that these options tell of. The digest in the private ones is not looked at: anyone
    /// may encrypt for a public key, so it proves nothing.
    pub(super) fn parse(private: &[u8], public: &[u8]) -> Result<Self, CryptError> {
        let wrong = |what: &str| CryptError::Options(what.to_owned());
        // The text of the error could quote the key.
        let json = |_| wrong("not valid JSON for this header");
        let public: Public = skopeo_image::go_json::from_slice(public).map_err(json)?;
        match public.cipher.as_str() {
            CIPHER => {}
            "" => return Err(wrong("no cipher type provided")),
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(CryptError::Options(format!("unsupported cipher type: {shown:?}")));
            }
        }
        let mut private: Private = skopeo_image::go_json::from_slice(private).map_err(json)?;
        let symkey = BASE64.decode(&private.symkey).map(Zeroizing::new);
        private.symkey.zeroize();
        let symkey = symkey.map_err(|_| wrong("the key is not base64"))?;
        let key: [u8; KEY_LENGTH] = symkey.as_slice().try_into().map_err(|_| {
            CryptError::Options(format!(
                "invalid key length of {} bytes; need {KEY_LENGTH} bytes",
                symkey.len()
            ))
        })?;
        let nonce = [public.cipheroptions, private.cipheroptions]
            .into_iter()
            .flatten()
            .find_map(|options| options.get("nonce").cloned())
            .ok_or_else(|| wrong("no nonce"))?;
        let nonce = BASE64.decode(nonce).map_err(|_| wrong("the nonce is not base64"))?;
        let nonce = nonce.try_into().map_err(|_| wrong("the nonce does not have 16 bytes"))?;
        let hmac = public.hmac.filter(|hmac| !hmac.is_empty());
        let hmac = hmac.ok_or_else(|| wrong("HMAC is not provided for decryption process"))?;
        let hmac = BASE64.decode(hmac).map_err(|_| wrong("the HMAC is not base64"))?;
        let hmac = hmac.try_into().map_err(|_| wrong("the HMAC does not have 32 bytes"))?;
        Ok(Self { key: Zeroizing::new(key), nonce, hmac })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> LayerKey {
        LayerKey { key: Zeroizing::new([1; 32]), nonce: [2; 16], hmac: [3; 32] }
    }

    #[test]
    fn written_as_the_original_writes_them() {
        let digest = Digest::sha256(b"");
        assert_eq!(
            String::from_utf8_lossy(&key().private(&digest)),
            format!(
                r#"{{"symkey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","digest":"{digest}","cipheroptions":{{"nonce":"AgICAgICAgICAgICAgICAg=="}}}}"#
            )
        );
        assert_eq!(
            String::from_utf8_lossy(&key().public()),
            r#"{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=","cipheroptions":{}}"#
        );
        let read = LayerKey::parse(&key().private(&digest), &key().public()).unwrap();
        assert_eq!((*read.key, read.nonce, read.hmac), ([1; 32], [2; 16], [3; 32]));
        assert_eq!(format!("{read:?}"), "LayerKey(****)");
    }

    #[test]
    fn refuses_what_is_not_complete() {
        let private = String::from_utf8(key().private(&Digest::sha256(b"")).to_vec()).unwrap();
        let public = String::from_utf8(key().public()).unwrap();
        for (private, public, expected) in [
            (private.replace("AQEB", ""), public.clone(), "bytes; need 32 bytes"),
            (private.replace("AQEB", "-"), public.clone(), "not base64"),
            (private.replace("nonce", "n"), public.clone(), "no nonce"),
            (private.replace("AgIC", ""), public.clone(), "the nonce does not have 16 bytes"),
            (private.clone(), public.replace("HMAC", ""), "unsupported cipher type"),
            (private.clone(), public.replace("AwMD", ""), "the HMAC does not have 32 bytes"),
            (private.clone(), "{}".to_owned(), "no cipher type provided"),
            (private.clone(), public.replace("\"hmac\"", "\"h\""), "HMAC is not provided"),
            (String::new(), public.clone(), "not valid JSON"),
            ("[]".to_owned(), public.clone(), "not valid JSON"),
        ] {
            let error = LayerKey::parse(private.as_bytes(), public.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}: {expected}");
        }
    }
}
