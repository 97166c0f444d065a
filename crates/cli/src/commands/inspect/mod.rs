//! `inspect IMAGE`.

mod instances;
mod referrers;
mod signatures;
mod view;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use futures_util::future;
use serde::Serialize;
use skopeo_copy::Retry;
use skopeo_image::{
    Algorithm, ImageIndex, ImageManifest, Instance, Manifest, Platform, RawManifest, Summary,
    Which, go_json,
};
use skopeo_sync::tag_info::read_config;
use skopeo_transport::{Error as TransportError, ImageName, Options, Source};
use skopeo_trust::Policy;
use tracing::warn;

use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::image;
use crate::args::names;
use crate::args::value::Values;
use crate::exit::print;
use crate::gate::Gate;
use crate::template::value::Value;
use crate::template::{Format, is_json};
use crate::{go, retry};

/// What is to be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Manifest,
    Config,
    RawConfig,
    Summary,
    Instances,
    Referrers,
    Signatures,
}

/// How it is to be shown.
enum Shape {
    Json,
    Template(Format),
}

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [image] = arguments else { bail!("Exactly one argument expected") };
    let format = flags.text(names::FORMAT);
    let show = match (flags.switch(names::RAW), flags.switch(names::CONFIG)) {
        (true, _) if format.is_some() => bail!("raw output does not support format option"),
        (true, false) => Show::Manifest,
        (true, true) => Show::RawConfig,
        (false, true) => Show::Config,
        (false, false) => Show::Summary,
    };
    let show = match (flags.switch(names::ALL_PLATFORMS), show) {
        (false, show) => show,
        (true, Show::Summary) => Show::Instances,
        (true, _) => bail!("--all-platforms cannot be used together with --raw or --config"),
    };
    let show = match flags.switch(names::LISTS_REFERRERS) {
        true if show != Show::Summary || format.is_some() => {
            bail!(
                "--referrers cannot be used together with --raw, --config, --all-platforms or \
                 --format"
            )
        }
        true => Show::Referrers,
        false => show,
    };
    let show = match flags.switch(names::SIGNATURES) {
        true if show != Show::Summary => bail!(
            "--signatures cannot be used together with --raw, --config, --all-platforms or \
             --referrers"
        ),
        true => Show::Signatures,
        false => show,
    };
    let verify = flags.switch(names::VERIFY_POLICY);
    if verify && matches!(show, Show::Referrers | Show::Signatures) {
        bail!("--verify-policy cannot be used together with --referrers or --signatures");
    }
    let policy = (verify || show == Show::Signatures).then(|| app.policy()).transpose()?;
    let options = app.options(&app.image(flags, Prefix::None)?);
    let shape = match format {
        Some(format) if !is_json(format) => {
            Shape::Template(Format::parse(format).map_err(|sentence| written(show, sentence))?)
        }
        _ => Shape::Json,
    };
    let name = ImageName::parse(image).with_context(|| naming(image))?;
    let judge = policy.as_ref().filter(|_| verify);
    let retry = image::retries(flags);
    let inspect = Inspect { app, typed: image, name, options, retry, judge };
    app.doing(format!("inspecting {}", inspect.name));
    app.run(async {
        let source = retry::with(inspect.retry, async || {
            skopeo_transport::open(&inspect.name, &inspect.options)
                .await
                .with_context(|| naming(image))
        })
        .await?;
        let top = inspect.top(&*source).await?;
        match show {
            Show::Manifest => {
                inspect.admit(&*source, &top, &Which::Top).await?;
                Ok(print(&top.bytes)?)
            }
            Show::RawConfig => {
                let manifest = inspect.instance(&*source, &top).await?;
                let config = inspect.config(&*source, &manifest).await;
                let config = config.context("Error reading configuration blob")?;
                Ok(print(config.unwrap_or_default())?)
            }
            Show::Config => {
                let manifest = inspect.instance(&*source, &top).await?;
                let read = async || -> Result<_> {
                    let config = inspect.config(&*source, &manifest).await?;
                    Ok(manifest.oci_config(config.as_deref())?)
                };
                let config =
                    read().await.context("Error reading OCI-formatted configuration data")?;
                inspect.write(show, &shape, &config, || view::config(&config))
            }
            Show::Summary => inspect.summary(&*source, &top, flags, &shape).await,
            Show::Instances => {
                inspect.admit(&*source, &top, &Which::Top).await?;
                let digest = digest(&top, None, flags.maybe_text(names::MANIFEST_DIGEST))
                    .context("Error computing manifest digest")?;
                let overview = instances::overview(&inspect, &*source, &top, digest).await?;
                let json = || serde_json::to_value(&overview).unwrap_or_default();
                inspect.write(show, &shape, &overview, || Value::of_json(&json()))
            }
            Show::Signatures => {
                let policy = policy.as_ref().context("there is no policy")?;
                let all = signatures::list(policy, &*source, &top).await?;
                let value = |it| Value::of_json(&serde_json::to_value(it).unwrap_or_default());
                inspect.write_all(show, &shape, &all, || all.iter().map(value).collect())
            }
            Show::Referrers => {
                retry::with(inspect.retry, async || referrers::print_all(&*source, &top).await)
                    .await
            }
        }
    })
}

struct Inspect<'a> {
    app: &'a App,
    /// The name as the user typed it.
    typed: &'a str,
    name: ImageName,
    options: Options,
    retry: Retry,
    /// The policy that what is shown has to be admitted by, if that is asked for.
    judge: Option<&'a Policy>,
}

impl Inspect<'_> {
    /// The manifest that the name leads to.
    async fn top(&self, source: &dyn Source) -> Result<RawManifest> {
        let read = async || Ok(source.manifest(&Which::Top).await?);
        retry::with(self.retry, read).await.map_err(|error: Error| {
            // The original reads a registry's manifest, and finds a layout's, when it opens them.
            let missing =
                error.downcast_ref::<TransportError>().is_some_and(TransportError::is_not_found);
            if missing || self.name.is_in_registry() {
                error.context(naming(self.typed))
            } else {
                error.context("Error retrieving manifest for image")
            }
        })
    }

    /// Refuses a manifest that the policy does not admit, if it is asked.
    async fn admit(&self, source: &dyn Source, raw: &RawManifest, which: &Which) -> Result<()> {
        let Some(policy) = self.judge else { return Ok(()) };
        let gate = Gate { source, policy };
        retry::with(self.retry, async || gate.admit(raw, which).await).await
    }

    /// The manifest of the image; of a list, of the instance that serves best, through lists in
    /// lists.
    async fn instance(&self, source: &dyn Source, top: &RawManifest) -> Result<ImageManifest> {
        const PARSING: &str = "Error parsing manifest for image";
        /// One step is seen in the field, more is a trap.
        const DEEPEST: usize = 4;
        let (mut raw, mut which) = (top.clone(), Which::Top);
        for _ in 0..DEEPEST {
            let list = match raw.parse().context(PARSING)? {
                Manifest::Image(manifest) => {
                    self.admit(source, &raw, &which).await?;
                    return Ok(manifest);
                }
                Manifest::Index(list) => list,
            };
            let wanted = self.app.platforms();
            let digest = list.choose(&wanted);
            let digest = digest.context("choosing image instance").context(PARSING)?;
            if let (Some(other), Some(first)) =
                (list.other_system(&digest, &wanted), wanted.first())
            {
                tracing::warn!("There is no image for {first}: this is the one for {other}");
            }
            which = Which::Instance(digest);
            let read = async || Ok(source.manifest(&which).await?);
            raw = retry::with(self.retry, read)
                .await
                .context("fetching target platform image selected from manifest list")
                .context(PARSING)?;
        }
        Err(anyhow!("too many levels of lists in lists").context(PARSING))
    }

    /// The bytes of the config; a schema 1 image has none.
    async fn config(
        &self,
        source: &dyn Source,
        manifest: &ImageManifest,
    ) -> Result<Option<Vec<u8>>> {
        let Some(config) = manifest.config() else { return Ok(None) };
        retry::with(self.retry, async || Ok(Some(read_config(source, config).await?))).await
    }

    async fn summary(
        &self,
        source: &dyn Source,
        top: &RawManifest,
        flags: &Values,
        shape: &Shape,
    ) -> Result<()> {
        let list = artifacts_only(top, &self.app.platforms());
        let manifest = match list {
            Some(_) => {
                self.admit(source, top, &Which::Top).await?;
                None
            }
            None => Some(self.instance(source, top).await?),
        };
        let wanted = match shape {
            Shape::Json => true,
            Shape::Template(format) => format.looks_at("RepoTags"),
        };
        let lists = wanted && !flags.switch(names::NO_TAGS) && self.name.is_in_registry();
        let tags = async { if lists { self.tags().await } else { Ok(Vec::new()) } };
        // Of an artifact nothing but the manifest is read.
        let image = manifest.as_ref().filter(|manifest| !manifest.is_artifact());
        let config = async {
            match image {
                Some(manifest) => self.config(source, manifest).await,
                None => Ok(None),
            }
        };
        let (config, tags) = future::join(config, tags).await;
        let summary = match (image, &manifest) {
            (Some(image), _) => image.summary(config?.as_deref())?,
            (None, Some(artifact)) => Summary::of_layers(artifact.layers()),
            (None, None) => Summary::of_layers(Vec::new()),
        };
        let output = view::Output {
            name: source.name().docker_reference().map(|reference| reference.name.to_string()),
            digest: digest(top, manifest.as_ref(), flags.maybe_text(names::MANIFEST_DIGEST))
                .context("Error computing manifest digest")?,
            repo_tags: tags?,
            summary,
            more: more(top, list.as_ref(), manifest.as_ref()),
        };
        self.write(Show::Summary, shape, &output.json(), || output.value())
    }

    /// The tags of the repository. That a registry keeps them to itself is no failure.
    async fn tags(&self) -> Result<Vec<String>> {
        match skopeo_transport::tags(&self.name, &self.options).await {
            Ok(tags) => Ok(tags),
            Err(error) if error.registry().is_some_and(keeps_tags_to_itself) => {
                warn!("Registry disallows tag list retrieval; skipping");
                Ok(Vec::new())
            }
            Err(error) => Err(Error::from(error).context("Error determining repository tags")),
        }
    }

    fn write(
        &self,
        show: Show,
        shape: &Shape,
        json: &impl Serialize,
        value: impl FnOnce() -> Value,
    ) -> Result<()> {
        self.write_all(show, shape, json, || vec![value()])
    }

    /// The same of several, for each of which a template is filled in.
    fn write_all(
        &self,
        show: Show,
        shape: &Shape,
        json: &impl Serialize,
        values: impl FnOnce() -> Vec<Value>,
    ) -> Result<()> {
        let text = match shape {
            Shape::Json => {
                let mut text = go_json::to_vec_indent(json, "", "    ")?;
                text.push(b'\n');
                text
            }
            Shape::Template(format) => {
                format.print_all(values()).map_err(|sentence| written(show, sentence))?.into_bytes()
            }
        };
        Ok(print(text)?)
    }
}

fn naming(image: &str) -> String {
    format!("Error parsing image name {}", go::quote(image))
}

/// The error of a template, which only for configs says what was being written.
fn written(show: Show, sentence: String) -> Error {
    let error = anyhow!("{sentence}");
    match show {
        Show::Config => {
            error.context("Error writing OCI-formatted configuration data to standard output")
        }
        _ => error,
    }
}

/// Whether a registry answered that listing tags is not allowed, or not there at all: AWS ECR does
/// the one for users without ecr:ListImages, public.ecr.aws the other.
fn keeps_tags_to_itself(error: &skopeo_registry::Error) -> bool {
    match error.codes() {
        [] => error.status() == Some(404),
        [code, ..] => {
            let nobody_knows = ["NOT_FOUND", "UNKNOWN"].contains(&code.as_str());
            code == "DENIED" || nobody_knows && error.status() == Some(404)
        }
    }
}

/// The list, if it holds nothing that is for a platform, so that nothing could be chosen from it.
fn artifacts_only(top: &RawManifest, platforms: &[Platform]) -> Option<ImageIndex> {
    let Ok(Manifest::Index(list)) = top.parse() else { return None };
    let has_platform = list.instances().iter().any(Instance::has_platform);
    (!has_platform && list.choose(platforms).is_err()).then_some(list)
}

/// What is said only of what is no image.
fn more(
    top: &RawManifest,
    list: Option<&ImageIndex>,
    manifest: Option<&ImageManifest>,
) -> Option<view::More> {
    if let Some(list) = list {
        let manifests = list.instances().into_iter();
        let manifests = manifests.map(|instance| instance.descriptor.digest.to_string());
        return Some(view::More {
            mime_type: top.media_type.to_string(),
            artifact: list.artifact(),
            manifests: manifests.collect(),
        });
    }
    let artifact = manifest?.artifact()?;
    let mime_type = manifest?.media_type().to_string();
    Some(view::More { mime_type, artifact, manifests: Vec::new() })
}

/// The digest of the manifest, by the algorithm asked for, else by that of the config's digest.
fn digest(
    top: &RawManifest,
    manifest: Option<&ImageManifest>,
    asked: Option<&str>,
) -> Result<String> {
    let algorithm = match asked {
        Some("") => Algorithm::Sha256,
        Some(name) => name
            .parse()
            .map_err(|_| anyhow!("digest algorithm {} is not available", go::quote(name)))?,
        None => manifest
            .and_then(ImageManifest::config)
            .map_or(Algorithm::Sha256, |config| config.digest.algorithm()),
    };
    Ok(top.digest_by(algorithm)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_algorithm_asked_for() {
        let top = RawManifest::new(None, "{}".into());
        let config = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e","size":0},"layers":[]}"#;
        let raw = RawManifest::new(Some(skopeo_image::MediaType::OCI_MANIFEST), config.into());
        let Ok(Manifest::Image(manifest)) = raw.parse() else { panic!("an image") };
        for (asked, beginning) in [
            (None, "sha512:27c74670"),
            (Some("sha256"), "sha256:44136fa3"),
            (Some(""), "sha256:44136fa3"),
        ] {
            assert!(
                digest(&top, Some(&manifest), asked).unwrap().starts_with(beginning),
                "{asked:?}"
            );
        }
        let error = digest(&top, Some(&manifest), Some("md5")).unwrap_err();
        assert_eq!(error.to_string(), "digest algorithm \"md5\" is not available");
    }
}
