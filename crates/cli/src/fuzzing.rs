//! Doors for the fuzz targets; nobody else goes through them.

use std::path::Path;

/// Reads a file as each of those that `sync` reads: a lock, a plan, a report, a state.
pub fn read_sync_files(path: &Path) {
    crate::commands::sync::read_as_any(path);
}

/// Reads a packet as a request to `experimental-image-proxy`.
///
/// # Errors
/// What the client is told if it is not valid.
#[cfg(unix)]
pub fn read_proxy_request(packet: &[u8]) -> Result<(), String> {
    use crate::commands::proxy::request::Request;
    Request::parse(packet).map(drop).map_err(|refusal| refusal.to_string())
}
