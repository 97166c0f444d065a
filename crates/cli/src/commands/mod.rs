//! One line per command.

mod manifest_digest;

use std::io::Write as _;

use anyhow::Result;

use crate::args::command::Command;
use crate::args::global::Global;
use crate::args::parse::Invocation;
use crate::args::{self, help};
use crate::exit::print;
use crate::go;
use crate::logging;

/// Runs the command that was asked for. `authfile` is `$REGISTRY_AUTH_FILE`.
pub(crate) fn run(root: &Command, invocation: Invocation, _authfile: Option<&str>) -> Result<()> {
    let global = Global::new(&invocation.global, &invocation.root_flags);
    let Invocation { path, flags, arguments, .. } = invocation;
    logging::start(global.debug);
    match path.as_slice() {
        ["completion", shell] => {
            let descriptions = !flags.switch("no-descriptions");
            Ok(print(crate::completion::script(shell, descriptions))?)
        }
        ["help"] => explain(root, &arguments),
        _ => {
            global.check()?;
            match path.as_slice() {
                ["manifest-digest"] => manifest_digest::run(&arguments),
                _ => anyhow::bail!("{} is not built into this program", path.join(" ")),
            }
        }
    }
}

/// `help [command]`; an unknown one is no failure.
fn explain(root: &Command, names: &[String]) -> Result<()> {
    match args::find(root, names) {
        Some((_, path)) => Ok(print(help::help(root, &path))?),
        None => {
            let names: Vec<String> = names.iter().map(|name| go::quote_raw(name)).collect();
            let text =
                format!("Unknown help topic [{}]\n{}", names.join(" "), help::usage(root, &[]));
            let _ = std::io::stderr().write_all(text.as_bytes());
            Ok(())
        }
    }
}
