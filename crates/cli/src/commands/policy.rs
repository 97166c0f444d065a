//! `policy check IMAGE`: what policy.json says of an image, and why.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;
use skopeo_image::go_json;
use skopeo_transport::ImageName;
use skopeo_trust::policy::Section;
use skopeo_trust::{Judgement, Rejected};

use super::judged::{self, Judged};
use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::report::Output;
use crate::args::value::Values;
use crate::exit::{UsageError, print};

/// What is printed as JSON, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    image: String,
    digest: String,
    /// The scope of the transport that decides; nothing if it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    signatures: usize,
    requirements: Vec<Asked>,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    r#type: &'static str,
    met: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) fn check(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [image] = arguments else {
        return Err(UsageError("Exactly one non-option argument expected").into());
    };
    let output = Output::new(flags)?;
    let options = app.options(&app.image(flags, Prefix::None)?);
    let policy = app.policy()?;
    let name = ImageName::parse(image).with_context(|| format!("Invalid source name {image}"))?;
    app.doing(format!("asking the policy about {name}"));
    let (answer, verdict) = app.run(async {
        let judged = judged::read(app, flags, &name, &options, &policy).await?;
        let Judged { source, manifest, signatures } = judged;
        let judgement = policy.explain(&source.name().policy_scope(), &manifest, &signatures);
        let digest = manifest.digest()?.to_string();
        let text = match output {
            Output::Json => json(&name, digest, signatures.len(), &judgement)?,
            Output::Text => text(&name, &digest, signatures.len(), &judgement).into_bytes(),
        };
        Ok((text, judgement.verdict))
    })?;
    print(answer)?;
    verdict.context("Source image rejected")
}

fn reason(outcome: &Result<(), Rejected>) -> Option<String> {
    outcome.as_ref().err().map(ToString::to_string)
}

fn json(
    name: &ImageName,
    digest: String,
    signatures: usize,
    judgement: &Judgement,
) -> Result<Vec<u8>> {
    let requirements = judgement.requirements.iter().map(|(name, outcome)| Asked {
        r#type: name,
        met: outcome.is_ok(),
        reason: reason(outcome),
    });
    let answer = Answer {
        image: name.to_string(),
        digest,
        scope: match &judgement.section {
            Section::Default => None,
            Section::Scope(scope) => Some(scope),
        },
        signatures,
        requirements: requirements.collect(),
        accepted: judgement.verdict.is_ok(),
        reason: reason(&judgement.verdict),
    };
    let mut json = go_json::to_vec_indent(&answer, "", "    ")?;
    json.push(b'\n');
    Ok(json)
}

fn text(name: &ImageName, digest: &str, signatures: usize, judgement: &Judgement) -> String {
    let plural = if signatures == 1 { "" } else { "s" };
    let mut lines = format!("{name} is {digest}, with {signatures} signature{plural}\n");
    let transport = name.policy_scope().transport;
    let _ = match &judgement.section {
        Section::Default => writeln!(lines, "policy.json has it under default"),
        Section::Scope(scope) => {
            writeln!(lines, "policy.json has it under transports, {transport:?}, {scope:?}")
        }
    };
    for (requirement, outcome) in &judgement.requirements {
        let _ = match outcome {
            Ok(()) => writeln!(lines, "{requirement}: met"),
            Err(reason) => writeln!(lines, "{requirement}: not met: {reason}"),
        };
    }
    lines.push_str(if judgement.verdict.is_ok() { "accepted\n" } else { "rejected\n" });
    lines
}
