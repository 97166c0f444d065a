//! A SIF file, with the squashfs in it, is read as an image or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod image;

fuzz_target!(|data: &[u8]| image::read("sif", data, ""));
