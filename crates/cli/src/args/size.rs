//! Sizes in bytes, as flags have them: a number and a unit.

use anyhow::{Context as _, Result, bail};
use skopeo_blob::MaxUnpacked;

use crate::go;

/// Bytes of a number with a unit; a fraction of a byte is left out. `wanted` says to the user what is
/// wanted instead.
///
/// # Errors
/// If it is no size, or its unit may mean two things.
pub(crate) fn parse(text: &str, wanted: &'static str) -> Result<u64> {
    let size = text.trim();
    let digits = size.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = size.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        // One kind of people means 1000 by these, and another 1024.
        "k" | "K" | "M" | "G" | "T" => {
            bail!("{unit}B or {}iB? {wanted}", unit.trim().to_uppercase())
        }
        bits if bits.ends_with('b') || bits.ends_with("bit") || bits.ends_with("bps") => {
            bail!("bits are not supported: {wanted}")
        }
        _ => bail!(wanted),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).context(wanted);
    }
    let number: f64 = number.parse().ok().context(wanted)?;
    #[expect(
        clippy::as_conversions,
        reason = "whole bytes; a number that is too large becomes the largest"
    )]
    Ok((number * factor as f64).floor() as u64)
}

/// What the value of `--max-unpacked` says.
///
/// # Errors
/// If that is no size.
pub(crate) fn max_unpacked(text: &str) -> Result<MaxUnpacked> {
    const WANTED: &str = "want a number of bytes, such as 50GiB, or 0 for no limit";
    let bytes = parse(text, WANTED)
        .with_context(|| format!("invalid --max-unpacked {}", go::quote(text)))?;
    Ok(if bytes == 0 { MaxUnpacked::Unlimited } else { MaxUnpacked::Bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit() {
        for (text, expected) in [
            ("0", MaxUnpacked::Unlimited),
            ("0GiB", MaxUnpacked::Unlimited),
            ("50GiB", MaxUnpacked::Bytes(50 << 30)),
            ("2TiB", MaxUnpacked::Bytes(2 << 40)),
            ("1.5KiB", MaxUnpacked::Bytes(1536)),
            ("18446744073709551615", MaxUnpacked::Bytes(u64::MAX)),
        ] {
            assert_eq!(max_unpacked(text).unwrap(), expected, "{text}");
        }
        for text in ["", "-1", "much", "20G", "18446744073709551616000GiB1", "99999999TiB"] {
            assert!(max_unpacked(text).is_err(), "{text}");
        }
    }
}
