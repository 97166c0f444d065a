//! The program `skopeo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    skopeo_cli::main()
}
