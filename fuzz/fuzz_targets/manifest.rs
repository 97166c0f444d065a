//! Whatever a registry sends as a manifest is read or refused, and nothing else happens.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skopeo_image::{Digest, RawManifest, manifest::Manifest};

fuzz_target!(|data: &[u8]| {
    let raw = RawManifest::new(None, Bytes::copy_from_slice(data));
    if let Ok(digest) = raw.digest() {
        assert_eq!(raw.has_digest(&digest).ok(), Some(true));
    }
    let _ = raw.has_digest(&Digest::sha256(b""));
    match raw.parse() {
        Ok(Manifest::Image(image)) => {
            let _ = (image.config(), image.layers(), image.is_artifact(), image.media_type());
        }
        Ok(Manifest::List(list)) => {
            let _ = (list.instances(), list.choose(&[]));
            let again = list.encode();
            assert!(again.parse().is_ok());
        }
        Err(_) => {}
    }
});
