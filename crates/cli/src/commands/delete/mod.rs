//! `delete IMAGE`, or tags of a repository.

mod many;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use skopeo_image::Digest;
use skopeo_transport::{ImageName, Options, Untagged};
use tracing::{debug, warn};

use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::image;
use crate::args::tags::Deleting;
use crate::args::value::Values;
use crate::report::{Deleted, Done, Report};
use crate::{logging, retry};

/// In how large a repository other tags of the same digest are looked for where nobody asked.
const CHEAP: usize = 50;

/// How long that may take.
const CHEAP_TIME: Duration = Duration::from_secs(10);

/// In how large a repository they are looked for where somebody asked.
const MOST: usize = 10_000;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let [image] = arguments else { bail!("Usage: delete imageReference") };
    let wish = Deleting::new(flags)?;
    let retry = image::retries(flags);
    if let Some(chosen) = &wish.chosen {
        let name = ImageName::parse_repository(image)
            .with_context(|| format!("Invalid source name {image}"))?;
        let options = app.options(&app.image(flags, Prefix::None)?);
        return many::run(app, &name, &options, retry, &wish, chosen, report);
    }
    let name = ImageName::parse(image).with_context(|| format!("Invalid source name {image}"))?;
    let options = app.options(&app.image(flags, Prefix::None)?);
    app.doing(format!("deleting {name}"));
    app.run(retry::with(retry, async || {
        report.attempt();
        if wish.dry_run {
            return preview(&name, &options, &wish, report).await;
        }
        if wish.tag_only {
            let how = skopeo_transport::untag(&name, &options, None).await?;
            report.add(deleted(&name, None, method(how), Vec::new()));
            return Ok(());
        }
        let with = dying(&name, &options).await;
        if !with.is_empty() {
            warn!("Deleting {name} also deletes the tags of the same digest: {}", with.join(", "));
        }
        skopeo_transport::delete(&name, &options).await?;
        report.add(deleted(&name, None, "manifest", with));
        Ok(())
    }))
}

/// Says what would be deleted, and changes nothing.
async fn preview(
    name: &ImageName,
    options: &Options,
    wish: &Deleting,
    report: &Report,
) -> Result<()> {
    let (digest, tags) = skopeo_transport::siblings(name, options, MOST).await?;
    let Some(tags) = tags else { bail!("there are more than {MOST} tags to look at") };
    let others = tags.join(", ");
    let others = logging::visible(&others);
    // What has another name in a layout stays.
    let keeps_others = wish.tag_only || !name.is_in_registry();
    let sentence = match (wish.tag_only, tags.is_empty()) {
        _ if !name.is_in_registry() && tags.is_empty() => {
            format!("Would delete {name}, {digest}; no other name leads to it\n")
        }
        _ if !name.is_in_registry() => {
            format!("Would delete {name}; {digest} stays, with the names: {others}\n")
        }
        (true, true) => format!("Would delete the tag of {name}; no other tag leads to {digest}\n"),
        (true, false) => {
            format!("Would delete the tag of {name}; {digest} stays, with the tags: {others}\n")
        }
        (false, true) => format!("Would delete {name}, {digest}; no other tag leads to it\n"),
        (false, false) => {
            format!("Would delete {name}, {digest}, and also the tags: {others}\n")
        }
    };
    let (method, with) = match (wish.tag_only, keeps_others) {
        (true, _) => ("tag", Vec::new()),
        (false, true) => ("manifest", Vec::new()),
        (false, false) => ("manifest", tags),
    };
    let mut told = told(name, Some(digest), method, with);
    told.outcome = "would-delete";
    report.add(Done::Delete(told));
    report.say(&sentence)
}

/// The tags that die with the image, where that is cheap to know.
async fn dying(name: &ImageName, options: &Options) -> Vec<String> {
    if !name.is_in_registry() {
        return Vec::new();
    }
    let asked = skopeo_transport::siblings(name, options, CHEAP);
    match tokio::time::timeout(CHEAP_TIME, asked).await {
        Ok(Ok((_, tags))) => tags.unwrap_or_default(),
        // It is no more than a warning that could not be given.
        Ok(Err(error)) => {
            debug!("looking for other tags of {name}: {error}");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

fn deleted(
    name: &ImageName,
    digest: Option<Digest>,
    method: &'static str,
    with: Vec<String>,
) -> Done {
    Done::Delete(told(name, digest, method, with))
}

fn told(
    name: &ImageName,
    digest: Option<Digest>,
    method: &'static str,
    with: Vec<String>,
) -> Deleted {
    Deleted {
        outcome: "deleted",
        image: name.to_string(),
        digest,
        method: Some(method),
        with,
        reason: None,
        place: None,
    }
}

/// What was deleted to delete a tag.
fn method(how: Untagged) -> &'static str {
    match how {
        Untagged::ByTag => "tag",
        Untagged::ByPlaceholder => "placeholder",
    }
}

/// Writes a line to stderr. A closed stderr is nobody's business.
fn remark(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
