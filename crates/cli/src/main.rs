//! The program `skopeo`.

use std::process::ExitCode;

/// musl's own allocator gives all threads one lock.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    skopeo_cli::main()
}
