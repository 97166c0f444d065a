//! Tars of layers.

use std::process::Command;

/// A tar that grows.
pub(crate) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn entry(
        mut self,
        kind: tar::EntryType,
        name: &str,
        (mode, uid, gid): (u32, u64, u64),
        link: &str,
        content: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        if kind.is_character_special() {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, name, (0o644, 0, 0), "", content)
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, (0o755, 0, 0), "", b"")
    }

    pub(crate) fn attributed(
        mut self,
        name: &str,
        key: &str,
        value: &[u8],
        content: &[u8],
    ) -> Self {
        let key = format!("SCHILY.xattr.{key}");
        self.0.append_pax_extensions([(key.as_str(), value)]).unwrap();
        self.file(name, content)
    }

    /// A program of this machine, with what it needs to run.
    pub(crate) fn program(mut self, path: &str) -> Self {
        let needed = Command::new("ldd").arg(path).output().unwrap();
        let needed = String::from_utf8(needed.stdout).unwrap();
        let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([path]) {
            let content = fs_err::read(file).unwrap();
            let name = file.trim_start_matches('/');
            self = self.entry(tar::EntryType::Regular, name, (0o755, 0, 0), "", &content);
        }
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A layer with one of everything.
pub(crate) fn base() -> Vec<u8> {
    use tar::EntryType;
    Tar::new()
        .entry(EntryType::Directory, "./", (0o755, 0, 0), "", b"")
        .folder("etc/")
        .file("etc/a", b"a of the base")
        .file("etc/b", b"b of the base")
        .folder("gone/")
        .file("gone/x", b"x")
        .folder("opaque/")
        .file("opaque/below", b"below")
        .entry(EntryType::Regular, "set-user-id", (0o4755, 0, 0), "", b"set")
        .entry(EntryType::Regular, "other", (0o640, 7, 8), "", &[7; 5000])
        .entry(EntryType::Link, "linked", (0o640, 7, 8), "other", b"")
        .entry(EntryType::Symlink, "link", (0o777, 0, 0), "etc/a", b"")
        .entry(EntryType::Char, "null", (0o666, 0, 0), "", b"")
        .entry(EntryType::Fifo, "pipe", (0o600, 0, 0), "", b"")
        .attributed("attributed", "user.test", b"value", b"attributed")
        .end()
}

/// A layer that changes the base.
pub(crate) fn changes() -> Vec<u8> {
    Tar::new()
        .folder("etc/")
        .file("etc/a", b"a of the second")
        .file("etc/.wh.b", b"")
        .file(".wh.gone", b"")
        .folder("opaque/")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .folder("deep/")
        .file("deep/file", b"deep")
        .end()
}
