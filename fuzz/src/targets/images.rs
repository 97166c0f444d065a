//! Whole images: in archives, folders, file systems.

use skopeo_image::Digest;

use super::image;

/// A SIF file, with the squashfs in it, is read as an image or refused.
pub(super) fn sif(data: &[u8]) {
    image::read("sif", data, "");
}

/// Whatever is in a file, it is taken for a layer, unpacked and named.
pub(super) fn tarball(data: &[u8]) {
    image::read("tarball", data, "");
}

/// What `manifest.json` and a config say of the images in a docker archive is believed or refused.
/// The parts (`manifest.json`, config, two layers) have zeros between them.
pub(super) fn docker_save(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0);
    let names = ["manifest.json", "config.json", "a.tar", "b/layer.tar"];
    let archive = tar(names.map(|name| (name.to_owned(), parts.next().unwrap_or_default())));
    for which in ["", ":@0", ":busybox:latest"] {
        image::read("docker-archive", &archive, which);
    }
}

/// What `index.json` and a manifest say of the images in a layout in a tar is believed or refused.
/// The parts (`index.json`, manifest, config, layer) have zeros between them; `$0`, `$1` and `$2`
/// stand for the digests of the last three.
pub(super) fn oci_archive(data: &[u8]) {
    let parts = parts_with_digests(data);
    let [index, manifest, config, layer] = parts.each_ref().map(Vec::as_slice);
    let blob = |bytes| (format!("blobs/sha256/{}", Digest::sha256(bytes).hex()), bytes);
    let archive = tar([
        ("oci-layout".to_owned(), &br#"{"imageLayoutVersion":"1.0.0"}"#[..]),
        blob(layer),
        blob(config),
        blob(manifest),
        ("index.json".to_owned(), index),
    ]);
    for which in ["", ":@0", ":x:1"] {
        image::read("oci-archive", &archive, which);
    }
}

/// The same for `dir:`: signature, manifest, config, layer.
pub(super) fn folder(data: &[u8]) {
    let parts = parts_with_digests(data);
    let [signature, manifest, config, layer] = parts.each_ref().map(Vec::as_slice);
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        fs_err::write(folder.path().join(name), bytes).expect("room for it");
    };
    put("version", b"Directory Transport Version: 1.1\n");
    put("signature-1", signature);
    put("manifest.json", manifest);
    put(Digest::sha256(config).hex(), config);
    put(Digest::sha256(layer).hex(), layer);
    image::read_at("dir", folder.path(), "");
}

/// Four parts; digests of those behind are put into those before.
fn parts_with_digests(data: &[u8]) -> [Vec<u8>; 4] {
    let mut parts = data.splitn(4, |byte| *byte == 0).map(<[u8]>::to_vec);
    let mut parts: [Vec<u8>; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    for (mark, from) in [(*b"$2", 3), (*b"$1", 2), (*b"$0", 1)] {
        let digest = Digest::sha256(&parts[from]).to_string();
        for part in &mut parts[..from] {
            *part = replaced(part, &mark, digest.as_bytes());
        }
    }
    parts
}

/// Some bytes with others for each of these.
pub(super) fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn tar<'a>(members: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in members {
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
