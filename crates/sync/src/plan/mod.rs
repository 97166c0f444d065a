//! What a run would do, kept for another run: names, digests, and what was asked for. Credentials
//! are none of these.
//!
//! `values` is what a plan says of its images, `access` how registries are reached, `deletions` what
//! is deleted. `file` reads a plan, `tasks` makes a run of it, `table` is a plan for people.

mod access;
mod deletions;
mod file;
mod table;
mod tasks;
mod values;

pub use access::Access;
pub(crate) use deletions::{Around, Deletions, Repository};
pub use deletions::{Mirroring, PlannedDeletion};
pub use file::{PlanFile, VERSION};
pub use values::{Blobs, Destination, Estimate, Plan, Planned, Sum};
