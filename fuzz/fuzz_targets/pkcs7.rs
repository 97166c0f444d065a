//! A layer's key in a PKCS#7 envelope is opened or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod opened;

fuzz_target!(|data: &[u8]| opened::check("pkcs7", data));
