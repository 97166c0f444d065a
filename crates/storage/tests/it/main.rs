//! Stores on disk, with podman and buildah as judges, and with programs that are ended in the
//! middle of their work.

#![expect(clippy::unwrap_used, reason = "helpers of tests are no tests to clippy")]

mod contents;
mod crash;
mod hostile;
mod images;
mod layers;
mod many;
mod podman;
mod support;
mod worker;
