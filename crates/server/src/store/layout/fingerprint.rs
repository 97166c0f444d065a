//! By what two indexes are told from each other.

use std::io::{self, Write};

use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, Hasher};

use crate::store::index::Index;

/// By what two texts of indexes are told from each other: neither need be in memory.
pub(super) struct Fingerprint {
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

impl Fingerprint {
    pub(super) fn of(index: &Index) -> io::Result<Self> {
        struct Printer(Hasher, u64);
        impl Write for Printer {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                self.1 = self.1.saturating_add(wide(bytes.len()));
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut printer = io::BufWriter::new(Printer(Hasher::new(Algorithm::Sha256), 0));
        index.write(&mut printer)?;
        let Printer(hasher, size) = printer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { digest: hasher.finish(), size })
    }
}
