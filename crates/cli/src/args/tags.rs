//! Flags that choose among the tags of a repository.

use anyhow::{Context as _, Result, bail};
use skopeo_copy::select::{Filter, Order};

use super::flag::{Flag, Kind, Offers};
use super::value::{Values, choice};

const ORDERS: [&str; 3] = ["semver", "name", "created"];

/// Flags of every command that chooses among tags.
pub(crate) fn choosing() -> [Flag; 4] {
    [
        Flag::text("match", "only tags in which the regular expression REGEX matches")
            .placeholder("REGEX"),
        Flag::text("exclude", "no tags in which the regular expression REGEX matches")
            .placeholder("REGEX"),
        Flag::text("semver", "only tags that are versions in RANGE, as \">=1.2 <2 || ~3.4\"")
            .placeholder("RANGE"),
        Flag::switch("explain", "say on stderr of each tag that is left out why it is"),
    ]
}

/// Flags of `list-tags` alone.
pub(crate) fn listing() -> [Flag; 3] {
    [
        Flag::new("newest", Kind::Uint, "only the last N in the order of --sort, else of the versions with --semver, else of creation")
            .placeholder("N"),
        Flag::text("sort", "order of the tags (semver, name, or created), the newest last")
            .offers(Offers::Words(&ORDERS)),
        Flag::switch("details", "ask for digest, creation time, size and platforms of each tag"),
    ]
}

/// What the choosing flags said.
///
/// # Errors
/// If a value is no expression, or no range.
pub(crate) fn filter(values: &Values) -> Result<Filter> {
    let text = |flag| values.text(flag);
    Ok(Filter::new(text("match"), text("exclude"), text("semver"))?)
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
    /// If a value is none of those there may be.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let newest = match values.uint("newest") {
            Some(0) => bail!("--newest must be at least 1"),
            newest => {
                newest.map(usize::try_from).transpose().context("--newest is out of range")?
            }
        };
        let order = match choice(values, "sort", &ORDERS)? {
            Some("semver") => Order::Semver,
            Some("name") => Order::Name,
            Some(_) => Order::Created,
            None if newest.is_none() => Order::AsListed,
            None if values.has("semver") => Order::Semver,
            None => Order::Created,
        };
        let (details, explain) = (values.switch("details"), values.switch("explain"));
        Ok(Self { filter: filter(values)?, order, newest, details, explain })
    }
}
