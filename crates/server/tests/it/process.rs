//! A server in a process of its own, so that it can be killed, and its memory be asked for.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts the example `serve` for a folder, which lets clients take so many MiB. It ends with its
/// standard input.
pub(crate) fn start(folder: &Path, memory: u64) -> (Child, SocketAddr) {
    // Tests lie in `deps`, beside which `examples` is.
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/serve");
    let started = Command::new(&program)
        .arg(folder)
        .arg(memory.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.unwrap_or_else(|error| {
        panic!("{}: {error}: build the examples of this crate too", program.display())
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.filter_map(|line| line.strip_prefix("listening ")?.parse().ok()).next();
    (child, address.unwrap())
}
