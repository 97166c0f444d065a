//! Who may be believed.
//!
//! Knows policy.json and judges manifests and signatures by it. Sees bytes and names only: it must
//! not know transports, files, the network or the environment.
//!
//! [`Policy::admit`] is the only way to an [`Admitted`] manifest, and nothing else may be copied.

mod admit;
mod error;
pub mod policy;

pub use admit::Admitted;
pub use error::{PolicyError, Rejected};
pub use policy::Policy;
