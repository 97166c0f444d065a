//! The header of a tar's member with all that a file system knows: ustar (POSIX.1-2001), with a pax
//! header before it for what does not fit. Extended attributes have the keys that star gave them.

use skopeo_image::number::wide;

use crate::header::BLOCK;
use crate::ustar::{octal, record, seal, text};

/// What a header says.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// The whole name; folders end in a slash.
    pub(super) name: &'a [u8],
    /// `0` a file, `1` another name of one, `2` a link, `3` and `4` devices, `5` a folder, `6` a
    /// pipe.
    pub(super) kind: u8,
    pub(super) mode: u16,
    pub(super) user: u32,
    pub(super) group: u32,
    /// How many bytes follow.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: u32,
    /// What it is another name of, or leads to.
    pub(super) target: &'a [u8],
    /// A device's number as Linux packs it.
    pub(super) device: u32,
    pub(super) attributes: &'a [(String, Vec<u8>)],
}

impl Member<'_> {
    /// The blocks that stand before the contents.
    pub(super) fn encode(&self) -> Vec<u8> {
        let records = self.records();
        let mut out = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            let pax = Member {
                name: b"./PaxHeaders/member",
                kind: b'x',
                mode: 0o644,
                size: wide(records.len()),
                user: 0,
                group: 0,
                target: b"",
                device: 0,
                attributes: &[],
                ..*self
            };
            out.extend(pax.block());
            out.extend(&records);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.extend(self.block());
        out
    }

    /// What the block has no room for.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let texts: [(&str, &[u8]); 2] = [("path", self.name), ("linkpath", self.target)];
        for (key, value) in texts {
            if value.len() > 100 || !value.is_ascii() {
                records.extend(record(key, value));
            }
        }
        let numbers = [
            ("size", self.size, 1 << 33),
            ("uid", self.user.into(), 1 << 21),
            ("gid", self.group.into(), 1 << 21),
        ];
        for (key, value, beyond) in numbers {
            if value >= beyond {
                records.extend(record(key, value.to_string().as_bytes()));
            }
        }
        for (name, value) in self.attributes {
            records.extend(record(&format!("SCHILY.xattr.{name}"), value));
        }
        records
    }

    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let device = u64::from(self.device);
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
        text(&mut block[..100], self.name.iter().copied());
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], self.user.into());
        octal(&mut block[116..124], self.group.into());
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.modified.into());
        block[156] = self.kind;
        text(&mut block[157..257], self.target.iter().copied());
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], major);
        octal(&mut block[337..345], minor);
        seal(&mut block);
        block
    }
}
