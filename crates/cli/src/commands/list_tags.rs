//! `list-tags docker://REPOSITORY`, and `list-tags docker-archive:PATH`, `oci:PATH` or
//! `oci-archive:PATH`.

use std::collections::HashMap;
use std::io::Write as _;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use skopeo_image::{Reference, go_json};
use skopeo_sync::select::{self, Dropped, Order};
use skopeo_sync::tag_info::{TagInfo, TagQuery};
use skopeo_transport::{ImageName, Options, find};
use tracing::warn;

use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::image;
use crate::args::tags::Listing;
use crate::args::value::Values;
use crate::exit::{UsageError, print, with_hint};
use crate::{go, retry};

/// What is printed, in this order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(skip_serializing_if = "String::is_empty")]
    repository: String,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_details: Option<Vec<Details>>,
}

/// What is known of one tag, or why nothing is.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    tag: String,
    #[serde(flatten)]
    facts: Option<TagInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The transports whose tags are listed, as errors name them.
const LISTING: &str = "docker, docker-archive, oci, oci-archive";

/// Those of a repository are listed by its name, which has no tag itself.
const REGISTRIES: &str = "docker";

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [image] = arguments else {
        return Err(UsageError("Exactly one non-option argument expected").into());
    };
    let listing = Listing::new(flags)?;
    let options = app.options(&app.image(flags, Prefix::None)?);
    let transport = image.split_once(':').and_then(|(transport, _)| find(transport));
    let Some(transport) = transport else {
        let failure = anyhow!("Invalid {}: does not specify a transport", go::quote(image));
        return Err(match Reference::parse_normalized(image) {
            Ok(_) => {
                with_hint(failure, format!("use docker://{image} for a repository in a registry"))
            }
            Err(_) => failure,
        });
    };
    if !transport.lists_tags {
        bail!(
            "Unsupported transport '{}' for tag listing. Only supported: {LISTING}",
            transport.name
        );
    }
    let (name, repository) = if transport.name == REGISTRIES {
        let name = ImageName::parse_repository(image)?;
        let repository = name.docker_reference().map(|reference| reference.name.to_string());
        (name, repository)
    } else {
        (ImageName::parse(image)?, None)
    };
    app.doing(format!("listing the tags of {name}"));
    let (tags, tag_details) = app.run(retry::with(image::retries(flags), async || {
        let tags = skopeo_transport::tags(&name, &options).await;
        let tags = if repository.is_some() {
            tags.context("Error listing repository tags")?
        } else {
            tags?
        };
        choose(app, &name, &options, &listing, tags).await
    }))?;
    let output = Output { repository: repository.unwrap_or_default(), tags, tag_details };
    let mut json = go_json::to_vec_indent(&output, "", "    ")?;
    json.push(b'\n');
    Ok(print(json)?)
}

/// Leaves what is wanted of the tags, in the order in which it is wanted.
async fn choose(
    app: &App,
    name: &ImageName,
    options: &Options,
    listing: &Listing,
    mut tags: Vec<String>,
) -> Result<(Vec<String>, Option<Vec<Details>>)> {
    let explain = |tag: &str, why: &Dropped| {
        if listing.explain {
            let _ = writeln!(std::io::stderr(), "{tag}: {why}");
        }
    };
    tags.retain(|tag| listing.filter.evaluate(tag).inspect_err(|why| explain(tag, why)).is_ok());
    let mut known = HashMap::new();
    if listing.details || listing.order == Order::Created {
        let repository = name.docker_reference().filter(|_| name.is_in_registry());
        let Some(repository) = repository else {
            bail!("--details and the order by creation time are only for registries");
        };
        let facts = TagQuery::new(repository, options, app.platforms()).all(&tags).await;
        for (tag, facts) in tags.iter().zip(facts) {
            if let Err(error) = &facts {
                warn!("Cannot read tag {tag}: {}", error.sentence());
            }
            known.insert(tag.clone(), facts);
        }
    }
    let created = |tag: &str| known.get(tag)?.as_ref().ok()?.created;
    let with_time = |tag: String| {
        let created = created(&tag);
        (tag, created)
    };
    let mut sorted: Vec<_> = tags.into_iter().map(with_time).collect();
    listing.order.sort(&mut sorted);
    if let Some(newest) = listing.newest {
        for (tag, _) in select::take_older(&mut sorted, newest) {
            explain(&tag, &Dropped::NotNewest(newest));
        }
    }
    let tags: Vec<String> = sorted.into_iter().map(|(tag, _)| tag).collect();
    let details = listing.details.then(|| {
        let detail = |tag: &String| match known.remove(tag) {
            Some(Ok(facts)) => Details { tag: tag.clone(), facts: Some(facts), error: None },
            Some(Err(error)) => {
                Details { tag: tag.clone(), facts: None, error: Some(error.sentence()) }
            }
            None => Details { tag: tag.clone(), facts: None, error: None },
        };
        tags.iter().map(detail).collect()
    });
    Ok((tags, details))
}
