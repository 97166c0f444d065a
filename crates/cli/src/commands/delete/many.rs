//! Tags of a repository that are chosen by words, version or age.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};
use skopeo_copy::Retry;
use skopeo_image::{Digest, ErrorClass, Reference, Timestamp};
use skopeo_sync::select;
use skopeo_sync::tag_info::{self, TagQuery};
use skopeo_transport::{ImageName, Options};
use tracing::{error, warn};

use super::{method, remark, told};
use crate::app::App;
use crate::args::tags::{Chosen, Deleting};
use crate::exit::{Classed, Failure, sentence};
use crate::report::{Deleted, Done, Report};
use crate::retry;

/// A tag that is to be deleted.
struct Removal {
    name: ImageName,
    digest: Digest,
    /// Whether its manifest is needed by no other tag, and goes too.
    whole: bool,
}

pub(super) fn run(
    app: &App,
    repository: &ImageName,
    options: &Options,
    retry: Retry,
    wish: &Deleting,
    chosen: &Chosen,
    report: &Report,
) -> Result<()> {
    let Some(reference) = repository.docker_reference() else { bail!("no repository") };
    app.doing(format!("deleting tags of {}", reference.name));
    app.run(async {
        let (removals, staying) = retry::with(retry, async || {
            report.attempt();
            choose(app, repository, reference, options, wish, chosen, report).await
        })
        .await?;
        if removals.is_empty() {
            return report.say("Nothing to delete\n");
        }
        let verb = if wish.dry_run { "Would delete" } else { "To be deleted" };
        for tag in &removals {
            let what = if tag.whole { "" } else { " (the tag only)" };
            report.say(&format!("{verb}: {} {}{what}\n", tag.name, tag.digest))?;
        }
        if wish.dry_run {
            for tag in removals {
                let method = if tag.whole { "manifest" } else { "tag" };
                let foretold = told(&tag.name, Some(tag.digest), method, Vec::new());
                report.add(Done::Delete(Deleted { outcome: "would-delete", ..foretold }));
            }
            return Ok(());
        }
        if !wish.yes {
            ask(removals.len()).await?;
        }
        let deleted = delete(app, reference, options, retry, removals, report).await;
        look(reference, options, retry, &staying).await?;
        deleted
    })
}

/// Looks whether the tags that were to stay are there: a registry may have taken more than it was
/// asked to. What is missing is put back.
///
/// # Errors
/// If some are gone, or not known to be there.
async fn look(
    reference: &Reference,
    options: &Options,
    retry: Retry,
    staying: &BTreeMap<String, Digest>,
) -> Result<()> {
    let any = ImageName::docker(Reference { digest: None, ..reference.clone().or_latest() })?;
    let listed = async || match skopeo_transport::tags(&any, options).await {
        Err(error) if error.is_unknown_repository() => Ok(Vec::new()),
        tags => Ok(tags?),
    };
    let listed = retry::with(retry, listed).await;
    let listed = listed.context("it is not known whether the tags that should stay still exist")?;
    let listed: HashSet<String> = listed.into_iter().collect();
    let mut lost = 0_usize;
    for (tag, digest) in staying.iter().filter(|(tag, _)| !listed.contains(*tag)) {
        let name = tag_info::tagged(reference, tag)?;
        let give = async || Ok(skopeo_transport::retag(&name, options, digest).await?);
        match retry::with(retry, give).await {
            Ok(false) => {}
            Ok(true) => warn!("{name} was deleted together with another tag, and is restored"),
            Err(problem) => {
                error!("{name} should stay, but it is gone: {}", sentence(&problem));
                lost = lost.saturating_add(1);
            }
        }
    }
    if lost == 0 {
        return Ok(());
    }
    let sentence = format!("{lost} tags that should stay are gone");
    Err(Classed { class: ErrorClass::Partial, sentence, hint: None }.into())
}

/// Decides which tags go, and which of them take their image along. Gives back the tags that stay,
/// too, with what they lead to.
async fn choose(
    app: &App,
    repository: &ImageName,
    reference: &Reference,
    options: &Options,
    wish: &Deleting,
    chosen: &Chosen,
    report: &Report,
) -> Result<(Vec<Removal>, BTreeMap<String, Digest>)> {
    let tags = skopeo_transport::tags(repository, options).await;
    let tags = tags.context("Error listing repository tags")?;
    if tags.is_empty() {
        bail!("{} has no tags", reference.name);
    }
    let keep = |tag: &str, why: String| -> Result<()> {
        if wish.explain {
            remark(&format!("{tag}: {why}"));
        }
        let name = tag_info::tagged(reference, tag)?;
        let kept = told(&name, None, "", Vec::new());
        let kept = Deleted { outcome: "kept", method: None, reason: Some(why), ..kept };
        report.add(Done::Delete(kept));
        Ok(())
    };
    let mut left = Vec::new();
    for tag in &tags {
        match chosen.filter.evaluate(tag) {
            Ok(_) => left.push(tag.clone()),
            Err(why) if wish.explain => remark(&format!("{tag}: {why}")),
            Err(_) => {}
        }
    }
    let mut left: Vec<(String, Option<Timestamp>)> =
        with_times(app, reference, options, chosen, left).await?;
    chosen.order.sort(&mut left);
    let older = select::take_older(&mut left, chosen.keep.unwrap_or_default());
    for (tag, _) in left {
        keep(&tag, format!("is among the newest {}", chosen.keep.unwrap_or_default()))?;
    }
    let mut going = Vec::new();
    let now = jiff::Timestamp::now().as_second();
    for (tag, created) in older {
        match (chosen.older_than, created.map(|created| created.unix().0)) {
            (None, _) => going.push(tag),
            (Some(age), Some(created)) if now.saturating_sub(created) > age => going.push(tag),
            (Some(_), Some(_)) => keep(&tag, "is not old enough".to_owned())?,
            (Some(_), None) => keep(&tag, "has no known age".to_owned())?,
        }
    }
    if going.is_empty() {
        return Ok((Vec::new(), BTreeMap::new()));
    }
    // What stays may be of the same digest, so all tags are asked about, just before the deed.
    let digests = tag_info::digests(reference, options, &tags).await?;
    let digests: HashMap<&String, Digest> =
        tags.iter().zip(digests).filter_map(|(tag, digest)| Some((tag, digest?))).collect();
    let set: HashSet<&String> = going.iter().collect();
    let left = digests.iter().filter(|(tag, _)| !set.contains(**tag));
    let left: BTreeMap<String, Digest> =
        left.map(|(tag, digest)| ((*tag).clone(), digest.clone())).collect();
    let mut staying: HashSet<Digest> = left.values().cloned().collect();
    if !wish.tag_only {
        let listed = tag_info::instances(reference, options, staying.iter().cloned()).await;
        staying.extend(listed.context("reading the images of the tags that stay")?);
    }
    let removals: Result<Vec<Removal>> = going
        .iter()
        .filter_map(|tag| Some((tag, digests.get(tag)?)))
        .map(|(tag, digest)| {
            let whole = !wish.tag_only && !staying.contains(digest);
            Ok(Removal { name: tag_info::tagged(reference, tag)?, digest: digest.clone(), whole })
        })
        .collect();
    Ok((removals?, left))
}

/// The tags with the times at which their images were made, where those count.
async fn with_times(
    app: &App,
    reference: &Reference,
    options: &Options,
    chosen: &Chosen,
    tags: Vec<String>,
) -> Result<Vec<(String, Option<Timestamp>)>> {
    let by_time = chosen.keep.is_some() && chosen.order == select::Order::Created;
    if chosen.older_than.is_none() && !by_time {
        return Ok(tags.into_iter().map(|tag| (tag, None)).collect());
    }
    let facts = TagQuery::new(reference, options, app.platforms()).all(&tags).await;
    let mut timed = Vec::new();
    for (tag, facts) in tags.into_iter().zip(facts) {
        // Which are the newest cannot be told of those that nothing is known of.
        let facts = facts.with_context(|| format!("reading the creation time of {tag}"))?;
        if facts.created.is_none() && by_time {
            bail!("the creation time of {tag} is not known, so the newest tags are not known");
        }
        timed.push((tag, facts.created));
    }
    Ok(timed)
}

/// Asks at the terminal.
async fn ask(count: usize) -> Result<()> {
    let refused = |sentence: String| Classed {
        class: ErrorClass::InvalidInput,
        sentence,
        hint: Some(
            "--yes deletes without asking, --dry-run shows what would be deleted".to_owned(),
        ),
    };
    let tags = if count == 1 { "tag" } else { "tags" };
    if !io::stdin().is_terminal() {
        let sentence = format!("deleting {count} {tags} needs --yes: there is no terminal to ask");
        return Err(refused(sentence).into());
    }
    let _ = write!(io::stderr(), "Delete {count} {tags}? [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await?.context("reading the answer")?;
    if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Err(refused("nothing was deleted".to_owned()).into());
    }
    Ok(())
}

/// Deletes one after the other; what fails does not stop the others.
async fn delete(
    app: &App,
    reference: &Reference,
    options: &Options,
    retry: Retry,
    removals: Vec<Removal>,
    report: &Report,
) -> Result<()> {
    let (all, mut failed) = (removals.len(), 0_usize);
    let mut gone: HashSet<Digest> = HashSet::new();
    for tag in removals {
        app.doing(format!("deleting {}", tag.name));
        let done = retry::with(retry, async || {
            if tag.whole {
                if !gone.contains(&tag.digest) {
                    let manifest = Reference {
                        tag: None,
                        digest: Some(tag.digest.clone()),
                        ..reference.clone()
                    };
                    skopeo_transport::delete(&ImageName::docker(manifest)?, options).await?;
                }
                return Ok("manifest");
            }
            let how = skopeo_transport::untag(&tag.name, options, Some(&tag.digest)).await?;
            Ok(method(how))
        })
        .await;
        match done {
            Ok(method) => {
                gone.insert(tag.digest.clone());
                report.add(Done::Delete(told(&tag.name, Some(tag.digest), method, Vec::new())));
            }
            Err(problem) => {
                failed = failed.saturating_add(1);
                error!("deleting {}: {}", tag.name, sentence(&problem));
                let reason = Failure::new(&problem, app.exit_codes()).message;
                let told = told(&tag.name, Some(tag.digest), "", Vec::new());
                report.add(Done::Delete(Deleted {
                    outcome: "failed",
                    method: None,
                    reason: Some(reason),
                    ..told
                }));
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Classed {
        class: ErrorClass::Partial,
        sentence: format!("{failed} of {all} tags could not be deleted"),
        hint: None,
    }
    .into())
}
