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
        // A pipe to which nobody writes would be waited for, for ever.
        if fs_err::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            return Err(format!("read {path}: not a regular file"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_keys_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (pipe, huge, key) = (path("pipe"), path("huge"), path("key"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        fs_err::File::create(&huge).unwrap().set_len(MAX_FILE + 1).unwrap();
        fs_err::write(&key, "key").unwrap();
        std::os::unix::fs::symlink(&key, folder.path().join("link")).unwrap();
        for (path, expected) in [
            (&*pipe, Err(format!("read {pipe}: not a regular file"))),
            ("/dev/zero", Err("read /dev/zero: not a regular file".to_owned())),
            (&*huge, Err(format!("read {huge}: a key file may have at most 16777216 bytes"))),
            (&*key, Ok(b"key".to_vec())),
            (&*path("link"), Ok(b"key".to_vec())),
            (&*path("none"), Err(format!("open {}: no such file or directory", path("none")))),
        ] {
            assert_eq!(ThisMachine.key_file(path), expected, "{path}");
        }
        let folder = folder.path().to_str().unwrap();
        assert_eq!(ThisMachine.key_file(folder), Err(format!("read {folder}: is a directory")));
    }
}
