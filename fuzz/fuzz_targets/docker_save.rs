//! What `manifest.json` and a config say of the images in a docker archive is believed or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod image;

/// `manifest.json`, the config and two layers, between zeros.
fn archive(data: &[u8]) -> Vec<u8> {
    let mut parts = data.splitn(4, |byte| *byte == 0);
    let mut tar = Vec::new();
    for name in ["manifest.json", "config.json", "a.tar", "b/layer.tar"] {
        let bytes = parts.next().unwrap_or_default();
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fuzz_target!(|data: &[u8]| {
    let archive = archive(data);
    for which in ["", ":@0", ":busybox:latest"] {
        image::read("docker-archive", &archive, which);
    }
});
