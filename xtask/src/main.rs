//! Every habit of this project as one command: `cargo xtask demo | test | check | fuzz | bench | book | dist | drop-in | man`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "xtask speaks to people")]

#[cfg(feature = "bench")]
mod bench;
mod book;
mod check;
mod demo;
#[cfg(feature = "dist")]
mod dist;
mod drop_in;
mod fuzz;
mod image;
mod importer;
mod instructions;
mod judges;
mod peers;
mod shell;
mod supply;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo    build the program and watch it move a real image
  test    install what the tests need where that is possible, then run every test
  check   formatting, lints, the build and what it is made of, as every commit must pass them
          --bench: only whether hot work takes more instructions than xtask/instructions.json says
          --systems: only whether the program compiles for Windows and macOS
  fuzz    inputs made at random for all that reads what others wrote
          [--target NAME] [--inputs N | --seconds N] [--jobs N] [--start N]
  bench   our program beside the installed skopeo, as ratios  [--only NAME ...] [--runs N]
          [--small | --layer MB] [--ours PROGRAM] [--not-installed]
          and beside others [--peer NAME=PROGRAM ...]; kept in [--json FILE] and [--plot SVG]
  book    build the manual of docs/ as a book, if mdbook is there
  dist    build what users install, pack it, and try the packages
          [--target MACHINE] [--program MACHINE=PATH] [--profile NAME] [--out FOLDER] [--no-try]
          --twice: build each program again in another folder; the bytes must be the same
  drop-in real programs that start skopeo, with ours first on the path  [--program PATH]
  man     write the manual pages and shell completions from the flags
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match command.as_str() {
        "demo" => demo::run(),
        "test" => test::run(&rest),
        "check" if rest == ["--bench"] => instructions::check(),
        "check" if rest == ["--systems"] => check::systems(),
        "check" => check::run(),
        "fuzz" => fuzz::run(&rest),
        "bench" => bench(&rest),
        "dist" => dist(&rest),
        "book" => book::run(),
        "drop-in" => drop_in::run(&rest),
        "man" => check::man(),
        // Not for people: runs one command and reports what it used.
        #[cfg(feature = "bench")]
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

#[cfg(feature = "bench")]
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    bench::run(arguments)
}

#[cfg(not(feature = "bench"))]
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    again("bench", arguments)
}

#[cfg(feature = "dist")]
fn dist(arguments: &[String]) -> anyhow::Result<()> {
    dist::run(arguments)
}

#[cfg(not(feature = "dist"))]
fn dist(arguments: &[String]) -> anyhow::Result<()> {
    again("dist", arguments)
}

/// Runs this program again, built with everything in it.
#[cfg(not(all(feature = "bench", feature = "dist")))]
fn again(command: &str, arguments: &[String]) -> anyhow::Result<()> {
    let run = ["run", "--quiet", "--package", "xtask", "--", command];
    shell::run(shell::cargo().args(run).args(arguments))
}
