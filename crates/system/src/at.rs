//! Reading and writing at a place in a file, which several may do at once.

use std::fs::File;
use std::io;

/// A file that is read and written at places, in bytes from its beginning.
///
/// Where the file goes on from is not to be relied on afterwards: Windows moves that.
pub trait At {
    /// Reads some bytes at a place; none at the end.
    ///
    /// # Errors
    /// If the system cannot.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes some bytes at a place.
    ///
    /// # Errors
    /// If the system cannot.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Fills the buffer from a place on.
    ///
    /// # Errors
    /// If there is less, or the system cannot.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                    at = behind(at, read)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all bytes from a place on.
    ///
    /// # Errors
    /// If the system cannot.
    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    at = behind(at, written)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn behind(at: u64, bytes: usize) -> io::Result<u64> {
    let bytes = u64::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    at.checked_add(bytes).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

#[cfg(unix)]
impl At for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, at)
    }
}

#[cfg(windows)]
impl At for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match std::os::windows::fs::FileExt::seek_read(self, buffer, at) {
            // ERROR_HANDLE_EOF: the place is behind the end.
            Err(error) if error.raw_os_error() == Some(38) => Ok(0),
            read => read,
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(self, bytes, at)
    }
}

#[cfg(unix)]
impl At for fs_err::File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        fs_err::os::unix::fs::FileExt::read_at(self, buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        fs_err::os::unix::fs::FileExt::write_at(self, bytes, at)
    }
}

#[cfg(windows)]
impl At for fs_err::File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file().read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        fs_err::os::windows::fs::FileExt::seek_write(self, bytes, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_at_places() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        file.write_all_at(b"xyz", 4).unwrap();
        let mut all = [0; 7];
        file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(&all, b"abcdxyz");
        assert_eq!(file.read_at(&mut all, 5).unwrap(), 2);
        assert_eq!(file.read_at(&mut all, 7).unwrap(), 0);
        assert_eq!(file.read_at(&mut all, 99).unwrap(), 0);
        let short = file.read_exact_at(&mut all, 1).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
