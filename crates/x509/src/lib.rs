//! Which certificates vouch for which, by the rules of Go's x509.
//!
//! Values and judgement only: bytes, names and a moment go in. Who speaks TLS asks of servers, who
//! verifies signatures asks of signers.
//!
//! # Example
//!
//! ```
//! use skopeo_x509::{Certificate, check_hostname};
//!
//! let made = rcgen::generate_simple_self_signed(["example.com".to_owned()])?;
//! let certificate = Certificate::parse(made.cert.der())?;
//! assert!(check_hostname(&certificate, "example.com").is_ok());
//! assert!(check_hostname(&certificate, "example.org").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod certificate;
mod chain;
mod constraints;
pub mod der;
mod hostname;
mod refused;

pub use certificate::{Certificate, Names, Usages};
pub use chain::{Algorithms, Purpose, Roots, algorithms, has_signed, verify};
pub use hostname::check as check_hostname;
pub use refused::Refused;
