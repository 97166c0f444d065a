//! User namespaces in a program that has no stores of podman: nothing needs one.

use anyhow::Result;

use crate::args::value::Values;

/// Does nothing.
pub(crate) fn enter_if_needed(_: &[&str], _: &Values, _: &[String]) -> Result<()> {
    Ok(())
}
