//! Who owns a file on the host that has an owner in a layer.

use super::reader::Entry;
use super::{Apply, Error, IdRange, Result, error::shown};

/// A user and a group on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// The owner of an entry.
    pub(super) fn of(entry: &Entry, how: &Apply<'_>) -> Result<Self> {
        let id = |kind, id, map: &[IdRange]| {
            let unknown = || Error::Id { name: shown(&entry.name), kind, id };
            // The last one means "as it is" to the kernel.
            let known = number(id).filter(|id| *id != u32::MAX).ok_or_else(unknown)?;
            to_host(known, map).ok_or_else(unknown)
        };
        Ok(Self {
            uid: id("user ID", entry.uid, how.uid_map)?,
            gid: id("group ID", entry.gid, how.gid_map)?,
        })
    }

    /// The owner of folders that the layer does not have itself; none if that is the process.
    pub(super) fn root(how: &Apply<'_>) -> Option<Self> {
        if how.uid_map.is_empty() && how.gid_map.is_empty() {
            return None;
        }
        Some(Self { uid: to_host(0, how.uid_map)?, gid: to_host(0, how.gid_map)? })
    }

    pub(super) fn user(self) -> rustix::fs::Uid {
        rustix::fs::Uid::from_raw(self.uid)
    }

    pub(super) fn group(self) -> rustix::fs::Gid {
        rustix::fs::Gid::from_raw(self.gid)
    }
}

/// An id of a header. Old writers have those above 2³¹ as negative ones.
pub(super) fn number(id: i64) -> Option<u32> {
    u32::try_from(id).ok().or_else(|| i32::try_from(id).ok().map(i32::cast_unsigned))
}

fn to_host(id: u32, map: &[IdRange]) -> Option<u32> {
    if map.is_empty() {
        return Some(id);
    }
    map.iter().find_map(|range| {
        let offset = id.checked_sub(range.container).filter(|offset| *offset < range.size)?;
        range.host.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped() {
        let map = [
            IdRange { container: 0, host: 1000, size: 1 },
            IdRange { container: 1, host: 100_000, size: 65_536 },
        ];
        for (id, host) in
            [(0, Some(1000)), (1, Some(100_000)), (65_536, Some(165_535)), (65_537, None)]
        {
            assert_eq!(to_host(id, &map), host, "{id}");
        }
        assert_eq!(to_host(70_000, &[]), Some(70_000));
        assert_eq!(number(-2), Some(4_294_967_294));
        assert_eq!(number(1 << 32), None);
    }
}
