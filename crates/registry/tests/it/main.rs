//! The client against a server that misbehaves on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod server;

mod authorization;
mod connections;
mod downloads;
mod encodings;
mod http2;
mod insecure;
mod manifests;
mod pace;
mod ranges;
mod tags;
mod tls;
mod uploads;
