//! The headers of tars.

/// Whatever lies in a tar, what is found in it is in it, and under a clean name.
pub(super) fn index(data: &[u8]) {
    skopeo_archive::fuzzing::tar_index(&summed(data));
}

/// The same with right checksums: nobody guesses them.
pub(super) fn summed(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for block in bytes.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

/// Many write to one tar at the same time, of whom some lie, fail or go away: what is in it in the end
/// is what its names say.
pub(super) fn writer(data: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    skopeo_archive::fuzzing::play_writer(data, folder.path());
}
