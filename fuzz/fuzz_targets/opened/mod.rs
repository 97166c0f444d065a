//! The annotations of an encrypted layer, by somebody who knows for whom it is.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skopeo_blob::crypt::Keys;
use tokio::runtime::{Builder, Runtime};

/// Those of the seeds; made for this, and for nothing else.
static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| {
    let mut keys = Keys::default();
    for file in [
        &include_bytes!("rsa.pem")[..],
        include_bytes!("rsa.crt"),
        include_bytes!("p256.pem"),
        include_bytes!("p521.pem"),
    ] {
        assert!(keys.add(file, None).expect("a good key"));
    }
    Arc::new(keys)
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

pub(crate) fn check(form: &str, data: &[u8]) {
    let name = |last: &str| format!("org.opencontainers.image.enc.{last}");
    // The first byte is the length of what everybody may know, which follows.
    let Some((&length, rest)) = data.split_first() else { return };
    let Some((public, wrapped)) = rest.split_at_checked(length.into()) else { return };
    let annotations = BTreeMap::from([
        (name(&format!("keys.{form}")), STANDARD.encode(wrapped)),
        (name("pubopts"), STANDARD.encode(public)),
    ]);
    let _ = RUNTIME.block_on(KEYS.open(&annotations));
}
