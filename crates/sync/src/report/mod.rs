//! What has come of a run: values.
//!
//! `entry` is what has come of each image, `totals` sums it up, `record` is all of it as a program
//! reads it, `merge` makes one record of several. `deletion` is what an exact mirror has deleted,
//! `digests` lists what is where it should be.

mod deletion;
mod digests;
mod entry;
mod merge;
mod record;
mod totals;

pub use deletion::{Deletion, DeletionOutcome};
pub use digests::DigestLines;
pub use entry::{Bytes, Entry, Outcome, Problem, Unlisted};
pub use record::{Record, Recorded};
pub use totals::Totals;
