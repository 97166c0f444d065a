//! Doors for the fuzz targets; nobody else goes through them.

/// What parses as a name in a store of podman means the same when it is printed, with the store and
/// without, whatever images there are.
///
/// # Panics
/// If it does not.
#[cfg(all(feature = "storage", target_os = "linux"))]
pub fn storage_name(text: &str) {
    crate::storage::check_name(text);
}
