//! What has come of a run: values.
//!
//! `entry` is what has come of each image, `totals` sums it up, `record` is all of it as a program
//! reads it, `merge` makes one record of several. `deletion` is what an exact mirror has deleted,
//! `table` is a record for people.

mod deletion;
mod entry;
mod merge;
mod record;
mod table;
mod totals;

pub use deletion::{Deletion, DeletionOutcome};
pub use entry::{Bytes, Entry, Outcome, Problem, Unlisted};
pub use record::{Record, Recorded};
pub use totals::Totals;
