//! A file that may be a key of any kind (DER, PEM, JWK, a certificate, a keyring) is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skopeo_blob::crypt::{Keys, Recipients};
use skopeo_image::Secret;

fuzz_target!(|data: &[u8]| {
    let mut recipients = Recipients::default();
    let _ = recipients.add_jwe(data);
    let _ = recipients.add_pkcs7(data);
    let _ = recipients.add_pgp(data, &["alice@example.com".to_owned()]);
    for password in [None, Some(Secret::from("secret"))] {
        let _ = Keys::default().add(data, password.as_ref());
    }
});
