//! Whole runs through the public interface, against a registry in this process.

mod fixture;
mod runs;

#[expect(dead_code, reason = "its `main` is for those who run it")]
#[path = "../../examples/mirror.rs"]
mod mirror;
