//! This machine, as policies see it: files of keys and the clock.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::io::Read as _;
use std::time::SystemTime;

use skopeo_blob::FileError;
use skopeo_trust::Machine;

/// The largest file of keys, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The files and the clock of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    fn key_file(&self, path: &str) -> Result<Vec<u8>, String> {
        let read = || -> Result<Vec<u8>, FileError> {
            let mut bytes = Vec::new();
            let mut file = fs_err::File::open(path)?.take(MAX_FILE.saturating_add(1));
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| error.to_string())?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
            Ok(bytes)
        } else {
            Err(format!("read {path}: a key file may have at most {MAX_FILE} bytes"))
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
