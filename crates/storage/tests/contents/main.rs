//! Tars become files and the same tars again: whole ones, odd ones, hostile ones, and those of
//! others.

#![expect(clippy::unwrap_used, reason = "helpers of tests are no tests to clippy")]

mod files;
mod hostile;
mod make;
mod odd;
mod twins;
