//! The end of a tar in a file: what is between members is closed up, what may have been written to
//! by another is read again, and what is behind the end is cut off.

use std::io;
use std::ops::Range;

use skopeo_blob::StreamError;
use skopeo_image::Hasher;
use skopeo_image::number::wide;
use skopeo_system::At as _;

use super::regions::{Member, Regions};
use crate::error::TarWriteError;

/// How much is moved or read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// Brings all members together and looks at those whose bytes are not known to be theirs. Gives
/// the end of the last.
pub(super) fn settle(file: &fs_err::File, regions: &Regions) -> Result<u64, TarWriteError> {
    let overlap = || io::Error::other("two members of a tar have the same place");
    let (mut members, _) = regions.members().ok_or_else(overlap)?;
    let end = close_up(file, &mut members)?;
    for member in members.iter().filter(|member| member.again) {
        verify(file, member)?;
    }
    Ok(end)
}

/// Moves what is behind holes over them. Gives the new end.
fn close_up(file: &fs_err::File, members: &mut [Member]) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut end = 0;
    for member in members {
        let Range { start, end: old_end } = member.place;
        let len = old_end.checked_sub(start).ok_or(io::ErrorKind::InvalidData)?;
        // All before it are together, so that it is not before them.
        let shift = start.checked_sub(end).ok_or(io::ErrorKind::InvalidData)?;
        if shift > 0 {
            move_down(file, member.place.clone(), end, &mut buffer)?;
            let down = |at: u64| at.checked_sub(shift).ok_or(io::ErrorKind::InvalidData);
            member.body = down(member.body.start)?..down(member.body.end)?;
            member.again = true;
        }
        let new_end = end.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        member.place = end..new_end;
        end = new_end;
    }
    Ok(end)
}

fn move_down(
    file: &fs_err::File,
    from: Range<u64>,
    mut to: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    let Range { start: mut at, end } = from;
    while at < end {
        let piece = piece(buffer, end.saturating_sub(at));
        file.file().read_exact_at(piece, at)?;
        file.file().write_all_at(piece, to)?;
        at = at.saturating_add(wide(piece.len()));
        to = to.saturating_add(wide(piece.len()));
    }
    Ok(())
}

/// Reads a member again: its bytes must be those that were written.
fn verify(file: &fs_err::File, member: &Member) -> Result<(), TarWriteError> {
    let mut hasher = Hasher::new(member.digest.algorithm());
    let mut buffer = vec![0; PIECE];
    let Range { start: mut at, end } = member.body;
    while at < end {
        let piece = piece(&mut buffer, end.saturating_sub(at));
        file.file().read_exact_at(piece, at)?;
        hasher.update(piece);
        at = at.saturating_add(wide(piece.len()));
    }
    let actual = hasher.finish();
    if actual == member.digest {
        return Ok(());
    }
    Err(StreamError::Digest { expected: member.digest.clone(), actual }.into())
}

fn piece(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_at_mut(len).0
}
