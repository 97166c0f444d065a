//! Doors for the fuzz targets; nobody else goes through them.

use crate::codec::Joiner;

/// Returns a deflate stream with an open end, as the joiner makes it of one that ends; `None` if it
/// takes it for none.
#[must_use]
pub fn open_end(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = deflated.to_vec();
    bytes.extend_from_slice(&[0xaa; Joiner::ROOM]);
    let len = Joiner::default().open_end(&mut bytes, deflated.len())?;
    bytes.truncate(len);
    Some(bytes)
}
