//! Debian's package: an `ar` of a version, a tar about it, and a tar of its files (deb(5)).

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use super::archive::tar;
use super::tree::{DEFAULTS, File, Tree, gzip};
use super::{HOME, NAME, STANDS_IN_FOR, SUMMARY, version};

/// Writes `NAME_VERSION_ARCHITECTURE.deb`.
pub(super) fn write(tree: &Tree, out: &Path, time: u64) -> Result<String> {
    let name = format!("{NAME}_{}_{}.deb", version(), tree.target.architecture());
    let files = vec![
        File::new("control", 0o644, control(tree).into_bytes()),
        File::new("md5sums", 0o644, sums(tree).into_bytes()),
        File::new("postinst", 0o755, postinst().into_bytes()),
        File::new("prerm", 0o755, prerm().into_bytes()),
    ];
    let about = Tree { target: tree.target, files };
    let parts: [(&str, Vec<u8>); 3] = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&tar(&about, "./", time)?)?),
        ("data.tar.gz", gzip(&tar(tree, "./", time)?)?),
    ];
    let mut package = ar::Builder::new(Vec::new());
    for (name, bytes) in parts {
        let mut header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(time);
        package.append(&header, &*bytes)?;
    }
    fs::write(out.join(&name), package.into_inner()?)?;
    Ok(name)
}

fn control(tree: &Tree) -> String {
    let size: usize = tree.files.iter().map(|file| file.bytes.len()).sum();
    format!(
        "Package: {NAME}\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: The developers of skopeo, in Rust <{HOME}>\n\
         Installed-Size: {}\n\
         Section: utils\n\
         Priority: optional\n\
         Homepage: {HOME}\n\
         Provides: skopeo (= {STANDS_IN_FOR})\n\
         Conflicts: skopeo\n\
         Replaces: skopeo\n\
         Recommends: ca-certificates\n\
         Suggests: gnupg, uidmap\n\
         Description: {SUMMARY}\n \
         It takes the place of skopeo: the same commands, flags, files, messages and\n \
         exit codes. It is one program, linked statically, and needs no daemon.\n",
        version(),
        tree.target.architecture(),
        size.div_ceil(1024),
    )
}

/// What `dpkg --verify` compares with.
fn sums(tree: &Tree) -> String {
    let lines =
        tree.files.iter().map(|file| format!("{}  {}\n", md5(&file.bytes), file.path.display()));
    lines.collect()
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names() -> String {
    DEFAULTS.map(|(name, _)| name).join(" ")
}

/// Files of configuration are written only if they are not there: they belong to the administrator,
/// or to a package of podman's.
fn postinst() -> String {
    format!(
        "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n    \
         mkdir -p \"$DPKG_ROOT/etc/containers\"\n    \
         for name in {}; do\n        \
         if [ ! -e \"$DPKG_ROOT/etc/containers/$name\" ]; then\n            \
         cp \"$DPKG_ROOT/usr/share/{NAME}/containers/$name\" \"$DPKG_ROOT/etc/containers/$name\"\n        \
         fi\n    done\nfi\n",
        names()
    )
}

/// What was written and nobody has changed goes, unless it belongs to another package by now.
fn prerm() -> String {
    format!(
        "#!/bin/sh\nset -e\nif [ \"$1\" = remove ]; then\n    \
         for name in {}; do\n        \
         file=\"$DPKG_ROOT/etc/containers/$name\"\n        \
         if cmp -s \"$DPKG_ROOT/usr/share/{NAME}/containers/$name\" \"$file\" &&\n            \
         ! dpkg-query --search \"/etc/containers/$name\" > /dev/null 2>&1; then\n            \
         rm -f \"$file\"\n        fi\n    done\n    \
         rmdir --ignore-fail-on-non-empty \"$DPKG_ROOT/etc/containers\" 2> /dev/null || true\nfi\n",
        names()
    )
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn the_package_takes_the_place_of_debians() {
        let file = File::new("usr/bin/skopeo", 0o755, vec![0; 1025]);
        let control = control(&Tree { target: Target::Aarch64, files: vec![file] });
        for line in [
            "Package: skopeo-rs",
            "Architecture: arm64",
            "Conflicts: skopeo",
            "Replaces: skopeo",
            "Provides: skopeo (= 1.24.0)",
            "Installed-Size: 2",
        ] {
            assert!(control.lines().any(|it| it == line), "{line}: {control}");
        }
        assert!(control.lines().all(|line| !line.is_empty() && !line.ends_with(' ')), "{control}");
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
