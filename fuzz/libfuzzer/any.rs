//! The target that `FUZZ_TARGET` names, under libFuzzer.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use skopeo_fuzz::{Target, find};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    find(&name).expect("FUZZ_TARGET=NAME of one of the targets in fuzz/src/targets/mod.rs")
});

fuzz_target!(|data: &[u8]| (TARGET.body)(data));
