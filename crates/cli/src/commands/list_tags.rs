//! `list-tags docker://REPOSITORY` and `list-tags docker-archive:PATH`.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use skopeo_image::go_json;
use skopeo_transport::{ImageName, find};

use crate::app::App;
use crate::args::image::Retry;
use crate::args::value::Values;
use crate::exit::{UsageError, print};
use crate::{go, retry};

/// What is printed, in this order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(skip_serializing_if = "String::is_empty")]
    repository: String,
    tags: Vec<String>,
}

/// The transports whose tags are listed, as errors name them.
const LISTING: &str = "docker, docker-archive";

/// Those of a repository are listed by its name, which has no tag itself.
const REGISTRIES: &str = "docker";

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [image] = arguments else {
        return Err(UsageError("Exactly one non-option argument expected").into());
    };
    let options = app.options(&app.image(flags, "")?);
    let transport = image.split_once(':').and_then(|(transport, _)| find(transport));
    let Some(transport) = transport else {
        bail!("Invalid {}: does not specify a transport", go::quote(image));
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
    let tags = app.run(retry::with(Retry::new(flags), async || {
        let tags = skopeo_transport::tags(&name, &options).await;
        if repository.is_some() { tags.context("Error listing repository tags") } else { Ok(tags?) }
    }))?;
    let output = Output { repository: repository.unwrap_or_default(), tags };
    let mut json = go_json::to_vec_indent(&output, "", "    ")?;
    json.push(b'\n');
    Ok(print(json)?)
}
