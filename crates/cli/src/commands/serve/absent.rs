//! `serve` in a program that was built without it.

use anyhow::Result;
use skopeo_image::ErrorClass;

use crate::app::App;
use crate::args::value::Values;
use crate::exit::Classed;

/// Refuses the command by its name.
pub(crate) fn run(_: &App, _: &Values, _: &[String]) -> Result<()> {
    let sentence = if cfg!(target_os = "linux") {
        "this build of skopeo lacks the command serve (the feature \"serve\" of its crate)"
    } else {
        "skopeo serves on Linux only"
    };
    let (class, sentence) = (ErrorClass::Unsupported, sentence.to_owned());
    Err(Classed { class, sentence, hint: None }.into())
}
