//! How much of a blob is handed over at once, and how much of it waits.

/// The size of what is handed to a thread at once, in bytes: some thousand hand-overs per GiB.
pub(crate) const BATCH: usize = 128 * 1024;

/// The size of what an encoder puts out, in bytes: always the same, so that memory freed by one
/// piece fits the next.
pub(crate) const PIECE: usize = 64 * 1024;

/// How many batches wait between two threads. More was no faster, and with six blobs at once and
/// what the network's buffers hold behind each piece it was 8 MiB more.
pub(crate) const DEPTH: usize = 1;
