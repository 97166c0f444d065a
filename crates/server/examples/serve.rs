//! Serves a folder as a registry until its standard input ends.
//!
//! `cargo run -p skopeo-server --example serve -- FOLDER 256`, with the MiB of memory that clients
//! may take.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io::Read as _;

use skopeo_server::{Durability, Memory, Registry, ServerOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, memory] = &words[..] else { return Err("usage: serve FOLDER MEMORY".into()) };
    let mut options = ServerOptions::new(folder);
    options.limits.memory = Memory::new(memory.parse::<u64>()? << 20);
    // What was answered survives the end of this process, but not a failure of power.
    options.durability = Durability::Kill;
    let serving = Registry::open(options)?.listen("127.0.0.1:0").await?;
    println!("listening {}", serving.address());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    serving.stop().await;
    Ok(())
}
