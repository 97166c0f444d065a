//! Which certificates vouch for which, by the rules of Go's x509.
//!
//! Values and judgement only: bytes, names and a moment go in. Who speaks TLS asks of servers, who
//! verifies signatures asks of signers.

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
