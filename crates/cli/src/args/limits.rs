//! `--limit-rate`, for both sides or one; `--blob-connections`; sizes in bytes.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use skopeo_blob::Rate;
use skopeo_copy::Rates;

use super::flag::Flag;
use super::handle::{Handle, Prefix};
use super::names;
use super::size;
use super::value::Values;
use crate::go;

/// More connections for one blob would be an attack, and take 12 MiB of memory each.
const MOST_CONNECTIONS: usize = 64;

pub(crate) fn flags() -> [Flag; 4] {
    [
        Flag::new(
            names::BLOB_CONNECTIONS,
            "read a blob of 32 MiB or more over N connections at once; the default is 1",
        )
        .placeholder("N"),
        Flag::new(names::LIMIT_RATE,
            "transfer blobs with at most RATE bytes a second on each side, such as 20MiB/s or 500kB/s",
        )
        .placeholder("RATE"),
        Flag::new(names::LIMIT_RATE.of(Prefix::Source),  "read blobs from the source with at most RATE bytes a second, such as 20MiB/s")
            .placeholder("RATE"),
        Flag::new(names::LIMIT_RATE.of(Prefix::Destination),  "write blobs to the destination with at most RATE bytes a second, such as 20MiB/s")
            .placeholder("RATE"),
    ]
}

/// What those flags said. The limits hold for all that shares them.
///
/// # Errors
/// If a value is no rate.
pub(crate) fn rates(values: &Values) -> Result<Rates> {
    let rate = |prefix| -> Result<Option<NonZeroU64>> {
        let flag = names::LIMIT_RATE.of(prefix);
        let Some(text) = values.maybe_text(flag) else { return Ok(None) };
        parse(text).with_context(|| format!("invalid --{flag} {}", go::quote(text))).map(Some)
    };
    let both = rate(Prefix::None)?;
    let side = |prefix| -> Result<Option<Arc<Rate>>> { Ok(rate(prefix)?.or(both).map(Rate::new)) };
    Ok(Rates::new(side(Prefix::Source)?, side(Prefix::Destination)?))
}

/// Over how many connections a large blob is read; none if that was not said.
pub(crate) fn blob_connections(values: &Values) -> Option<NonZeroUsize> {
    let number = values.uint(names::BLOB_CONNECTIONS)?;
    NonZeroUsize::new(usize::try_from(number).unwrap_or(usize::MAX).min(MOST_CONNECTIONS))
}

/// The size in bytes that a flag said.
///
/// # Errors
/// If its value is no size.
pub(crate) fn size(values: &Values, flag: Handle<String>) -> Result<Option<u64>> {
    let Some(text) = values.maybe_text(flag) else { return Ok(None) };
    let bytes = size::parse(text, "want bytes, such as 500MB, 10GiB or 1000000")
        .with_context(|| format!("invalid --{flag} {}", go::quote(text)))?;
    Ok(Some(bytes))
}

/// Bytes in a second: a number, a unit, and what everybody knows, `/s`.
fn parse(text: &str) -> Result<NonZeroU64> {
    let text = text.trim();
    let size = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let bytes = size::parse(size, "want bytes in a second, such as 20MiB/s, 500kB/s or 1000000")?;
    NonZeroU64::new(bytes).context("with less than a byte in a second nothing ever arrives")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes_in_a_second() {
        for (text, expected) in [
            ("20MiB/s", 20 << 20),
            ("20MiB", 20 << 20),
            (" 1.5 KiB/s ", 1536),
            ("500kB/s", 500_000),
            ("2MB", 2_000_000),
            ("0.5GB/s", 500_000_000),
            ("1GiB/s", 1 << 30),
            ("1000", 1000),
            ("7B/s", 7),
        ] {
            assert_eq!(parse(text).unwrap().get(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_a_reason() {
        for (text, said) in [
            ("", "want bytes"),
            ("fast", "want bytes"),
            ("-1", "want bytes"),
            ("1e9", "want bytes"),
            ("1.2.3", "want bytes"),
            (".", "want bytes"),
            ("MiB", "want bytes"),
            ("20MiB/m", "want bytes"),
            ("20M", "MB or MiB?"),
            ("20k/s", "kB or KiB?"),
            ("100Mbit/s", "bits"),
            ("100Mb/s", "bits"),
            ("100Mbps", "bits"),
            ("0", "less than a byte"),
            ("0.5", "less than a byte"),
            ("0MiB/s", "less than a byte"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn the_side_is_nearer_than_both() {
        let mut values = Values::default();
        assert!(rates(&values).unwrap().read.is_none());
        values.set(names::LIMIT_RATE, "1000".to_owned());
        values.set(names::LIMIT_RATE.of(Prefix::Destination), "1MiB/s".to_owned());
        let rates = rates(&values).unwrap();
        assert!(format!("{rates:?}").contains("1000 B/s"), "{rates:?}");
        assert!(format!("{rates:?}").contains("1048576 B/s"), "{rates:?}");
    }
}
