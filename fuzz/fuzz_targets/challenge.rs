//! A `WWW-Authenticate` header of a hostile server ends in challenges, or none.
#![no_main]

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;

// Not public in the crate, and no reason to be.
#[path = "../../crates/registry/src/challenge.rs"]
#[allow(dead_code, unreachable_pub)]
mod challenge;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, value.clone());
    headers.append(WWW_AUTHENTICATE, value);
    for challenge in challenge::challenges(&headers) {
        assert!(!challenge.scheme.is_empty());
        let _ = (challenge.get("realm"), challenge.get("scope"));
    }
});
