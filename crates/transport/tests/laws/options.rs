//! Options of a machine that has nothing.

use std::path::Path;
use std::sync::Arc;

use skopeo_config::{Config, Environment, Overrides};
use skopeo_transport::{Connections, Options};

/// Options of a machine whose configuration is all below `root`: none, at first.
pub(crate) fn options(root: &Path) -> Options {
    options_with(root, &[])
}

/// The same with these variables.
pub(crate) fn options_with(root: &Path, variables: &[(&'static str, String)]) -> Options {
    let more = variables.iter().map(|(name, value)| (*name, value.as_str()));
    let variables = [("PATH", "/usr/bin")].into_iter().chain(more);
    let environment = Environment::fixed(variables, root.join("home"), 1000, root);
    let config = Config::with_environment(Overrides::default(), environment);
    Options::new(Arc::new(config), Connections::new())
}
