//! `copy SOURCE DESTINATION`.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use skopeo_config::links;
use skopeo_copy::{
    CompressTo, Copied, Digests, Encryption, Format, Lists, OtherFormats, Referrers, Request,
    Selection, Session, SourceSignatures,
};
use skopeo_image::{Compression, Platform, Reference};
use skopeo_transport::ImageName;
use tracing::warn;

use crate::app::App;
use crate::args::copy::{Asked, Copy};
use crate::args::handle::Prefix;
use crate::args::image;
use crate::args::report::{Output, Show};
use crate::args::signing::SignFlags;
use crate::args::value::Values;
use crate::args::{limits, lists};
use crate::exit::UsageError;
use crate::exit::sides::{self, Side};
use crate::progress::Progress;
use crate::report::{Copying, Report};
use crate::{files, go, keys, retry, signing};

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let [from, to] = arguments else {
        return Err(UsageError("Exactly two arguments expected").into());
    };
    let copy = Copy::new(flags);
    if copy.deprecated_tls_verify {
        warn!("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
    }
    let show = Show::new(flags)?;
    let policy = app.policy()?;
    let from = ImageName::parse(from).with_context(|| format!("Invalid source name {from}"))?;
    let to = ImageName::parse(to).with_context(|| format!("Invalid destination name {to}"))?;
    sides::set(Side::of(&from), Side::of(&to));
    let mut source_options = app.options(&app.image(flags, Prefix::Source)?);
    let mut options = app.options(&app.image(flags, Prefix::Destination)?);
    // Of both, since they share a client if they are one registry.
    source_options.registry.blob_connections = limits::blob_connections(flags);
    options.registry.blob_connections = limits::blob_connections(flags);
    options.docker_archive.additional_tags = additional_tags(&copy)?;
    options.registry.precompute_digests = copy.precompute_digests;
    options.dir.compress = copy.compress;
    options.docker_archive.compress = copy.compress;
    options.dir.decompress = copy.decompress;
    options.layout.accept_uncompressed_layers = copy.accept_uncompressed;
    if let Some(file) = &copy.digestfile {
        links::check(file).with_context(|| not_written(file))?;
    }
    let mut request = request(app, &copy, lists::lists(flags)?)?;
    let rates = limits::rates(flags)?;
    warn_of_ineffective(&copy, &to);

    // What is written there must be all that is.
    let output = match report.output() {
        Output::Json if to.is_stdout() => {
            bail!("--output json cannot share standard output with {to}")
        }
        _ if to.is_stdout() => Output::Json,
        output => output,
    };

    request.signing = signing::signing(app, SignFlags::new(flags)?, output)?;
    app.doing(format!("copying {from} to {to}"));
    app.going_on(if to.keeps_what_came() {
        "run the same command again; data that was copied already is not copied again"
    } else {
        "run the same command again; nothing was written"
    });
    app.run(retry::with(image::retries(flags), async || {
        report.attempt();
        let copying = Arc::new(Copying::new(&from));
        let progress = Arc::new(Progress::new(show, output));
        progress.begin(&from, &to);
        let watchers = (progress.clone(), copying.clone());
        let session = Session::new(Arc::new(move |event| {
            watchers.0.observe(&event);
            watchers.1.observe(&event);
        }))
        .with_rates(rates.clone())
        .with_max_unpacked(app.max_unpacked());
        let work = async {
            let source = skopeo_transport::open(&from, &source_options).await;
            let source = source.with_context(|| format!("initializing source {from}"))?;
            let destination = skopeo_transport::create(&to, &options).await;
            let destination =
                destination.with_context(|| format!("initializing destination {to}"))?;
            Ok(skopeo_copy::copy(&session, &*source, destination, &policy, &request).await?)
        };
        let done: Result<Copied> = tokio::select! {
            done = work => done,
            never = progress.beat() => match never {},
        };
        progress.end();
        let ends = [(&to, done.as_ref().ok())];
        copying.done(ends).into_iter().for_each(|done| report.add(done));
        let copied = done?;
        progress.finish(&copied);
        if let Some(file) = &copy.digestfile {
            let written = files::create(file)
                .and_then(|mut open| Ok(open.write_all(copied.digest.to_string().as_bytes())?));
            written.with_context(|| not_written(file))?;
        }
        Ok(())
    }))
}

fn not_written(digestfile: &Path) -> String {
    format!("Failed to write digest to file {}", go::quote(&digestfile.to_string_lossy()))
}

/// What is asked of a copy, or of each image of a `sync`, in the words of the pipeline.
pub(super) fn shared_request(app: &App, asked: &Asked, lists: Lists) -> Result<Request> {
    let mut request = Request::new(Platform::host());
    request.platforms = app.platforms();
    request.lists = lists;
    request.format = asked.format.as_deref().map(format).transpose()?;
    if asked.preserve_digests {
        request.digests = Digests::Preserve;
    }
    request.signatures = match (asked.remove_signatures, asked.remove_list_signatures) {
        (true, true) => {
            bail!("Only one of --remove-signatures and --remove-list-signatures can be specified")
        }
        (true, false) => SourceSignatures::Remove,
        (false, true) => SourceSignatures::RemoveOfIndexes,
        (false, false) => SourceSignatures::Keep,
    };
    Ok(request)
}

/// What is asked of one copy.
fn request(app: &App, copy: &Copy, lists: Lists) -> Result<Request> {
    let mut request = shared_request(app, &copy.asked, lists)?;
    request.compression = compression(copy)?;
    request.added = added(copy, &request.lists)?;
    if request.added.is_empty() {
        request.gzip_level = level(copy)?;
    }
    request.check_levels()?;
    request.encryption = encryption(app, copy)?;
    request.referrers = referrers(copy)?;
    if let Some(parallel) = usize::try_from(copy.parallel).ok().and_then(NonZeroUsize::new) {
        request.parallel = parallel;
    }
    // Each blob on its way is a connection.
    if let Some(most) = app.max_connections() {
        request.parallel = request.parallel.min(most);
    }
    Ok(request)
}

fn additional_tags(copy: &Copy) -> Result<Vec<Reference>> {
    let parse = |text: &String| {
        let reference = Reference::parse_normalized(text)
            .with_context(|| format!("error parsing additional-tag '{text}'"))?;
        if reference.tag.is_none() {
            bail!("additional-tag '{text}' must be a tagged reference");
        }
        Ok(reference)
    };
    copy.additional_tags.iter().map(parse).collect()
}

/// What `--referrers` says.
pub(super) fn chosen_referrers(kinds: &[String]) -> Result<Referrers> {
    Ok(Referrers::Copy(Selection::parse(kinds).context("--referrers")?))
}

fn referrers(copy: &Copy) -> Result<Referrers> {
    Ok(match &copy.referrers {
        Some(kinds) => chosen_referrers(kinds)?,
        None if copy.quiet => Referrers::Leave,
        None => Referrers::Mention,
    })
}

/// The kind of manifest that `--format` asks for.
fn format(name: &str) -> Result<Format> {
    match name {
        "oci" => Ok(Format::Oci),
        "v2s1" => Ok(Format::DockerSchema1),
        "v2s2" => Ok(Format::DockerSchema2),
        other => bail!(
            "unknown format {}. Choose one of the supported formats: 'oci', 'v2s1', or 'v2s2'",
            go::quote(other)
        ),
    }
}

fn compression(copy: &Copy) -> Result<Option<CompressTo>> {
    let Some(name) = copy.compress_format.as_deref() else {
        if copy.force_compress_format {
            bail!("--dest-force-compress-format requires --dest-compress-format");
        }
        return Ok(None);
    };
    let format: Compression = name.parse()?;
    let level = level(copy)?;
    let others =
        if copy.force_compress_format { OtherFormats::Refuse } else { OtherFormats::Reuse };
    Ok(Some(CompressTo { format, level, others }))
}

/// In which further forms the images of an index shall be there.
fn added(copy: &Copy, lists: &Lists) -> Result<Vec<CompressTo>> {
    if copy.added.is_empty() {
        return Ok(Vec::new());
    }
    if *lists == Lists::System {
        bail!(
            "--add-compression needs --all, or --multi-arch with all or platforms: a single image is not in an index"
        );
    }
    if copy.compress_format.is_some() {
        bail!("--add-compression and --dest-compress-format cannot be used together");
    }
    let level = level(copy)?;
    let others = OtherFormats::Refuse;
    let read = |name: &String| match name.parse()? {
        format @ (Compression::Gzip | Compression::Zstd | Compression::ZstdChunked) => {
            Ok(CompressTo { format, level, others })
        }
        _ => bail!("--add-compression: layers in {name} can be read, but not written"),
    };
    copy.added.iter().map(read).collect()
}

fn encryption(app: &App, copy: &Copy) -> Result<Option<Encryption>> {
    let (encryption, decryption) = (&copy.encryption_keys, &copy.decryption_keys);
    if !encryption.is_empty() && !decryption.is_empty() {
        bail!("--encryption-key and --decryption-key cannot be specified together");
    }
    if !copy.encrypt_layers.is_empty() && encryption.is_empty() {
        bail!("--encrypt-layer can only be used with --encryption-key");
    }
    if !encryption.is_empty() {
        let recipients = keys::recipients(app.config(), encryption);
        let recipients = Arc::new(recipients.context("Invalid encryption keys")?);
        let layers = copy.encrypt_layers.clone();
        return Ok(Some(Encryption::Encrypt { recipients, layers }));
    }
    if decryption.is_empty() {
        return Ok(None);
    }
    let keys = keys::keys(app.config(), decryption).context("Invalid decryption keys")?;
    Ok(Some(Encryption::Decrypt(Arc::new(keys))))
}

fn level(copy: &Copy) -> Result<Option<i32>> {
    let level = copy.compress_level.map(i32::try_from).transpose();
    level.context("--dest-compress-level is out of range")
}

fn warn_of_ineffective(copy: &Copy, to: &ImageName) {
    let transport = to.transport();
    if copy.compress && !["dir", "docker-archive"].contains(&transport) {
        warn!(
            "--dest-compress can only be used if the destination transport is 'dir' or \
             'docker-archive'"
        );
    }
    if copy.decompress && transport != "dir" {
        warn!("--dest-decompress can only be used if the destination transport is 'dir'");
    }
}
