//! Flags about the names of many images at their destination.

use anyhow::{Result, anyhow, bail};
use skopeo_sync::naming::{Fields, Naming, Scope, Template};

use super::flag::Flag;
use super::handle::Handle;
use super::names;
use super::value::Values;
use crate::template::Format;
use crate::template::value::Value;

/// What the template is called in errors.
const TEMPLATE: Handle<String> = names::DEST_TEMPLATE;

/// The flags that make names of parts.
const PARTS: [Handle<()>; 5] = [
    names::SCOPED.any(),
    names::PRESERVE_PATH.any(),
    names::STRIP_PREFIX.any(),
    names::PREFIX.any(),
    names::PREPEND_IMAGE_SUFFIX.any(),
];

/// The original's, and what it is patched for.
pub(crate) fn flags() -> [Flag; 7] {
    [
        Flag::new(names::SCOPED, "keep the whole name of the source with its registry"),
        Flag::new(names::PRESERVE_PATH, "keep the whole name of the source without its registry"),
        Flag::new(
            names::STRIP_PREFIX,
            "remove the whole components PATH from the front of the source's name",
        )
        .placeholder("PATH"),
        Flag::new(names::PREFIX, "add the components PATH in front of the name").placeholder("PATH"),
        Flag::new(names::PREPEND_IMAGE_SUFFIX, "text to add in front of the last component of the name"),
        Flag::new(names::APPEND_SUFFIX, "text to add at the end of every tag or folder"),
        Flag::new(
            TEMPLATE,
            "Go TEMPLATE of the destination name, such as {{.Registry}}/{{.Path}}/{{.Name}}:{{.Tag}}",
        )
        .placeholder("TEMPLATE"),
    ]
}

/// What the flags say.
///
/// # Errors
/// If they contradict each other, or the template is not valid.
pub(crate) fn naming(values: &Values) -> Result<Naming> {
    let text = |name| values.text(name).unwrap_or_default().to_owned();
    if values.switch(names::SCOPED) && values.switch(names::PRESERVE_PATH) {
        bail!("--scoped and --preserve-path cannot be used together");
    }
    let template = match values.maybe_text(TEMPLATE) {
        Some(_) if PARTS.into_iter().any(|flag| values.has(flag)) => {
            bail!(
                "--{TEMPLATE} makes the whole name: of the flags about it, only --append-suffix can be used with it"
            )
        }
        Some(text) => Some(template(text).map_err(|sentence| anyhow!(sentence))?),
        None => None,
    };
    let scope = match (values.switch(names::SCOPED), values.switch(names::PRESERVE_PATH)) {
        (true, _) => Scope::Full,
        (_, true) => Scope::Path,
        _ => Scope::Last,
    };
    Ok(Naming {
        scope,
        strip_prefix: text(names::STRIP_PREFIX),
        prefix: text(names::PREFIX),
        image_prefix: text(names::PREPEND_IMAGE_SUFFIX),
        suffix: text(names::APPEND_SUFFIX),
        template,
    })
}

/// Whether any of the flags was given.
pub(crate) fn is_said(values: &Values) -> bool {
    let more = [names::APPEND_SUFFIX.any(), TEMPLATE.any()];
    PARTS.into_iter().chain(more).any(|flag| values.has(flag))
}

/// A template for names. The error is a whole sentence.
pub(crate) fn template(text: &str) -> Result<Template, String> {
    let format = Format::plain(TEMPLATE.bare(), text)?;
    Ok(Template::new(move |fields| format.fill(&value(fields))))
}

fn value(fields: &Fields) -> Value {
    let Fields { registry, path, name, repository, tag, digest } = fields;
    let pairs = [
        ("Registry", registry),
        ("Path", path),
        ("Name", name),
        ("Repository", repository),
        ("Tag", tag),
        ("Digest", digest),
    ];
    let json: serde_json::Map<_, _> =
        pairs.iter().map(|(key, text)| ((*key).to_owned(), text.as_str().into())).collect();
    let fields = pairs.into_iter().map(|(key, text)| (key, Value::text(text))).collect();
    Value::structure("names.Fields", &json, fields)
}

#[cfg(test)]
mod tests {
    use skopeo_sync::naming::Origin;
    use skopeo_transport::CollectionKind;

    use super::*;
    use crate::args::value::Value as Given;

    fn name(flags: &[(&str, &str)], label: &str) -> Result<String, String> {
        let mut values = Values::default();
        for (name, text) in flags {
            let flag = super::flags().into_iter().find(|flag| flag.name == *name).unwrap();
            values.set_read(name, Given::parse(flag.kind, text).unwrap());
        }
        let naming = naming(&values).map_err(|error| error.to_string())?;
        let label = naming.label(Origin::Label(label), CollectionKind::Docker);
        label.map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_made_as_the_flags_say() {
        let digest = format!("q.io/a/b/c@sha256:{}", "0".repeat(64));
        for (flags, from, to) in [
            (&[][..], "q.io/a/b/c:1", "c:1"),
            (&[("scoped", "true")], "q.io/a/b/c:1", "q.io/a/b/c:1"),
            (&[("preserve-path", "true"), ("append-suffix", "-x")], "q.io/a/b/c:1", "a/b/c:1-x"),
            (&[("strip-prefix", "q.io/a"), ("prefix", "m")], "q.io/a/b/c:1", "m/b/c:1"),
            (&[("prepend-image-suffix", "proj-")], "q.io/a/b/c:1", "proj-c:1"),
            (
                &[("dest-template", "{{.Registry}}/{{.Path}}/{{.Name}}:{{.Tag}}")],
                "q.io/c:1",
                "q.io/c:1",
            ),
            (
                &[("dest-template", "x/{{.Repository}}:{{.Tag}}")],
                &digest,
                &digest.replace("q.io", "x"),
            ),
            (
                &[
                    ("dest-template", "{{.Path | upper | lower}}-{{.Name}}:{{.Tag}}"),
                    ("append-suffix", "-x"),
                ],
                "q.io/a/b/c:1",
                "a/b-c:1-x",
            ),
        ] {
            assert_eq!(name(flags, from).as_deref(), Ok(to), "{flags:?}");
        }
        for (flags, sentence) in [
            (&[("scoped", "true"), ("preserve-path", "true")][..], "cannot be used together"),
            (&[("dest-template", "x"), ("prefix", "m")], "makes the whole name"),
            (&[("dest-template", "{{.Nope}}")], "can't evaluate field Nope in type names.Fields"),
            (&[("dest-template", "{{")], "template: dest-template:1: "),
            (&[("dest-template", "../{{.Name}}")], "would be outside the destination"),
        ] {
            let error = name(flags, "q.io/a/b/c:1").unwrap_err();
            assert!(error.contains(sentence), "{flags:?}: {error}");
        }
    }
}
