//! Flags of `sync`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use skopeo_copy::Lists;
use skopeo_sync::Immutable;
use skopeo_sync::destination::Target;
use skopeo_sync::naming::Naming;
use skopeo_sync::prune::rules::Rules;
use skopeo_sync::select::{Choice, Filter};
use skopeo_sync::shard::Shard;
use skopeo_transport::Overwrite;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::handle::Prefix;
use super::names;
use super::signing::SignFlags;
use super::value::Values;
use super::{copy, image, limits, lists, naming, report, tags};
use crate::go;

pub(crate) fn command(authfile: Option<String>) -> Command {
    Command::new(
        "sync",
        "[command options] --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION",
        "Copy many images that the destination does not have yet",
    )
    .long(
        "Copies all images of SOURCE to DESTINATION. Images that the destination has are left alone, \
         and no blob is\ncopied twice.\n\n\
         SOURCE depends on --src. docker: a repository or an image of a registry. registry: the host \
         of a registry,\nfor all its repositories. dir: a folder with folders of dir: images. oci, \
         oci-archive: a layout with many\nimages, in a folder or a tar. docker-archive: a file of \
         docker save. containers-storage: a container store,\n[DRIVER@GRAPHROOT] or \"\" for the \
         default one, for all its names. yaml: a file that names repositories and tags;\nif a file of \
         version 2 names the destinations, DESTINATION and --dest are not needed.\n\n\
         DESTINATION depends on --dest. docker: a registry or a path in it. dir: a folder. oci, \
         oci-archive,\ndocker-archive: one layout or file for all images. containers-storage: a \
         store. DESTINATION is not needed\nif --to names a destination.\n\n\
         See skopeo-sync(1) for details.",
    )
    .examples(&[
        "skopeo sync --src docker --dest dir --scoped registry.example.com/busybox /media/usb",
        "skopeo sync --src dir --dest docker /media/usb registry.local.lan/mirror",
        "skopeo sync --src yaml --dest docker --all images.yml registry.local.lan",
    ])
    .flags([image::shared(authfile)])
    .flags([Flag::new(names::TLS_VERIFY,  "require HTTPS on both sides").hidden()])
    .flags(image::registry(Prefix::Source, Some(names::SCREDS)))
    .flags(image::registry(Prefix::Destination, Some(names::DCREDS)))
    .flags(image::retry())
    .flags(copy::shared())
    .flags(ends())
    .flags(naming::flags())
    .flags(tags::syncing())
    .flags(limits::flags())
    .flags([
        Flag::new(names::REPOS,  "with --src registry: only repositories whose names match REGEX")
            .placeholder("REGEX"),
        Flag::new(names::SHARD,
            "copy only the repositories of part K of N (1/3); auto or auto/N takes K from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID",
        )
        .placeholder("K/N"),
        Flag::new(names::DIGESTFILE,  "write the digest and the name of every image to this file")
            .offers(Offers::Files),
        lists::all(),
        lists::platform(),
        Flag::new(names::OVERWRITE,
            "with --dest dir: when to overwrite an existing image: never (an error), changed (if it differs or is not complete; the default), or always",
        )
        .placeholder("WHEN")
        .offers(Offers::Words(&["never", "changed", "always"])),
        Flag::new(names::DELETE,
            "delete images at the destination that are not selected: only tags that these names could have, only where all tags of the source are known, after everything was copied",
        ),
        Flag::new(names::MAX_DELETE,
            "with --delete: delete nothing if it would be more than N images, or more than P percent of the existing images",
        )
        .placeholder("N|P%"),
        Flag::new(names::PROTECT,
            "with --delete: do not delete what matches REGEX: the tag, or the tag with its repository (repeatable)",
        )
        .placeholder("REGEX"),
        Flag::new(names::DRY_RUN,  "only print what would be copied and deleted"),
        Flag::new(names::PLAN,
            "execute this FILE of --dry-run --output json, with its deletions, instead of SOURCE and DESTINATION",
        )
        .offers(Offers::Files),
        Flag::new(names::ALLOW_MOVED,  "with --plan: accept sources that have changed since then"),
        Flag::new(names::TRUST_FILE,
            "with --plan or --retry-failed: accept settings of FILE that lower security: TLS without verification, paths of certificates and credentials, and a registry that gets the credentials of --src-creds and similar flags",
        ),
        Flag::new(names::IMMUTABLE_TAGS,
            "tags that match REGEX never move: if the destination has them, they are not checked",
        )
        .placeholder("REGEX"),
        Flag::new(names::STATE,  "FILE that keeps information for the next run")
            .offers(Offers::Files),
        Flag::new(names::TRUST_STATE,
            "with --state: believe that tags of the destination registry are as the last run left them, and do not ask for them",
        ),
        Flag::new(names::KEEP_GOING,  "copy the other images after a failure, and end with an error"),
        Flag::new(names::JOBS,
            "number of images to copy at once; 0 derives it from the number of processors",
        )
        .placeholder("N"),
        copy::referrers(),
        Flag::new(names::QUIET,  "print only warnings and failures").short('q'),
        report::progress(),
        report::output(),
    ])
    .flags(reports())
    .commands([Command {
        runs: false,
        commands: vec![merge()],
        ..Command::new("report", "", "Work with the files of --report")
    }])
}

fn reports() -> [Flag; 4] {
    [
        Flag::new(names::LOCK, "write the digest of every image to this file, if everything succeeds")
            .offers(Offers::Files),
        Flag::new(
            names::LOCKED,
            "copy exactly the digests in this FILE of --lock, even if tags have moved",
        )
        .placeholder("FILE")
        .offers(Offers::Files),
        Flag::new(
            names::REPORT,
            "write the outcome of every image to this file as JSON, also after a failure",
        )
        .offers(Offers::Files),
        Flag::new(
            names::RETRY_FAILED,
            "copy again the images that failed or were not begun in the REPORT of an earlier run; without SOURCE and DESTINATION",
        )
        .placeholder("REPORT")
        .offers(Offers::Files),
    ]
}

/// `sync report merge`.
fn merge() -> Command {
    Command::new(
        "merge",
        "[command options] REPORT...",
        "Merge several reports into one",
    )
    .long(
        "Merges the reports of several runs, such as the shards of one sync, and prints one report. \
         If several runs had\nan image, the run that began last counts. Ends with an error if an \
         image is not where it should be.\n\nREPORT is a file, or a folder for all files \
         *.report.json in it.",
    )
    .examples(&["skopeo sync report merge shard-*.json -o all.json"])
    .offers(Offers::Files)
    .flags([Flag::new(names::OUTPUT_FILE,  "write the report to FILE instead of stdout")
        .short('o')
        .placeholder("FILE")
        .offers(Offers::Files)])
}

fn ends() -> [Flag; 3] {
    [
        Flag::new(names::SRC,
            "kind of SOURCE (docker, registry, dir, oci, oci-archive, docker-archive, containers-storage, or yaml)",
        )
        .short('s')
        .offers(Offers::Words(&[
            "docker",
            "registry",
            "dir",
            "oci",
            "oci-archive",
            "docker-archive",
            "containers-storage",
            "yaml",
        ])),
        Flag::new(names::DEST,
            "kind of DESTINATION (docker, dir, oci, oci-archive, docker-archive, or containers-storage)",
        )
        .short('d')
        .offers(Offers::Words(&[
            "docker",
            "dir",
            "oci",
            "oci-archive",
            "docker-archive",
            "containers-storage",
        ])),
        Flag::new(names::TO,
            "another destination (docker://HOST/PATH, dir:FOLDER), beside DESTINATION or instead of it; data for several destinations is read once (repeatable)",
        )
        .placeholder("TRANSPORT:PLACE"),
    ]
}

/// What the flags of `sync` said, apart from those about registries and retries.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) src: String,
    pub(crate) dest: String,
    /// What is deleted that the selection does not have, if anything.
    pub(crate) mirror: Option<Rules>,
    /// More places to copy to.
    pub(crate) to: Vec<Target>,
    pub(crate) naming: Naming,
    /// Whether any flag about names was given.
    pub(crate) names: bool,
    pub(crate) choice: Choice,
    /// Whether any flag that chooses was given.
    pub(crate) chooses: bool,
    pub(crate) explain: bool,
    /// The expression, which is one.
    pub(crate) repositories: Option<String>,
    pub(crate) shard: Option<Shard>,
    pub(crate) digestfile: Option<PathBuf>,
    pub(crate) overwrite: Overwrite,
    pub(crate) report: Option<PathBuf>,
    pub(crate) lock: Option<PathBuf>,
    /// The referrers that are to be copied.
    pub(crate) referrers: Option<Vec<String>>,
    pub(crate) lists: Lists,
    pub(crate) dry_run: bool,
    pub(crate) keep_going: bool,
    pub(crate) allow_moved: bool,
    pub(crate) immutable: Immutable,
    pub(crate) state: Option<PathBuf>,
    /// The destination is as the state says.
    pub(crate) trusts_state: bool,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) asked: copy::Asked,
    pub(crate) sign: SignFlags,
    /// The deprecated `--tls-verify` for both sides was given.
    pub(crate) deprecated_tls_verify: bool,
}

impl Sync {
    /// # Errors
    /// If a value is out of range.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let text = |name| values.text(name).unwrap_or_default().to_owned();
        let jobs = usize::try_from(values.uint(names::JOBS).unwrap_or_default());
        Ok(Self {
            src: text(names::SRC),
            dest: text(names::DEST),
            to: places(values)?,
            mirror: mirror(values)?,
            naming: naming::naming(values)?,
            names: naming::is_said(values),
            choice: tags::choice(values)?,
            chooses: tags::syncing_chooses(values),
            explain: values.switch(names::EXPLAIN),
            repositories: repositories(values)?,
            shard: values
                .text(names::SHARD)
                .map(|text| Shard::parse(text, |name| std::env::var(name).ok()))
                .transpose()?,
            digestfile: values.text(names::DIGESTFILE).map(PathBuf::from),
            overwrite: overwrite(values)?,
            report: values.text(names::REPORT).map(PathBuf::from),
            lock: values.text(names::LOCK).map(PathBuf::from),
            referrers: values
                .has(names::REFERRERS)
                .then(|| values.texts(names::REFERRERS).to_vec()),
            lists: lists::of_many(values)?,
            dry_run: values.switch(names::DRY_RUN),
            keep_going: values.switch(names::KEEP_GOING),
            allow_moved: values.switch(names::ALLOW_MOVED),
            immutable: Immutable::new(values.texts(names::IMMUTABLE_TAGS))
                .context("--immutable-tags")?,
            state: values.text(names::STATE).map(PathBuf::from),
            trusts_state: trusts_state(values)?,
            jobs: NonZeroUsize::new(jobs.context("--jobs is out of range")?),
            asked: copy::Asked::new(values),
            sign: SignFlags::new(values)?,
            deprecated_tls_verify: values.has(names::TLS_VERIFY),
        })
    }
}

/// `--trust-state`, which is of no use where nothing is kept.
fn trusts_state(values: &Values) -> Result<bool> {
    let trusts = values.switch(names::TRUST_STATE);
    if trusts && values.text(names::STATE).is_none() {
        bail!("--trust-state can only be used with --state");
    }
    Ok(trusts)
}

fn mirror(values: &Values) -> Result<Option<Rules>> {
    // A plan says itself whether it deletes anything.
    let planned = values.has(names::PLAN) && !values.has(names::DELETE);
    if !values.switch(names::DELETE) && !planned {
        for flag in [names::MAX_DELETE.any(), names::PROTECT.any()] {
            if values.has(flag) {
                bail!("--{flag} can only be used with --delete");
            }
        }
        return Ok(None);
    }
    if values.has(names::SHARD) {
        bail!("--delete cannot be used with --shard: a part does not know what the others write");
    }
    if values.has(names::LOCKED) {
        bail!("--delete cannot be used with --locked, which asks no source for its tags");
    }
    let mut rules = Rules::default();
    for text in values.texts(names::PROTECT) {
        rules.protect(text).context("--protect")?;
    }
    let most = values.text(names::MAX_DELETE).map(str::parse).transpose();
    rules.most = most.map_err(|error: String| anyhow!("--max-delete: {error}"))?;
    Ok(Some(rules))
}

fn places(values: &Values) -> Result<Vec<Target>> {
    let mut places = Vec::new();
    for text in values.texts(names::TO) {
        let place = text.parse::<Target>().context("--to")?;
        if places.contains(&place) {
            bail!("--to {place} is given twice");
        }
        places.push(place);
    }
    Ok(places)
}

fn overwrite(values: &Values) -> Result<Overwrite> {
    let Some(text) = values.maybe_text(names::OVERWRITE) else { return Ok(Overwrite::default()) };
    let is_dir = |place: &String| place.starts_with("dir:");
    if values.text(names::DEST).is_some_and(|dest| dest != "dir")
        && !values.texts(names::TO).iter().any(is_dir)
    {
        bail!("--overwrite can only be used with --dest dir");
    }
    Overwrite::parse(text).with_context(|| {
        format!("--overwrite is {}, and can be never, changed or always", go::quote(text))
    })
}

fn repositories(values: &Values) -> Result<Option<String>> {
    let Some(regex) = values.text(names::REPOS) else { return Ok(None) };
    if values.text(names::SRC) != Some("registry") {
        bail!("--repos can only be used with --src registry");
    }
    Filter::new(&[regex], &[], None).context("--repos")?;
    Ok(Some(regex.to_owned()))
}
