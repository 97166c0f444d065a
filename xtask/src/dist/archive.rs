//! The tarball, and the tars inside of packages.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use tar::{Builder, EntryType, Header};

use super::tree::{File, Tree, gzip};
use super::{NAME, version};

/// Writes `NAME-VERSION-MACHINE-linux.tar.gz`: the tree in a folder of its own, without `usr`.
pub(super) fn write(tree: &Tree, out: &Path, time: u64) -> Result<String> {
    let folder = format!("{NAME}-{}-{}-linux", version(), tree.target.machine());
    let files = tree.files.iter().map(|file| {
        let path = file.path.strip_prefix("usr").unwrap_or(&file.path);
        File::new(Path::new(&folder).join(path), file.mode, file.bytes.clone())
    });
    let tree = Tree { target: tree.target, files: files.collect() };
    let name = format!("{folder}.tar.gz");
    fs::write(out.join(&name), gzip(&tar(&tree, "", time)?)?)?;
    Ok(name)
}

/// A tar of the files and their folders, all of root. Names begin with `before`.
pub(super) fn tar(tree: &Tree, before: &str, time: u64) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for folder in tree.folders() {
        let mut header = header(EntryType::Directory, 0o755, 0, time);
        tar.append_data(&mut header, format!("{before}{}/", folder.display()), &[][..])?;
    }
    for file in &tree.files {
        let mut header = header(EntryType::Regular, file.mode, file.bytes.len() as u64, time);
        tar.append_data(&mut header, format!("{before}{}", file.path.display()), &*file.bytes)?;
    }
    Ok(tar.into_inner()?)
}

fn header(kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(time);
    header
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn the_tar_has_folders_before_files() {
        let file = File::new("usr/bin/skopeo", 0o755, b"program".to_vec());
        let tree = Tree { target: Target::X86_64, files: vec![file] };
        let bytes = tar(&tree, "./", 7).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap())
        });
        let expected = [("usr/", 0o755), ("usr/bin/", 0o755), ("usr/bin/skopeo", 0o755)];
        let expected = expected.map(|(path, mode)| (path.to_owned(), mode, 7, 0));
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }
}
