//! The program: flags in, words out.
//!
//! Knows flags, commands, templates, progress, logs and exit codes. Must not know what is inside a
//! manifest, nor HTTP. It makes configuration, policy and connections once and hands them down.
//! It is a library only so that tests and the manual can read the table of flags; nobody else
//! depends on it.

// A program without some of its parts has words that nobody says.
#![cfg_attr(not(all(feature = "serve", target_os = "linux")), allow(dead_code))]

mod app;
mod args;
mod commands;
mod completion;
mod defect;
mod exit;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod go;
mod gpg;
#[cfg_attr(not(feature = "encryption"), path = "keys_absent.rs")]
mod keys;
mod lines;
mod logging;
mod machine;
pub mod man;
#[cfg_attr(not(all(feature = "storage", target_os = "linux")), path = "namespace_absent.rs")]
mod namespace;
mod progress;
mod prompt;
mod report;
mod retry;
#[cfg_attr(windows, path = "signals_windows.rs")]
mod signals;
mod signing;
mod template;

use std::process::ExitCode;

use anyhow::Error;
use args::global;
use args::parse::{self, Parsed};
use exit::{ErrorFormat, Invalid, Manner, UsageError, print};

/// Runs the program on the words it was called with.
#[must_use]
pub fn main() -> ExitCode {
    defect::end_on_panic();
    let mut manner = Manner::default();
    match run(&mut manner) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, &manner),
    }
}

/// `manner` is how to tell of a failure, as soon as that is known.
fn run(manner: &mut Manner) -> Result<(), Error> {
    let words = std::env::args_os()
        .skip(1)
        .map(|word| word.into_string())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|word| anyhow::anyhow!("argument is not valid UTF-8: {}", word.display()))
        .map_err(Invalid)?;
    let authfile = std::env::var("REGISTRY_AUTH_FILE").ok().filter(|path| !path.is_empty());
    let root = args::tree(authfile.clone());
    if let Some(with) = completion::requested(&words) {
        return completion::complete(&root, with, &words[1..]);
    }
    *manner = global::manner_of_words(&words);
    match parse::parse(&root, &words)? {
        Parsed::Version => Ok(print(format!("skopeo version {}\n", version()))?),
        Parsed::Help(path) => Ok(print(args::help::help(&root, &path))?),
        Parsed::Run(invocation) => {
            *manner = global::manner(&invocation.global)?;
            let path = invocation.path.clone();
            let done = commands::run(&root, invocation, authfile);
            if let Err(error) = &done
                && error.downcast_ref::<UsageError>().is_some()
                && manner.errors == ErrorFormat::Text
            {
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    args::help::help(&root, &path).as_bytes(),
                );
            }
            done
        }
    }
}

/// The original whose commands, flags, files and messages we have. Scripts and libraries ask for at
/// least 1.6 or so of it.
const COMPATIBLE_WITH: &str = "1.24.0";

/// What `--version` says: the original's form for the original that we stand in for, with the commit
/// if the build was told, and then who we are.
fn version() -> String {
    let commit = option_env!("SKOPEO_COMMIT").map(|commit| format!(" commit: {commit}"));
    let commit = commit.unwrap_or_default();
    format!("{COMPATIBLE_WITH}{commit} (skopeo-rs {})", env!("CARGO_PKG_VERSION"))
}
