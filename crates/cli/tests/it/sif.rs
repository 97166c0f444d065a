//! `sif:`: what is in a SIF file is what comes out of its image, by us and by the original.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use skopeo_image::Digest;
use skopeo_testkit::run::installed;
use skopeo_testkit::{Home, Twin, skip};

use crate::program::{at_home, fatal};

const DEFINITION: &str = "Bootstrap: docker\nFrom: alpine\n\n%environment\n    export A=1\n\n%runscript\n    exec echo \"$@\"\n";
const SCRIPT: &str = "#!/bin/bash\nexport A=1\nexec echo \"$@\"\n";

/// An object of a SIF file: its type, what is known of it besides, its bytes.
type Object<'a> = (i32, &'a [u8], &'a [u8]);

const DEFFILE: i32 = 0x4001;
const PARTITION: i32 = 0x4004;
/// A squashfs, the primary system, for amd64.
const PRIMARY: &[u8] = b"\x01\0\0\0\x02\0\0\x0002\0";

/// A SIF file, from the description of the format.
fn sif(objects: &[Object<'_>]) -> Vec<u8> {
    let places = objects.len() + 2;
    let data = 4096_u64;
    let mut file = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\x0001\x0002\0".to_vec();
    file.extend((0..16).map(|byte: u8| byte * 0x11));
    for number in [1_500_000_000, 1_600_000_000, 2, places as u64, 128, places as u64 * 585, data] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u64.to_le_bytes());
    assert_eq!(file.len(), 128);
    let mut offset = data;
    for (id, (kind, extra, bytes)) in objects.iter().enumerate() {
        let size = bytes.len() as u64;
        file.extend(kind.to_le_bytes());
        file.push(1);
        for number in [id as u32 + 1, 0xf000_0001, 0] {
            file.extend(number.to_le_bytes());
        }
        for number in [offset, size, size, 0, 0, 0, 0] {
            file.extend(number.to_le_bytes());
        }
        file.extend([b'n'; 128]);
        file.extend(*extra);
        file.resize(128 + (id + 1) * 585, 0);
        offset = (offset + size).next_multiple_of(4096);
    }
    for (_, _, bytes) in objects {
        file.resize(file.len().next_multiple_of(4096), 0);
        file.extend(*bytes);
    }
    file
}

/// A SIF file with nothing but a root file system.
pub(crate) fn of_system(system: &[u8]) -> Vec<u8> {
    sif(&[(PARTITION, PRIMARY, system)])
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder with one of everything that a file system has.
fn plant(root: &Path) {
    let at = |name: &str| root.join(name);
    for folder in ["bin", "deep/er/and/deeper", "empty", "many"] {
        fs_err::create_dir_all(at(folder)).unwrap();
    }
    let noise = |len: u32| -> Vec<u8> {
        (0..len).map(|n| (n.wrapping_mul(n ^ 0x9e37) >> 7) as u8).collect()
    };
    fs_err::write(at("bin/sh"), noise(1_000_003)).unwrap();
    fs_err::set_permissions(at("bin/sh"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs_err::hard_link(at("bin/sh"), at("bin/bash")).unwrap();
    fs_err::hard_link(at("bin/sh"), at("deep/also")).unwrap();
    fs_err::write(at("exact"), noise(131_072)).unwrap();
    fs_err::write(at("nothing"), "").unwrap();
    fs_err::write(at("zeros"), vec![0; 700_000]).unwrap();
    fs_err::write(at("deep/er/and/deeper/ünïcödé"), "x").unwrap();
    fs_err::write(at(&format!("deep/{}", "n".repeat(200))), "long").unwrap();
    symlink("../nowhere", at("bin/dangling")).unwrap();
    symlink("t".repeat(300), at("bin/far")).unwrap();
    for n in 0..600 {
        fs_err::write(at(&format!("many/{n}")), format!("{n}")).unwrap();
    }
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, at("socket"), FileType::Socket, Mode::RUSR, 0).unwrap();
    fs_err::set_permissions(at("empty"), PermissionsExt::from_mode(0o1777)).unwrap();
    if is_root() {
        let device = rustix::fs::makedev(259, 70_000);
        mknodat(CWD, at("block"), FileType::BlockDevice, Mode::RUSR, device).unwrap();
        let device = rustix::fs::makedev(1, 3);
        mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::RWXU, device).unwrap();
        std::os::unix::fs::chown(at("exact"), Some(1000), Some(3_000_000)).unwrap();
        std::os::unix::fs::lchown(at("bin/far"), Some(12), Some(34)).unwrap();
    }
    let flags = rustix::fs::XattrFlags::empty();
    // Not every file system has them.
    let _ = rustix::fs::setxattr(at("exact"), "user.note", b"a\0\nb", flags);
}

/// Everything below a folder, in words.
fn shown(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let content = if kind.is_dir() {
            waiting.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else if kind.is_symlink() {
            fs_err::read_link(&path).unwrap().display().to_string()
        } else if kind.is_file() {
            inodes.entry(metadata.ino()).or_insert_with(Vec::new).push(name.clone());
            Digest::sha256(&fs_err::read(&path).unwrap()).to_string()
        } else {
            metadata.rdev().to_string()
        };
        let mut note = [0; 16];
        let note = rustix::fs::lgetxattr(&path, "user.note", &mut note)
            .map_or_else(|_| Vec::new(), |len| note[..len].to_vec());
        let (mode, time) = (metadata.mode(), metadata.mtime());
        let owner = (metadata.uid(), metadata.gid());
        found.insert(name, format!("{mode:o} {owner:?} {time} {content} {note:?}"));
    }
    for mut names in inodes.into_values() {
        names.sort();
        found.insert(format!("= {}", names[0]), names.join(" = "));
    }
    found
}

fn squash(from: &Path, to: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = Command::new("mksquashfs");
    command.arg(from).arg(to).args(["-quiet", "-no-progress", "-noappend"]).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs_err::read(to).unwrap()
}

/// Unpacks the only layer of a `dir:` image.
fn unpack(home: &Home, image: &str, to: &str) -> serde_json::Value {
    let folder = home.path("work").join(image);
    let manifest = fs_err::read(folder.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let blob = |digest: &serde_json::Value| {
        folder.join(digest["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
    };
    let to = home.path("work").join(to);
    fs_err::create_dir_all(&to).unwrap();
    let output = Command::new("tar")
        .args(["-xpf".as_ref(), blob(&manifest["layers"][0]).as_os_str()])
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-C"])
        .arg(to)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    serde_json::from_slice(&fs_err::read(blob(&manifest["config"])).unwrap()).unwrap()
}

#[test]
fn everything_comes_out_as_it_was() {
    if installed("mksquashfs").is_none() {
        skip!("mksquashfs is not installed");
    }
    let home = Home::new();
    let tree = home.path("work/tree");
    fs_err::create_dir(&tree).unwrap();
    plant(&tree);
    let mut expected = shown(&tree);
    expected.remove("socket"); // a tar has no word for it
    for (name, options) in [
        ("gzip", &["-comp", "gzip"][..]),
        ("xz", &["-comp", "xz", "-b", "1M", "-Xbcj", "x86"]),
        ("zstd", &["-comp", "zstd", "-b", "4096"]),
        ("plain", &["-noI", "-noD", "-noF", "-noX"]),
        ("no-fragments", &["-no-fragments", "-no-duplicates"]),
        ("fragments", &["-always-use-fragments"]),
    ] {
        let squashfs = squash(&tree, &home.path("work/squashfs"), options);
        fs_err::write(home.path("work/image.sif"), sif(&[(PARTITION, PRIMARY, &squashfs)]))
            .unwrap();
        let out = format!("dir:{name}");
        at_home(&home, &["copy", "sif:image.sif", &out]).success();
        let config = unpack(&home, name, &format!("{name}.out"));
        assert_eq!(config["config"]["Cmd"], serde_json::json!(["bash"]));
        let differing = skopeo_testkit::twin::differences(
            &expected,
            &shown(&home.path("work").join(format!("{name}.out"))),
        );
        assert!(differing.is_empty(), "{name}:\n{}", differing.join("\n"));
        // The same again.
        let digest = |run: &skopeo_testkit::Run| run.json()["Digest"].clone();
        let again = at_home(&home, &["inspect", "sif:image.sif"]).success();
        let copied = at_home(&home, &["inspect", &out]).success();
        assert_eq!(digest(&again), digest(&copied));
    }
}

#[test]
fn the_same_image_is_made_up() {
    let tools = ["mksquashfs", "unsquashfs", "fakeroot"];
    if let Some(missing) = tools.iter().find(|tool| installed(tool).is_none()) {
        skip!("{missing}, which the original needs for sif:, is not installed");
    }
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let home = Home::new();
    let tree = home.path("work/tree");
    fs_err::create_dir(&tree).unwrap();
    plant(&tree);
    let squashfs = squash(&tree, &home.path("work/squashfs"), &[]);
    let system = (PARTITION, PRIMARY, &squashfs[..]);
    for (name, objects) in [
        ("bare", &[system][..]),
        ("recipe", &[(DEFFILE, b"", DEFINITION.as_bytes()), system]),
        ("empty-recipe", &[(DEFFILE, b"", b"%post\n ls\n"), system]),
        ("recipes", &[(DEFFILE, b"", b"%runscript\na"), (DEFFILE, b"", b"%runscript\nb"), system]),
    ] {
        let file = sif(objects);
        twin.prepare(|home| fs_err::write(home.path("work/image.sif"), &file).unwrap());
        twin.run(&["copy", "sif:image.sif", &format!("dir:{name}")]).success();
        let read = |side: &skopeo_testkit::twin::Side| {
            let config = unpack(&side.home, name, &format!("{name}.out"));
            let mut tree = shown(&side.home.path(format!("work/{name}.out")));
            // The original makes these when it runs.
            for made in ["", "podman", "podman/runscript"] {
                if let Some(text) = tree.get_mut(made) {
                    let words: Vec<&str> = text.split(' ').collect();
                    *text = [&words[..3], &words[4..]].concat().join(" ");
                }
            }
            let mut config = config.to_string();
            let layer = side.home.path(format!("work/{name}"));
            for entry in fs_err::read_dir(layer).unwrap() {
                let hex = entry.unwrap().file_name().into_string().unwrap();
                config = config.replace(&hex, "HEX");
            }
            (config, tree)
        };
        let (theirs, ours) = (read(twin.original()), read(twin.ours()));
        assert_eq!(ours.0, theirs.0, "{name}");
        let differing = skopeo_testkit::twin::differences(&theirs.1, &ours.1);
        assert!(differing.is_empty(), "{name}:\n{}", differing.join("\n"));
        let script = twin.ours().home.path(format!("work/{name}.out/podman/runscript"));
        let script = fs_err::read_to_string(script).unwrap_or_default();
        assert_eq!(script, if name == "recipe" { SCRIPT } else { "" });
    }
}

#[test]
fn what_is_no_sif_is_refused() {
    let home = Home::new();
    let good = sif(&[(PARTITION, PRIMARY, b"no squashfs, whatever its descriptor says")]);
    let edit = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let loading = "loading SIF file: ";
    let converting = "converting rootfs from SquashFS to Tarball: ";
    for (file, begin, sentence) in [
        (vec![], loading, "reading global header: "),
        (edit(32, b"SIF_MUGIC"), loading, "invalid SIF magic"),
        (edit(42, b"02"), loading, "incompatible SIF version"),
        (edit(88, &[0xff; 8]), loading, "reading descriptors: "),
        (edit(88, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), loading, "reading desc"),
        (edit(96, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), loading, "reading desc"),
        (edit(128 + 17, &[0xff; 8]), loading, "reading an object: "),
        (edit(128 + 4, &[0]), converting, "looking up rootfs from SIF file: object not found"),
        (edit(80, &[3]), converting, "looking up rootfs from SIF file: no objects in image"),
        (edit(128 + 201, &[5]), converting, "the root file system is not a squashfs"),
        (good.clone(), converting, "reading the squashfs: not a squashfs"),
    ] {
        fs_err::write(home.path("work/image.sif"), file).unwrap();
        let text = fatal(&at_home(&home, &["inspect", "sif:image.sif"]).failure(1));
        let expected = format!("Error parsing image name \"sif:image.sif\": {begin}{sentence}");
        assert!(text.starts_with(&expected), "{text}\n{expected}");
    }
    let run = at_home(&home, &["delete", "sif:image.sif"]).failure(1);
    assert_eq!(fatal(&run), "Deleting images not implemented for sif: images");
    home.write("work/x/version", "Directory Transport Version: 1.1\n");
    let run = at_home(&home, &["copy", "dir:x", "sif:image.sif"]).failure(1);
    let sentence = "\"sif:\" locations can only be read from, not written to";
    assert!(fatal(&run).ends_with(sentence), "{run}");
}
