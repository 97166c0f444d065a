//! Who may be believed.
//!
//! Knows policy.json and judges manifests and signatures by it. Sees bytes and names only: it must
//! not know transports, files, the network or the environment. Whoever asks for a judgement lends
//! it a [`Machine`], which has the files of keys and the time.
//!
//! [`Policy::admit`] is the only way to an [`Admitted`] manifest, and nothing else may be copied.
//!
//! # Example
//!
//! ```
//! use skopeo_image::PolicyScope;
//! use skopeo_trust::Policy;
//!
//! let text = br#"{
//!     "default": [{"type": "reject"}],
//!     "transports": {"docker": {"example.com": [{"type": "insecureAcceptAnything"}]}}
//! }"#;
//! let policy = Policy::parse(text, "policy.json")?;
//! let image = |host: &str| PolicyScope {
//!     name: format!("docker://{host}/app:1"),
//!     transport: "docker",
//!     identity: format!("{host}/app:1"),
//!     namespaces: vec![format!("{host}/app"), host.to_owned()],
//!     reference: Some(format!("{host}/app:1")),
//! };
//! assert!(policy.accepts_unsigned(&image("example.com")));
//! assert!(!policy.accepts_unsigned(&image("example.org")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod admit;
mod error;
mod hex;
mod machine;
#[cfg_attr(not(feature = "openpgp"), path = "openpgp/absent.rs")]
pub mod openpgp;
mod payload;
pub mod policy;
mod requirement;
pub mod sign;
mod signed_by;
mod sigstore;
mod strict;

pub use admit::{Admitted, Judgement};
pub use error::{PolicyError, Rejected, SignatureError};
pub use machine::Machine;
pub use payload::{Payload, PayloadError};
pub use policy::Policy;
pub use sigstore::BundleClaims;

/// More signatures of one image are not judged. The original reads up to 128 from a server.
pub const MAX_SIGNATURES: usize = 1024;

/// An error and all its causes, as one sentence.
#[cfg(test)]
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
