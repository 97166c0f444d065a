//! Flags that choose among the tags of a repository.

use anyhow::{Context as _, Result, bail};
use skopeo_sync::select::{Choice, Filter, Order, Since};

use super::flag::{Flag, Offers};
use super::handle::Handle;
use super::kind::Kind;
use super::names;
use super::value::{self, Value, Values};
use crate::go;

const ORDERS: [&str; 3] = ["semver", "name", "created"];

/// Flags of every command that chooses among the tags of one repository.
pub(crate) fn choosing() -> [Flag; 5] {
    [
        matching(names::MATCH),
        Flag::new(names::INCLUDE, "another name of --match").alias_of(names::MATCH),
        excluding(),
        range(),
        Flag::new(names::EXPLAIN, "print on stderr why each other tag is left out"),
    ]
}

/// Flags of `sync` alone.
pub(crate) fn syncing() -> [Flag; 6] {
    [
        matching(names::INCLUDE),
        excluding(),
        range(),
        Flag::new(names::NEWEST,
            "keep only N of the remaining tags: the highest versions with --semver, otherwise the newest images",
        )
        .placeholder("N"),
        Flag::new(names::SINCE,  "only images made since DATE, such as 2026-01-31, 12h, 30d or 4w")
            .placeholder("DATE"),
        Flag::new(names::EXPLAIN,  "print on stderr why each tag is selected or not"),
    ]
}

fn matching(flag: Handle<Vec<String>>) -> Flag {
    let usage =
        "only tags that match the regular expression REGEX; with several, at least one of them";
    Flag::new(flag, usage).placeholder("REGEX")
}

fn excluding() -> Flag {
    let usage = "leave out tags that match the regular expression REGEX; with several, any of them";
    Flag::new(names::EXCLUDE, usage).placeholder("REGEX")
}

fn range() -> Flag {
    Flag::new(names::SEMVER, "only tags that are versions in RANGE, such as \">=1.2 <2 || ~3.4\"")
        .placeholder("RANGE")
}

/// Flags of `list-tags` alone.
pub(crate) fn listing() -> [Flag; 3] {
    [
        Flag::new(names::NEWEST,  "only the last N in the order of --sort; without it by version with --semver, otherwise by creation time")
            .placeholder("N"),
        Flag::new(names::SORT,  "order of the tags (semver, name, or created), the newest last")
            .offers(Offers::Words(&ORDERS)),
        Flag::new(names::DETAILS,  "print digest, creation time, size and platforms of each tag"),
    ]
}

/// Flags of `delete` alone.
pub(crate) fn deleting() -> [Flag; 5] {
    [
        Flag::new(
            names::DRY_RUN,
            "only print what would be deleted, and which other tags would be deleted too",
        ),
        Flag::new(names::TAG_ONLY, "delete the tag and keep its image and all other tags"),
        Flag::new(
            names::OLDER_THAN,
            "only tags of images that are older than AGE, such as 12h, 30d or 4w",
        )
        .placeholder("AGE"),
        Flag::new(
            names::KEEP,
            "keep the N newest of the selected tags: by version with --semver, otherwise by creation time",
        )
        .placeholder("N"),
        Flag::new(names::YES, "delete the selected tags without asking"),
    ]
}

/// Whether any of the choosing flags was given.
pub(crate) fn chooses(values: &Values) -> bool {
    let flags = [
        names::MATCH.any(),
        names::EXCLUDE.any(),
        names::SEMVER.any(),
        names::OLDER_THAN.any(),
        names::KEEP.any(),
    ];
    flags.into_iter().any(|flag| values.has(flag))
}

/// What the choosing flags said.
///
/// # Errors
/// If a value is no expression, or no range.
pub(crate) fn filter(values: &Values) -> Result<Filter> {
    Ok(Filter::new(
        values.texts(names::MATCH),
        values.texts(names::EXCLUDE),
        values.text(names::SEMVER),
    )?)
}

/// Whether any of the flags that choose for `sync` was given.
pub(crate) fn syncing_chooses(values: &Values) -> bool {
    let flags = [
        names::INCLUDE.any(),
        names::EXCLUDE.any(),
        names::SEMVER.any(),
        names::NEWEST.any(),
        names::SINCE.any(),
    ];
    flags.into_iter().any(|flag| values.has(flag))
}

/// What the choosing flags of `sync` said.
///
/// # Errors
/// If a value is not one of those that are allowed.
pub(crate) fn choice(values: &Values) -> Result<Choice> {
    let semver = values.text(names::SEMVER);
    let filter = Filter::new(values.texts(names::INCLUDE), values.texts(names::EXCLUDE), semver)?;
    let since = values.text(names::SINCE).map(str::parse::<Since>).transpose();
    let order = if semver.is_some() { Order::Semver } else { Order::Created };
    Ok(Choice { filter, since: since.context("--since")?, newest: newest(values)?, order })
}

fn newest(values: &Values) -> Result<Option<usize>> {
    match values.uint(names::NEWEST) {
        Some(0) => bail!("--newest must be at least 1"),
        newest => newest.map(usize::try_from).transpose().context("--newest is out of range"),
    }
}

/// What the flags of `list-tags` said.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) newest: Option<usize>,
    pub(crate) details: bool,
    pub(crate) explain: bool,
}

impl Listing {
    /// # Errors
    /// If a value is not one of those that are allowed.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let newest = newest(values)?;
        let order = match value::choice(values, names::SORT, &ORDERS)? {
            Some("semver") => Order::Semver,
            Some("name") => Order::Name,
            Some(_) => Order::Created,
            None if newest.is_none() => Order::AsListed,
            None if values.has(names::SEMVER) => Order::Semver,
            None => Order::Created,
        };
        let (details, explain) = (values.switch(names::DETAILS), values.switch(names::EXPLAIN));
        Ok(Self { filter: filter(values)?, order, newest, details, explain })
    }
}

/// What the flags of `delete` said.
#[derive(Clone, Debug)]
pub(crate) struct Deleting {
    pub(crate) dry_run: bool,
    pub(crate) tag_only: bool,
    pub(crate) yes: bool,
    pub(crate) explain: bool,
    /// Which tags of a repository are meant; none if one image is.
    pub(crate) chosen: Option<Chosen>,
}

/// Which tags of a repository are to be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) filter: Filter,
    /// In seconds.
    pub(crate) older_than: Option<i64>,
    pub(crate) keep: Option<usize>,
    /// What the newest are the last in.
    pub(crate) order: Order,
}

impl Deleting {
    /// # Errors
    /// If a value is not one of those that are allowed.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let chosen = if chooses(values) { Some(Chosen::new(values)?) } else { None };
        Ok(Self {
            dry_run: values.switch(names::DRY_RUN),
            tag_only: values.switch(names::TAG_ONLY),
            yes: values.switch(names::YES),
            explain: values.switch(names::EXPLAIN),
            chosen,
        })
    }
}

impl Chosen {
    fn new(values: &Values) -> Result<Self> {
        let older_than = values.text(names::OLDER_THAN).map(age).transpose()?;
        let keep = values.uint(names::KEEP).map(usize::try_from).transpose();
        let keep = keep.context("--keep is out of range")?;
        let order = if values.has(names::SEMVER) { Order::Semver } else { Order::Created };
        Ok(Self { filter: filter(values)?, older_than, keep, order })
    }
}

/// Seconds of an age: a duration of Go's, or a number of days or weeks.
fn age(text: &str) -> Result<i64> {
    let days = match text.strip_suffix(['d', 'w']) {
        Some(number) => number.parse::<u32>().ok().map(i64::from),
        None => None,
    };
    if let Some(number) = days {
        let unit = if text.ends_with('w') { 7 * 86_400 } else { 86_400 };
        return Ok(number.saturating_mul(unit));
    }
    match Value::parse(Kind::Duration, text) {
        Ok(Value::Duration(duration)) if duration.0 > 0 => Ok(duration.0 / 1_000_000_000),
        _ => bail!("invalid age {} for --older-than: use 12h, 30d or 4w", go::quote(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read() {
        for (text, seconds) in [
            ("30d", Some(2_592_000)),
            ("4w", Some(2_419_200)),
            ("12h", Some(43_200)),
            ("1h30m", Some(5_400)),
            ("0d", Some(0)),
            ("d", None),
            ("-1d", None),
            ("-1h", None),
            ("1y", None),
            ("", None),
            ("99999999999w", None),
        ] {
            assert_eq!(age(text).ok(), seconds, "{text}");
        }
    }
}
