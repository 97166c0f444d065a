//! Files of `sync`.

use skopeo_sync::config::{SyncFile, World};

use super::image::with_file;

/// The file of `--src yaml` is read or refused.
pub(super) fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let world = World {
        variable: &|name| (name != "UNSET").then(|| "value: [".to_owned()),
        template: &|text| Err(text.to_owned()),
    };
    if let Err(error) = SyncFile::parse(text, world) {
        // It is shown on terminals.
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

/// Plans, locks, reports and states are read or refused.
pub(super) fn files(data: &[u8]) {
    with_file(data, skopeo_cli::fuzzing::read_sync_files);
}
