//! `experimental-image-proxy` where it cannot be: it passes descriptors over a socket, as only Unix does.

use anyhow::Result;
use skopeo_image::ErrorClass;

use crate::app::App;
use crate::args::value::Values;
use crate::exit::Classed;

/// Refuses the command by its name.
pub(crate) fn run(_: &App, _: &Values, _: &[String]) -> Result<()> {
    let sentence = "experimental-image-proxy needs a system of Unix's kind".to_owned();
    Err(Classed { class: ErrorClass::Unsupported, sentence, hint: None }.into())
}
