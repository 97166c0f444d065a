//! A tar becomes files.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

use rustix::io::Errno;
use skopeo_archive::sparse::Piece;
use skopeo_image::number::wide;

use super::dress::failed;
use super::owner::number;
use super::path::{self, clean, split};
use super::place::{Filling, LayerFolder};
use super::reader::{Entry, Reader};
use super::{Applied, Apply, Error, Result, Whiteouts, error::shown};

/// Names of entries that say that a file is gone begin so.
const WHITEOUT: &[u8] = b".wh.";

/// An entry that says that nothing of the layers below is in a folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Names at the top that AUFS kept its own things under begin so.
const META: &[u8] = b".wh..wh.";

/// Where AUFS kept files with several names.
const LINKED: &[u8] = b".wh..wh.plnk";

/// Reads a plain tar to its end, makes its files below `root`, a folder that is there, and writes
/// its recipe to `split`. Nothing outside of `root` is touched, whatever the tar says.
///
/// # Errors
///
/// If the tar cannot be read or is malformed, if one of its entries cannot be made or leads out of
/// `root`, or if `split` cannot be written. What was made until then stays.
pub fn apply(tar: impl Read, root: &Path, split: impl Write, how: &Apply<'_>) -> Result<Applied> {
    let mut reader = Reader::new(tar, split);
    let mut layer = Layer {
        place: LayerFolder::new(root, how)?,
        how,
        uids: BTreeSet::new(),
        gids: BTreeSet::new(),
        has_linked: false,
    };
    while let Some(entry) = reader.next()? {
        layer.add(&mut reader, &entry)?;
    }
    let (diff_digest, diff_size) = reader.finish()?;
    let (uids, gids) = layer.finish()?;
    Ok(Applied { diff_digest, diff_size, uids, gids })
}

struct Layer<'a> {
    place: LayerFolder<'a>,
    how: &'a Apply<'a>,
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    has_linked: bool,
}

impl Layer<'_> {
    fn add<R: Read, W: Write>(&mut self, reader: &mut Reader<R, W>, entry: &Entry) -> Result<()> {
        let path = clean(&entry.name, "a path outside of the layer:")?;
        if path.len() > path::LONGEST {
            return Err(failed("making", &entry.name)(Errno::NAMETOOLONG));
        }
        let (folder, name) = split(&path);
        if !name.starts_with(WHITEOUT) {
            self.uids.extend(number(entry.uid));
            self.gids.extend(number(entry.gid));
        }
        if entry.kind == b'g' {
            return reader.contents(entry, &path, false, |_| Ok(()));
        }
        if path.is_empty() {
            self.root(entry)?;
            return reader.contents(entry, &path, false, |_| Ok(()));
        }
        match self.how.whiteouts {
            Whiteouts::Files => {}
            Whiteouts::Overlay => {
                if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                    if name == OPAQUE {
                        self.place.hide_all(entry, folder)?;
                    } else {
                        self.place.hide(entry, folder, one_name(hidden, entry)?)?;
                    }
                    return reader.contents(entry, &path, false, |_| Ok(()));
                }
            }
            Whiteouts::Remove => {
                if path.starts_with(META) && path != OPAQUE {
                    return self.add_meta(reader, entry, &path);
                }
                if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                    if name == OPAQUE {
                        // What this layer has made in it stays.
                        let seen = reader.seen();
                        let stays = |path: &[u8]| seen.get(path).is_some();
                        self.place.remove_all(entry, folder, &stays)?;
                    } else {
                        let hidden = [folder, b"/", one_name(hidden, entry)?].concat();
                        let hidden = hidden.strip_prefix(b"/").unwrap_or(&hidden);
                        self.place.remove(&entry.name, hidden)?;
                    }
                    return reader.contents(entry, &path, false, |_| Ok(()));
                }
                reader.seen().note_above(&path);
            }
        }
        self.make(reader, entry, &path, true)
    }

    fn make<R: Read, W: Write>(
        &mut self,
        reader: &mut Reader<R, W>,
        entry: &Entry,
        path: &[u8],
        is_kept: bool,
    ) -> Result<()> {
        let is_forced = self.how.force_mask.is_some();
        match entry.kind {
            b'0' | b'7' | b'S' => return self.fill(reader, entry, path, is_kept),
            b'3' | b'4' | b'6' if is_forced => return self.fill(reader, entry, path, false),
            b'1' => self.place.link(entry, path)?,
            b'2' => self.place.symlink(entry, path)?,
            b'3' | b'4' | b'6' => self.place.node(entry, path)?,
            b'5' => self.place.folder(entry, path)?,
            kind => return Err(Error::Type { name: shown(&entry.name), kind }),
        }
        reader.contents(entry, path, false, |_| Ok(()))
    }

    fn fill<R: Read, W: Write>(
        &mut self,
        reader: &mut Reader<R, W>,
        entry: &Entry,
        path: &[u8],
        is_kept: bool,
    ) -> Result<()> {
        let mut filling = self.place.file(entry, path)?;
        match &entry.pieces {
            None => {
                reader.contents(entry, path, is_kept, |bytes| filling.write(&entry.name, bytes))?;
            }
            Some(pieces) => {
                let mut holes = Holes { pieces, done: 0 };
                reader.contents(entry, path, is_kept, |bytes| {
                    holes.write(&mut filling, &entry.name, bytes)
                })?;
                filling.set_length(&entry.name, entry.length)?;
            }
        }
        self.place.finish_file(entry, filling)
    }

    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != b'5' {
            let what = "replacing the root of the layer by";
            return Err(Error::Outside { what, name: shown(&entry.name) });
        }
        self.place.note_root(entry)?;
        // In overlay the root is as the layer's parent has it, unless it is called by this name.
        let is_taken = self.how.whiteouts == Whiteouts::Remove || entry.name.starts_with(b"/");
        if is_taken { self.place.root(entry) } else { Ok(()) }
    }

    /// What AUFS kept for itself. Only files with several names are of use: they are there until
    /// the end.
    fn add_meta<R: Read, W: Write>(
        &mut self,
        reader: &mut Reader<R, W>,
        entry: &Entry,
        path: &[u8],
    ) -> Result<()> {
        let is_linked = path.strip_prefix(LINKED).is_some_and(|rest| rest.starts_with(b"/"));
        if !is_linked || entry.kind != b'0' {
            return reader.contents(entry, path, false, |_| Ok(()));
        }
        self.has_linked = true;
        self.make(reader, entry, path, false)
    }

    fn finish(mut self) -> Result<(BTreeSet<u32>, BTreeSet<u32>)> {
        if self.has_linked {
            self.place.remove(LINKED, LINKED)?;
        }
        self.place.finish()?;
        Ok((self.uids, self.gids))
    }
}

/// Where the next bytes of a sparse file belong.
struct Holes<'a> {
    pieces: &'a [Piece],
    /// How many bytes of the first of them are written.
    done: u64,
}

impl Holes<'_> {
    fn write(&mut self, filling: &mut Filling, name: &[u8], mut bytes: &[u8]) -> Result<()> {
        while let [piece, others @ ..] = self.pieces
            && !bytes.is_empty()
        {
            let left = piece.length.saturating_sub(self.done);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at_checked(length).unwrap_or((bytes, b""));
            if !now.is_empty() {
                filling.seek(name, piece.offset.saturating_add(self.done))?;
                filling.write(name, now)?;
            }
            (bytes, self.done) = (rest, self.done.saturating_add(wide(now.len())));
            if self.done >= piece.length {
                (self.pieces, self.done) = (others, 0);
            }
        }
        Ok(())
    }
}

/// What a whiteout hides must be in its folder.
fn one_name<'a>(hidden: &'a [u8], entry: &Entry) -> Result<&'a [u8]> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Error::Outside { what: "invalid whiteout", name: shown(&entry.name) });
    }
    Ok(hidden)
}
