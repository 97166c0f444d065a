//! Files that are opened through no link, and without waiting for another program.

use std::fs::OpenOptions;

/// How a file is opened.
pub trait Opening {
    /// Opens a file, but not what a link leads to, and where `waits` is false, a pipe without waiting for
    /// its other end. On Windows a link itself is opened, which is no regular file then.
    fn no_link(&mut self, waits: bool) -> &mut Self;

    /// Opens a pipe without waiting for its other end.
    fn no_wait(&mut self) -> &mut Self;

    /// Gives a file that is made this mode, less what the umask takes. Not on Windows.
    fn made_with(&mut self, mode: u32) -> &mut Self;
}

#[cfg(unix)]
impl Opening for OpenOptions {
    fn no_link(&mut self, waits: bool) -> &mut Self {
        use rustix::fs::OFlags;

        let flags = if waits { OFlags::empty() } else { OFlags::NONBLOCK };
        custom(self, OFlags::NOFOLLOW | flags)
    }

    fn no_wait(&mut self) -> &mut Self {
        custom(self, rustix::fs::OFlags::NONBLOCK)
    }

    fn made_with(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(self, mode)
    }
}

#[cfg(unix)]
fn custom(options: &mut OpenOptions, flags: rustix::fs::OFlags) -> &mut OpenOptions {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags)
}

#[cfg(windows)]
impl Opening for OpenOptions {
    fn no_link(&mut self, _: bool) -> &mut Self {
        // FILE_FLAG_OPEN_REPARSE_POINT.
        std::os::windows::fs::OpenOptionsExt::custom_flags(self, 0x0020_0000)
    }

    fn no_wait(&mut self) -> &mut Self {
        self
    }

    fn made_with(&mut self, _: u32) -> &mut Self {
        self
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs_err::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for waits in [false, true] {
            assert!(OpenOptions::new().read(true).no_link(waits).open(&file).is_ok());
            assert!(OpenOptions::new().read(true).no_link(waits).open(&link).is_err());
        }
        assert!(OpenOptions::new().read(true).no_wait().open(&link).is_ok());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(OpenOptions::new().read(true).no_wait().open(&pipe).is_ok());
        assert!(OpenOptions::new().read(true).no_link(false).open(&pipe).is_ok());
    }
}
