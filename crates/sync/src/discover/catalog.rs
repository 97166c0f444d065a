//! `--src registry`: all repositories of a registry.

use skopeo_image::go::quote;
use skopeo_image::{ErrorClass, Named, Reference};
use skopeo_transport::Options;
use tracing::error;

use super::search::Search;
use crate::select::Filter;
use crate::{Context as _, Error, Result, retry};

/// The repositories of a registry in whose names the expression matches somewhere, in the
/// registry's order, and how many of its names are none.
///
/// # Errors
/// If the host is not valid, or does not list them.
pub(crate) async fn repositories(
    host: &str,
    matching: Option<&str>,
    options: &Options,
    search: &Search<'_>,
) -> Result<(Vec<Reference>, usize)> {
    // What a repository can be in is a host.
    let domain = Named::parse_normalized(&format!("{host}/x"));
    if !domain.is_ok_and(|name| name.domain() == host) {
        let sentence = format!("{} is no host of a registry", quote(host));
        return Err(Error::classed(ErrorClass::InvalidInput, sentence));
    }
    let filter = Filter::new(matching.as_slice(), &[], None)?;
    if let Some(lock) = search.locked {
        return Ok((lock.repositories(host, matching)?, 0));
    }
    let listed = retry::with(search.retry, async || {
        Ok(search.transports.repositories(host, options).await?)
    });
    let listed = listed.await.with_context(|| format!("listing the repositories of {host}"))?;
    let (mut repositories, mut failed) = (Vec::new(), 0_usize);
    for path in listed.into_iter().filter(|path| filter.evaluate(path).is_ok()) {
        match Named::parse_normalized(&format!("{host}/{path}")) {
            // Docker Hub would have library/ added.
            Ok(name) if name.path() == path => repositories.push(name.into()),
            _ => {
                let repo = path.as_str();
                error!(registry = host, repo, "Error parsing repository name, skipping");
                failed = failed.saturating_add(1);
            }
        }
    }
    Ok((repositories, failed))
}
