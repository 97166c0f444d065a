//! The keys of an entry, and what they come to with the defaults.

use serde::Deserialize;
use serde_saphyr::Spanned;
use skopeo_image::{Named, Reference};
use skopeo_transport::{CollectionKind, split_layout};

use super::{Entry, From, Platforms, Tags};
use crate::config::values::{Count, Expression, Range, Several, Tag, Text};
use crate::config::{Malformed, World};
use crate::destination::{NamedTarget, Target};
use crate::naming::{Naming, Scope, Template};
use crate::select::{Choice, Filter, Order, Since};

/// Defines a struct with the keys that both have, so that unknown ones are refused with their line
/// (what is flattened would lose it).
macro_rules! keys {
    ($(#[$attribute:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub(super) struct $name {
            $($own)*
            into: Option<Spanned<Several>>,
            include: Option<Vec<Expression>>,
            exclude: Option<Vec<Expression>>,
            semver: Option<Range>,
            newest: Option<Count>,
            since: Option<Text<Since>>,
            platforms: Option<Platforms>,
            scoped: Option<bool>,
            preserve_path: Option<bool>,
            strip_prefix: Option<String>,
            prefix: Option<String>,
            prepend_image_suffix: Option<String>,
            append_suffix: Option<String>,
            dest_template: Option<Spanned<String>>,
        }
    };
}

keys!(
    /// What entries say that do not say it themselves.
    RawDefaults {}
);

keys!(
    /// An entry as it is written.
    RawEntry {
        from: Option<Spanned<String>>,
        to: Option<Spanned<Several>>,
        repos: Option<Expression>,
        tags: Option<Vec<Tag>>,
    }
);

impl RawEntry {
    /// The entry with the defaults in it; `at` is its place in the list.
    pub(super) fn resolved(
        self,
        at: usize,
        defaults: &RawDefaults,
        world: World<'_>,
    ) -> Result<Entry, Malformed> {
        let key = format!("images[{at}]");
        let Some(written) = &self.from else {
            return Err(Malformed::nowhere(&key, "from is missing"));
        };
        let place = written.referenced;
        let wrong =
            |under: &str, problem: String| Malformed::at(place, &format!("{key}.{under}"), problem);
        let repositories = self.repos.as_ref().map(|repos| repos.0.clone());
        let from =
            source(&written.value, repositories).map_err(|problem| wrong("from", problem))?;
        if self.repos.is_some() && !matches!(from, From::Registry { .. }) {
            return Err(wrong("repos", "only a registry has repositories to choose from".into()));
        }
        if self.filters() && matches!(from, From::Image(_)) {
            return Err(wrong("from", "this is one image, and there is nothing to choose".into()));
        }
        let tags = match &self.tags {
            Some(_) if self.filters() => {
                return Err(wrong("tags", "either tags are named or they are chosen".into()));
            }
            Some(_) if !matches!(from, From::Repository(_)) => {
                return Err(wrong("tags", "only a repository has tags".into()));
            }
            Some(tags) => Tags::These(tags.iter().map(|tag| tag.0.clone()).collect()),
            None => Tags::Chosen(self.choice(defaults, &from).map_err(|it| wrong("from", it))?),
        };
        let naming = self.naming(&key, defaults, world)?;
        let targets = self.targets(&key, &from, &naming, defaults)?;
        let platforms = self.platforms.clone().or_else(|| defaults.platforms.clone());
        Ok(Entry { key, line: place.line(), from, tags, platforms, naming, targets })
    }

    fn filters(&self) -> bool {
        self.include.is_some()
            || self.exclude.is_some()
            || self.semver.is_some()
            || self.newest.is_some()
            || self.since.is_some()
    }

    fn choice(&self, defaults: &RawDefaults, from: &From) -> Result<Choice, String> {
        // Defaults are about repositories: a place is taken as it is unless its entry says more.
        let nothing = RawDefaults::default();
        let defaults = if let From::Repository(_) | From::Registry { .. } = from {
            defaults
        } else {
            &nothing
        };
        let texts = |own: &Option<Vec<Expression>>, other: &Option<Vec<Expression>>| {
            let list = own.as_ref().or(other.as_ref()).map(Vec::as_slice).unwrap_or_default();
            list.iter().map(|it| it.0.clone()).collect::<Vec<_>>()
        };
        let include = texts(&self.include, &defaults.include);
        let exclude = texts(&self.exclude, &defaults.exclude);
        let semver = self.semver.as_ref().or(defaults.semver.as_ref()).map(|it| it.0.as_str());
        let filter = Filter::new(&include, &exclude, semver).map_err(|it| it.to_string())?;
        let newest = self.newest.as_ref().or(defaults.newest.as_ref()).map(|it| it.0.get());
        let since = self.since.as_ref().or(defaults.since.as_ref()).map(|it| it.0.clone());
        let order = if semver.is_some() { Order::Semver } else { Order::Created };
        let choice = Choice { filter, since, newest, order };
        if matches!(from, From::Held(_)) && choice.needs_times() {
            return Err("only registries are asked when images were made".to_owned());
        }
        Ok(choice)
    }

    fn naming(
        &self,
        key: &str,
        defaults: &RawDefaults,
        world: World<'_>,
    ) -> Result<Naming, Malformed> {
        let text = |own: &Option<String>, other: &Option<String>| {
            own.clone().or_else(|| other.clone()).unwrap_or_default()
        };
        let scoped = self.scoped.or(defaults.scoped).unwrap_or_default();
        // What an entry says itself of how much is kept is not undone by a default.
        let path =
            self.preserve_path.or_else(|| defaults.preserve_path.filter(|_| self.scoped.is_none()));
        let scope = match (self.preserve_path, scoped, path.unwrap_or_default()) {
            (Some(true), ..) | (None, false, true) => Scope::Path,
            (_, true, _) => Scope::Full,
            _ => Scope::Last,
        };
        let template = match self.dest_template.as_ref().or(defaults.dest_template.as_ref()) {
            Some(text) => Some((world.template)(&text.value).map_err(|problem| {
                let key = format!("{key}.dest-template");
                Malformed::at(text.referenced, &key, problem)
            })?),
            None => None,
        };
        Ok(Naming {
            scope,
            strip_prefix: text(&self.strip_prefix, &defaults.strip_prefix),
            prefix: text(&self.prefix, &defaults.prefix),
            image_prefix: text(&self.prepend_image_suffix, &defaults.prepend_image_suffix),
            suffix: text(&self.append_suffix, &defaults.append_suffix),
            template,
        })
    }

    /// What `to` and `into` say; a default place is only for entries that say neither.
    fn targets(
        &self,
        key: &str,
        from: &From,
        naming: &Naming,
        defaults: &RawDefaults,
    ) -> Result<Vec<NamedTarget>, Malformed> {
        let mut targets = Vec::new();
        let default = defaults.into.as_ref().filter(|_| self.to.is_none());
        if let Some(places) = self.into.as_ref().or(default) {
            for text in &places.value.0 {
                let place = text.parse::<Target>().map_err(|problem| {
                    Malformed::at(places.referenced, &format!("{key}.into"), problem)
                })?;
                targets.push(NamedTarget { place, naming: naming.clone() });
            }
        }
        if let Some(names) = &self.to {
            for text in &names.value.0 {
                let target = exactly(text, from, &naming.suffix).map_err(|problem| {
                    Malformed::at(names.referenced, &format!("{key}.to"), problem)
                })?;
                targets.push(target);
            }
        }
        Ok(targets)
    }
}

/// What `from` means.
fn source(text: &str, repositories: Option<String>) -> Result<From, String> {
    if let Some(host) = text.strip_prefix("registry:") {
        let host = host.trim_start_matches('/').trim_end_matches('/').to_owned();
        // A host is one if a repository can be in it.
        return match Named::parse_normalized(&format!("{host}/x")) {
            Ok(name) if name.domain() == host => Ok(From::Registry { host, repositories }),
            _ => Err(format!("{host:?} is no host of a registry")),
        };
    }
    if let Some(reference) = text.strip_prefix("docker:") {
        let reference = reference.strip_prefix("//").unwrap_or(reference);
        let reference =
            Reference::parse_normalized(reference).map_err(|error| format!("{text:?}: {error}"))?;
        let one = !reference.is_name_only();
        return Ok(if one { From::Image(reference) } else { From::Repository(reference) });
    }
    text.parse().map(From::Held).map_err(|_| {
        format!(
            "invalid source {text:?}: use docker://REPOSITORY, registry://HOST, dir:, oci:, \
             oci-archive:, docker-archive: or containers-storage:"
        )
    })
}

/// What `to` means: the name itself, as `copy` takes it, and not a place that names are made in.
fn exactly(text: &str, from: &From, suffix: &str) -> Result<NamedTarget, String> {
    let one = matches!(from, From::Image(_));
    let several = || {
        format!("{text:?} is the name of one image, and from may be several: use into for a place")
    };
    let target = |kind: CollectionKind, place: &str, label: Label| {
        let suffix = suffix.to_owned();
        let template = Template::new(move |fields| Ok(label.of(&fields.tag)));
        let place = Target { kind, place: place.to_owned() };
        NamedTarget {
            place,
            naming: Naming { suffix, template: Some(template), ..Naming::default() },
        }
    };
    let Some((transport, details)) = text.split_once(':') else {
        return Err(format!("invalid name {text:?}: use docker://REPOSITORY, as copy does"));
    };
    let Some(kind) = CollectionKind::parse(transport) else {
        return Err(format!("invalid name {text:?}: nothing can be written to {transport} here"));
    };
    match kind {
        CollectionKind::Docker => {
            let details = details.strip_prefix("//").unwrap_or(details);
            let reference = Reference::parse_normalized(details)
                .map_err(|error| format!("{text:?}: {error}"))?;
            if !matches!(from, From::Image(_) | From::Repository(_)) {
                return Err(several());
            }
            let path = reference.name.path().to_owned();
            let label = match &reference.tag {
                _ if reference.digest.is_some() => {
                    return Err(format!("{text:?}: a digest is not for anyone to choose"));
                }
                Some(_) if !one => return Err(several()),
                Some(tag) => Label::Exactly(format!("{path}:{tag}")),
                None => Label::Repository(path),
            };
            Ok(target(kind, reference.name.domain(), label))
        }
        _ if !one => Err(several()),
        CollectionKind::Dir => {
            let path = details.trim_end_matches('/');
            let (place, label) = path.rsplit_once('/').unwrap_or((".", path));
            let place = if place.is_empty() { "/" } else { place };
            if ["", ".", ".."].contains(&label) {
                return Err(format!("invalid name {text:?}"));
            }
            Ok(target(kind, place, Label::Exactly(label.to_owned())))
        }
        CollectionKind::Storage => {
            let (place, label) = match details.find(']') {
                Some(end) if details.starts_with('[') => details.split_at(end.saturating_add(1)),
                _ => ("", details),
            };
            if label.is_empty() {
                return Err(format!("{text:?} does not say what the image is called"));
            }
            Ok(target(kind, place, Label::Exactly(label.to_owned())))
        }
        CollectionKind::Oci | CollectionKind::OciArchive | CollectionKind::DockerArchive => {
            match split_layout(details) {
                Some((place, label)) if !place.is_empty() && !label.is_empty() => {
                    Ok(target(kind, place, Label::Exactly(label.to_owned())))
                }
                _ => Err(format!("{text:?} does not say what the image is called: use PATH:NAME")),
            }
        }
    }
}

enum Label {
    Exactly(String),
    Repository(String),
}

impl Label {
    fn of(&self, tag: &str) -> String {
        match self {
            Self::Exactly(label) => label.clone(),
            Self::Repository(path) => format!("{path}:{tag}"),
        }
    }
}
