//! Whole runs through the public interface, against a registry in this process.
#![expect(clippy::unwrap_used, reason = "helpers of tests are no tests")]

mod fixture;
mod runs;

#[expect(dead_code, reason = "its `main` is for those who run it")]
#[path = "../../examples/mirror.rs"]
mod mirror;
