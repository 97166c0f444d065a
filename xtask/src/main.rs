//! Every habit of this project as one command: `cargo xtask demo | test | check | bench | man`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "xtask speaks to people")]

mod bench;
mod check;
mod demo;
mod image;
mod peers;
mod shell;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo    build the release program and watch it move a real image
  test    install what the tests need where that is possible, then run every test
  check   formatting, lints and the build, as every commit must pass them
  bench   our program beside the installed skopeo, as ratios  [--only NAME] [--runs N] [--small] [--ours PROGRAM]
  man     write the manual pages and shell completions from the flags
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match command.as_str() {
        "demo" => demo::run(),
        "test" => test::run(&rest),
        "check" => check::run(),
        "bench" => bench::run(&rest),
        "man" => check::man(),
        // Not for people: runs one command and reports what it used.
        "measure" => bench::measure::report(&rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
