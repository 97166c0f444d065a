//! Which sources a file may name.

use skopeo_image::ErrorClass;
use skopeo_transport::{ImageName, Options};

use crate::{Error, Result};

/// Transports that `sync` reads from.
const SOURCES: [&str; 5] = ["docker", "dir", "oci", "oci-archive", "docker-archive"];

/// Refuses sources that no run of `sync` has, and credentials of the command line that would go to
/// whatever registries a file names.
///
/// # Errors
/// If there are some.
pub(crate) fn check_sources<'a>(
    sources: impl Iterator<Item = &'a ImageName>,
    options: &Options,
) -> Result<()> {
    let given = options.registry.credentials.is_some() || options.registry.registry_token.is_some();
    let mut host: Option<&str> = None;
    for source in sources {
        if !SOURCES.contains(&source.transport()) {
            return wrong(format!("{source} is nothing that sync reads from"));
        }
        let Some(reference) =
            source.docker_reference().filter(|_| given && source.is_in_registry())
        else {
            continue;
        };
        let domain = reference.name.domain();
        if host.is_some_and(|host| host != domain) {
            return wrong(
                "the images come from several registries, and the credentials are for one: log in \
                 to all of them"
                    .to_owned(),
            );
        }
        host = Some(domain);
    }
    Ok(())
}

fn wrong(sentence: String) -> Result<()> {
    Err(Error::classed(ErrorClass::InvalidInput, sentence))
}
