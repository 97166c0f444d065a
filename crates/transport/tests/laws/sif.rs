//! What `sif:` promises about files that want to do harm: an error, in bounded time and memory.

use std::path::Path;
use std::process::Command;

use futures_util::TryStreamExt;
use skopeo_image::{Manifest, Which};
use skopeo_testkit::skip;
use skopeo_transport::{ImageName, open};

use crate::Place;

/// A SIF file around a squashfs: header, one descriptor, the file system at once behind it.
fn sif(squashfs: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 32];
    file.extend(b"SIF_MAGIC\x0001\x0002\0");
    file.resize(72, 0);
    for number in [1_600_000_000, 0, 1, 128, 585, 713, 0_u64] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0x4004_u32.to_le_bytes());
    file.push(1);
    file.extend([0; 12]);
    file.extend(713_u64.to_le_bytes());
    file.extend((squashfs.len() as u64).to_le_bytes());
    file.resize(128 + 201, 0);
    file.extend(b"\x01\0\0\0\x02\0\0\x0002\0");
    file.resize(713, 0);
    file.extend(squashfs);
    file
}

fn squashfs(folder: &Path, packing: &str) -> Option<Vec<u8>> {
    let tree = folder.join("tree");
    fs_err::create_dir_all(tree.join("a/b")).unwrap();
    for n in 0..40 {
        fs_err::write(tree.join(format!("a/{n}")), vec![b'x'; n * 300]).unwrap();
    }
    fs_err::hard_link(tree.join("a/7"), tree.join("a/b/again")).ok();
    std::os::unix::fs::symlink("../7", tree.join("a/b/link")).ok();
    let to = folder.join("squashfs");
    let mut command = Command::new("mksquashfs");
    command.arg(&tree).arg(&to).args(["-quiet", "-no-progress", "-noappend", "-b", "4096"]);
    // What is not packed is where every changed byte means something else.
    match packing {
        "plain" => command.args(["-noI", "-noD", "-noF"]),
        _ => command.args(["-comp", packing]),
    };
    match command.output() {
        Ok(output) if output.status.success() => Some(fs_err::read(to).unwrap()),
        _ => None,
    }
}

#[tokio::test]
async fn broken_ones_end_in_an_error() {
    let place = Place::dir().await;
    let path = place.folder.path().join("image.sif");
    let name = ImageName::parse(&format!("sif:{}", path.display())).unwrap();
    let mut seed = 1_u32;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let mut good = 0;
    for packing in ["plain", "gzip", "zstd"] {
        let Some(squashfs) = squashfs(place.folder.path(), packing) else {
            skip!("mksquashfs is not installed");
        };
        let whole = sif(&squashfs);
        for round in 0..400 {
            let mut file = whole.clone();
            // The ends have the tables: half of the changes are there.
            for _ in 0..round.min(4) {
                let at = match random(4) {
                    0 => random(713 + 96),
                    1 => file.len() - 1 - random(file.len().min(2000)),
                    _ => random(file.len()),
                };
                file[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            if round % 7 == 6 {
                file.truncate(random(file.len()));
            }
            fs_err::write(&path, &file).unwrap();
            let Ok(source) = open(&name, &place.options).await else { continue };
            let manifest = source.manifest(&Which::Top).await.unwrap();
            let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("a list") };
            let layer = &image.layers()[0].blob;
            let bytes = source.blob(layer).await.unwrap().expect(&layer.digest, layer.size);
            let pieces: Result<Vec<_>, _> = bytes.into_stream().try_collect().await;
            pieces.unwrap();
            good += 1;
        }
    }
    assert!(good >= 3, "the unchanged ones are read");
}
