//! Flags about lists of images, which `copy` and `sync` share.

use anyhow::{Result, bail};
use skopeo_copy::{Lists, Others};
use skopeo_image::PlatformFilter;

use super::flag::{Flag, Offers};
use super::names;
use super::value::Values;
use crate::go;

/// `--all`.
pub(crate) fn all() -> Flag {
    Flag::new(names::ALL, "copy every image of an index, not only the one for this machine")
        .short('a')
}

/// `--multi-arch` and what belongs to it.
pub(crate) fn multi_arch() -> [Flag; 4] {
    [
        Flag::new(names::MULTI_ARCH,
            "images of an index to copy (system, all, index-only, or platforms: linux/amd64,linux/arm64/v8)",
        )
        .offers(Offers::Words(&["system", "all", "index-only"])),
        Flag::new(names::MULTI_ARCH_SPARSE,
            "with platforms: do not change the index, although it also names images that are not copied",
        ),
        Flag::new(names::STRIP_REMOVED_PLATFORMS,
            "with platforms: remove from the index the images that are not copied (the default)",
        ),
        Flag::new(names::ADD_COMPRESSION,
            "offer every image of an index in FORMAT too (zstd, beside gzip)",
        )
        .placeholder("FORMAT")
        .offers(Offers::Words(&["gzip", "zstd"])),
    ]
}

/// `--platform`, for many images.
pub(crate) fn platform() -> Flag {
    Flag::new(
        names::PLATFORM,
        "copy only this PLATFORM of an index, such as linux/amd64; the index is reduced to the platforms that are given",
    )
    .placeholder("PLATFORM")
}

/// What `--all` and `--platform` say of lists.
pub(crate) fn of_many(values: &Values) -> Result<Lists> {
    match (values.texts(names::PLATFORM), values.switch(names::ALL)) {
        ([], true) => Ok(Lists::All),
        ([], false) => Ok(Lists::System),
        (_, true) => bail!("Cannot use --all and --platform flags together"),
        (named, false) => {
            let wanted = platforms(named.iter().map(String::as_str), "--platform")?;
            Ok(Lists::Platforms { wanted, others: Others::Remove })
        }
    }
}

/// What the flags say of lists.
pub(crate) fn lists(values: &Values) -> Result<Lists> {
    let multi_arch = values.maybe_text(names::MULTI_ARCH);
    let others = others(values)?;
    let lists = match multi_arch {
        Some(_) if values.switch(names::ALL) => {
            bail!("Cannot use --all and --multi-arch flags together")
        }
        Some("system") => Lists::System,
        Some("all") => Lists::All,
        Some("index-only") if values.switch(names::STRIP_REMOVED_PLATFORMS) => {
            bail!("requested operation filtered out all platforms and would create an empty image")
        }
        Some("index-only") => Lists::IndexOnly,
        Some(list) if list.contains('/') => Lists::Platforms {
            wanted: platforms(list.split(','), "--multi-arch")?,
            others: others.unwrap_or_default(),
        },
        Some(other) => bail!(
            "unknown multi-arch option {}. Choose one of the supported options: 'system', 'all', \
             'index-only', or a comma-separated platform list like 'linux/amd64,linux/arm64'",
            go::quote(other)
        ),
        None if values.switch(names::ALL) => Lists::All,
        None => Lists::System,
    };
    if others == Some(Others::Keep) && !matches!(lists, Lists::Platforms { .. }) {
        bail!("--multi-arch-sparse can only be used with platforms in --multi-arch");
    }
    Ok(lists)
}

fn others(values: &Values) -> Result<Option<Others>> {
    match (values.switch(names::MULTI_ARCH_SPARSE), values.switch(names::STRIP_REMOVED_PLATFORMS)) {
        (true, true) => {
            bail!("--multi-arch-sparse and --strip-removed-platforms cannot be used together")
        }
        (true, false) => Ok(Some(Others::Keep)),
        (false, true) => Ok(Some(Others::Remove)),
        (false, false) => Ok(None),
    }
}

fn platforms<'a>(list: impl Iterator<Item = &'a str>, flag: &str) -> Result<Vec<PlatformFilter>> {
    let platform = |text: &str| match text.trim().parse() {
        Ok(filter) => Ok(filter),
        Err(error) => bail!(
            "{error} in {flag}, expected OS/Architecture (e.g., linux/amd64) or \
             OS/Architecture/Variant"
        ),
    };
    list.map(platform).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::value::Value;

    fn read(words: &[(&str, &str)]) -> Result<Lists, String> {
        let mut values = Values::default();
        let flags: Vec<Flag> = multi_arch().into_iter().chain([all()]).collect();
        for (name, text) in words {
            let flag = flags.iter().find(|flag| flag.name == *name).unwrap();
            values.set_read(name, Value::parse(flag.kind, text).unwrap());
        }
        lists(&values).map_err(|error| error.to_string())
    }

    #[test]
    fn platforms_of_many_are_read() {
        let read = |words: &[(&str, &str)]| {
            let mut values = Values::default();
            for (name, text) in words {
                let flag = if *name == "all" { all() } else { platform() };
                values.set_read(name, Value::parse(flag.kind, text).unwrap());
            }
            of_many(&values).map_err(|error| error.to_string())
        };
        let wanted = ["linux/amd64", "linux/arm64/v8"].map(|text| text.parse().unwrap()).to_vec();
        let lists = Lists::Platforms { wanted, others: Others::Remove };
        assert_eq!(read(&[("platform", "linux/amd64,linux/arm64/v8")]), Ok(lists.clone()));
        assert_eq!(read(&[("platform", "linux/amd64"), ("platform", "linux/arm64/v8")]), Ok(lists));
        assert_eq!(read(&[("all", "true")]), Ok(Lists::All));
        assert_eq!(read(&[]), Ok(Lists::System));
        assert!(read(&[("platform", "amd64")]).unwrap_err().contains("in --platform, expected"));
        assert!(read(&[("platform", "linux/amd64"), ("all", "true")]).is_err());
    }

    #[test]
    fn platforms_are_read() {
        let filters =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let sparse = ("multi-arch-sparse", "true");
        let strip = ("strip-removed-platforms", "true");
        for (more, others) in [(None, Others::Remove), (Some(sparse), Others::Keep)] {
            let mut words = vec![("multi-arch", "linux/amd64, linux/arm64/v8")];
            words.extend(more);
            let wanted = filters(&["linux/amd64", "linux/arm64/v8"]);
            assert_eq!(read(&words), Ok(Lists::Platforms { wanted, others }));
        }
        assert_eq!(read(&[("multi-arch", "all"), strip]), Ok(Lists::All));
        assert_eq!(read(&[strip]), Ok(Lists::System));
        for (words, sentence) in [
            (
                vec![("multi-arch", "linux")],
                "unknown multi-arch option \"linux\". Choose one of the supported options: \
                 'system', 'all', 'index-only', or a comma-separated platform list like \
                 'linux/amd64,linux/arm64'",
            ),
            (
                vec![("multi-arch", "linux/amd64,all")],
                "invalid platform format \"all\" in --multi-arch, expected OS/Architecture (e.g., \
                 linux/amd64) or OS/Architecture/Variant",
            ),
            (
                vec![("multi-arch", "linux/amd64"), ("all", "true")],
                "Cannot use --all and --multi-arch flags together",
            ),
            (
                vec![("all", "true"), sparse],
                "--multi-arch-sparse can only be used with platforms in --multi-arch",
            ),
            (
                vec![("multi-arch", "linux/amd64"), sparse, strip],
                "--multi-arch-sparse and --strip-removed-platforms cannot be used together",
            ),
            (
                vec![("multi-arch", "index-only"), strip],
                "requested operation filtered out all platforms and would create an empty image",
            ),
        ] {
            assert_eq!(read(&words).unwrap_err(), sentence);
        }
    }
}
