//! Keys, certificates, and what is wrapped with them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skopeo_blob::crypt::{Keys, Recipients};
use skopeo_image::Secret;
use skopeo_registry::{Client, ClientOptions, ClientPair, TlsOptions};
use skopeo_server::Tls;

use super::image::runtime;

/// Those of the seeds; made for this, and for nothing else.
static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| {
    let mut keys = Keys::default();
    for file in [
        &include_bytes!("opened/rsa.pem")[..],
        include_bytes!("opened/rsa.crt"),
        include_bytes!("opened/p256.pem"),
        include_bytes!("opened/p521.pem"),
    ] {
        assert!(keys.add(file, None).expect("a good key"));
    }
    Arc::new(keys)
});

/// A layer's key in a JWE envelope is opened or refused.
pub(super) fn jwe(data: &[u8]) {
    open("jwe", data);
}

/// A layer's key in a PKCS#7 envelope is opened or refused.
pub(super) fn pkcs7(data: &[u8]) {
    open("pkcs7", data);
}

/// The annotations of an encrypted layer, by somebody who knows for whom it is.
fn open(form: &str, data: &[u8]) {
    let name = |last: &str| format!("org.opencontainers.image.enc.{last}");
    // The first byte is the length of what everybody may know, which follows.
    let Some((&length, rest)) = data.split_first() else { return };
    let Some((public, wrapped)) = rest.split_at_checked(length.into()) else { return };
    let annotations = BTreeMap::from([
        (name(&format!("keys.{form}")), STANDARD.encode(wrapped)),
        (name("pubopts"), STANDARD.encode(public)),
    ]);
    let _ = runtime().block_on(KEYS.open(&annotations));
}

/// A file that may be a key of any kind (DER, PEM, JWK, a certificate, a keyring) is read or refused.
pub(super) fn keys(data: &[u8]) {
    let mut recipients = Recipients::default();
    let _ = recipients.add_jwe(data);
    let _ = recipients.add_pkcs7(data);
    let _ = recipients.add_pgp(data, &["alice@example.com".to_owned()]);
    for password in [None, Some(Secret::from("secret"))] {
        let _ = Keys::default().add(data, password.as_ref());
    }
}

/// What lies in certs.d, and what a server is given: certificates and a key, or none of it.
pub(super) fn certificates(data: &[u8]) {
    let _ = Tls::parse(data, include_bytes!("opened/p256.pem"));
    let _ = Tls::parse(include_bytes!("opened/rsa.crt"), data);
    let text = String::from_utf8_lossy(data).into_owned();
    let pair = ClientPair {
        name: "client".to_owned(),
        certificate_pem: data.to_vec(),
        key_pem: Secret::from(text),
    };
    let tls = TlsOptions {
        extra_roots_pem: vec![data.to_vec()],
        client_pairs: vec![pair],
        ..TlsOptions::default()
    };
    let _ = Client::new(ClientOptions { tls, ..ClientOptions::new("localhost:1") });
}
