//! A layer's key in a JWE envelope is opened or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod opened;

fuzz_target!(|data: &[u8]| opened::check("jwe", data));
