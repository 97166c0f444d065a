//! `delete IMAGE`.

use anyhow::{Context as _, Result, bail};
use skopeo_transport::ImageName;

use crate::app::App;
use crate::args::image::Retry;
use crate::args::value::Values;
use crate::report::{Deleted, Done, Report};
use crate::retry;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let [image] = arguments else { bail!("Usage: delete imageReference") };
    let name = ImageName::parse(image).with_context(|| format!("Invalid source name {image}"))?;
    let options = app.options(&app.image(flags, "")?);
    app.doing(format!("deleting {name}"));
    app.run(retry::with(Retry::new(flags), async || {
        report.attempt();
        skopeo_transport::delete(&name, &options).await?;
        report.add(Done::Delete(Deleted {
            outcome: "deleted",
            image: name.to_string(),
            digest: None,
            method: Some("manifest"),
            with: Vec::new(),
            reason: None,
        }));
        Ok(())
    }))
}
