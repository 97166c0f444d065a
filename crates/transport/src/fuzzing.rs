//! Doors for the fuzz targets; nobody else goes through them.

/// Whatever lies in a tar, what is found in it is in it, and under a clean name.
///
/// # Panics
/// If it is not.
pub fn tar_index(bytes: &[u8]) {
    crate::tar::check_index(bytes);
}

/// What parses as a name in a store of podman means the same when it is printed, with the store and
/// without, whatever images there are.
///
/// # Panics
/// If it does not.
pub fn storage_name(text: &str) {
    crate::storage::check_name(text);
}
