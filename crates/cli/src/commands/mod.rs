//! One line per command.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod copy;
mod delete;
mod inspect;
mod judged;
mod layers;
mod list_tags;
mod login;
mod logout;
mod man;
mod manifest_digest;
mod policy;
#[cfg_attr(not(unix), path = "proxy/absent.rs")]
pub(crate) mod proxy;
#[cfg_attr(not(all(feature = "serve", target_os = "linux")), path = "serve/absent.rs")]
mod serve;
mod signatures;
pub(crate) mod sync;

use std::io::Write as _;

use anyhow::{Result, bail};

use crate::app::App;
use crate::args::command::Command;
use crate::args::global::Global;
use crate::args::names;
use crate::args::parse::Invocation;
use crate::args::value::Values;
use crate::args::{self, help};
use crate::exit::print;
use crate::report::{self, Report};
use crate::{go, logging, namespace};

/// Runs the command that was asked for. `authfile` is `$REGISTRY_AUTH_FILE`.
pub(crate) fn run(root: &Command, invocation: Invocation, authfile: Option<String>) -> Result<()> {
    let global = Global::new(&invocation.global, &invocation.root_flags);
    let Invocation { path, flags, arguments, .. } = invocation;
    logging::start(global.debug);
    match path.as_slice() {
        ["completion", shell] => {
            let descriptions = !flags.switch(names::NO_DESCRIPTIONS);
            return Ok(print(crate::completion::script(shell, descriptions))?);
        }
        ["help"] => return explain(root, &arguments),
        ["man"] => return man::run(&arguments),
        _ => global.check()?,
    }
    namespace::enter_if_needed(&path, &flags, &arguments)?;
    let app = App::new(global, authfile);
    dispatch(&app, &path, &flags, &arguments).map_err(|error| app.asked_wrongly(error))
}

fn dispatch(app: &App, path: &[&str], flags: &Values, arguments: &[String]) -> Result<()> {
    let deliver = |name, run: fn(&App, &Values, &[String], &Report) -> Result<()>| {
        report::deliver(app, flags, name, |report| run(app, flags, arguments, report))
    };
    match path {
        ["copy"] => deliver("copy", copy::run),
        ["generate-sigstore-key"] => signatures::generate(flags, arguments),
        ["layers"] => layers::run(app, flags, arguments),
        ["standalone-sign"] => signatures::sign(app, flags, arguments),
        ["standalone-verify"] => signatures::verify(flags, arguments),
        ["untrusted-signature-dump-without-verification"] => signatures::dump(arguments),
        ["delete"] => deliver("delete", delete::run),
        ["experimental-image-proxy"] => proxy::run(app, flags, arguments),
        ["inspect"] => inspect::run(app, flags, arguments),
        ["list-tags"] => list_tags::run(app, flags, arguments),
        ["login"] => deliver("login", login::run),
        ["logout"] => deliver("logout", logout::run),
        ["manifest-digest"] => manifest_digest::run(arguments),
        ["policy", "check"] => policy::check(app, flags, arguments),
        ["serve"] => serve::run(app, flags, arguments),
        ["sync"] => {
            report::deliver(app, flags, "sync", |report| sync::run(app, flags, arguments, report))
        }
        ["sync", "report", "merge"] => sync::merge::run(flags, arguments),
        other => bail!("{} is not part of this program", other.join(" ")),
    }
}

/// `help [command]`; an unknown one is no failure.
fn explain(root: &Command, names: &[String]) -> Result<()> {
    match args::find(root, names) {
        Some(path) => Ok(print(help::help(root, &path))?),
        None => {
            let names: Vec<String> = names.iter().map(|name| go::quote_raw(name)).collect();
            let text =
                format!("Unknown help topic [{}]\n{}", names.join(" "), help::usage(root, &[]));
            let _ = std::io::stderr().write_all(text.as_bytes());
            Ok(())
        }
    }
}
