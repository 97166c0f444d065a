//! The cipher of layers: AES-256 in counter mode, and HMAC-SHA256 over the encrypted bytes with
//! the same key (ocicrypt's `AES_256_CTR_HMAC_SHA256`).

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, StreamingDecryptingKey, StreamingEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::options::{KEY_LENGTH, NONCE_LENGTH};
use super::{CryptError, LayerKey};
use crate::pipe::{self, Stopped};
use crate::{Blob, StreamError};

/// The length of a block of AES, in bytes.
const BLOCK: usize = 16;

/// Decrypts a blob as it passes. The new blob has no digest before its end; it fails before its
/// last piece is given out if the old one does, or if its bytes were not encrypted with this key.
#[must_use]
pub fn decrypt(blob: Blob, key: LayerKey) -> Blob {
    let most = blob.max_unpacked;
    let (feed, mut puller) = pipe::pull(blob);
    let plain = pipe::produce(Some(feed), move |output| {
        let mut cipher = decrypting(&key).map_err(broken)?;
        let mut mac = mac(&key.key[..]);
        // What is decrypted is not given out before more has come, or all was judged.
        let mut last: Option<Bytes> = None;
        while let Some(pieces) = puller.next()? {
            for piece in pieces {
                mac.update(&piece);
                let mut plain = vec![0; piece.len().saturating_add(BLOCK)];
                let length = cipher.update(&piece, &mut plain).map_err(broken)?.written().len();
                plain.truncate(length);
                if let Some(ready) = last.replace(plain.into()) {
                    output.put(ready)?;
                }
            }
        }
        verify_slices_are_equal(mac.sign().as_ref(), &key.hmac)
            .map_err(|_| Stopped::Failed(StreamError::Hmac))?;
        last.map_or(Ok(()), |last| output.put(last))
    });
    Blob::unnamed(plain).unpacked_within(most)
}

/// Where the key of an encrypted layer will be.
#[derive(Debug)]
pub struct Sealed(oneshot::Receiver<LayerKey>);

impl Sealed {
    /// Waits for it. The blob must be read to its end meanwhile, or have been.
    ///
    /// # Errors
    /// If it was not read to its end.
    pub async fn key(self) -> Result<LayerKey, CryptError> {
        self.0.await.map_err(|_| CryptError::Unfinished)
    }
}

/// Encrypts a blob as it passes, with a key of its own.
///
/// # Errors
/// If there are no random numbers.
pub fn encrypt(blob: Blob) -> Result<(Blob, Sealed), CryptError> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    rand::fill(key.as_mut())?;
    let mut nonce = [0; NONCE_LENGTH];
    rand::fill(&mut nonce)?;
    let (to, sealed) = oneshot::channel();
    let (feed, mut puller) = pipe::pull(blob);
    let blob = Blob::unnamed(pipe::produce(Some(feed), move |output| {
        let mut cipher = encrypting(&key[..], nonce).map_err(broken)?;
        let mut mac = mac(&key[..]);
        while let Some(pieces) = puller.next()? {
            for piece in pieces {
                let mut sealed = vec![0; piece.len().saturating_add(BLOCK)];
                let length = cipher.update(&piece, &mut sealed).map_err(broken)?.written().len();
                sealed.truncate(length);
                mac.update(&sealed);
                output.put(sealed.into())?;
            }
        }
        let mut hmac = [0; 32];
        hmac.copy_from_slice(mac.sign().as_ref());
        // Nobody may be there to take it, which is no loss.
        let _ = to.send(LayerKey { key, nonce, hmac });
        Ok(())
    }));
    Ok((blob, Sealed(sealed)))
}

fn mac(key: &[u8]) -> hmac::Context {
    hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key))
}

fn decrypting(key: &LayerKey) -> Result<StreamingDecryptingKey, Unspecified> {
    let context = DecryptionContext::Iv128(FixedLength::from(key.nonce));
    StreamingDecryptingKey::ctr(UnboundCipherKey::new(&AES_256, &*key.key)?, context)
}

fn encrypting(key: &[u8], nonce: [u8; 16]) -> Result<StreamingEncryptingKey, Unspecified> {
    let context = EncryptionContext::Iv128(FixedLength::from(nonce));
    StreamingEncryptingKey::less_safe_ctr(UnboundCipherKey::new(&AES_256, key)?, context)
}

fn broken(_: Unspecified) -> Stopped {
    Stopped::Failed(StreamError::broken_thread("the cipher failed"))
}
