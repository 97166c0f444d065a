//! From when until when something is believed.

use jiff::Timestamp;

/// From when until when something is believed, in seconds since 1970; both seconds are within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Validity {
    start: Option<i64>,
    end: Option<i64>,
}

impl Validity {
    /// Reads both moments (RFC 3339).
    pub(super) fn parse(start: Option<&str>, end: Option<&str>) -> Result<Self, String> {
        let moment = |text: &str| {
            let parsed: Result<Timestamp, _> = text.parse();
            parsed.map(Timestamp::as_second).map_err(|_| format!("{text:?} is no time"))
        };
        Ok(Self { start: start.map(moment).transpose()?, end: end.map(moment).transpose()? })
    }

    /// Whether a moment is within.
    pub(super) fn contains(self, moment: i64) -> bool {
        self.start.is_none_or(|start| start <= moment) && self.end.is_none_or(|end| moment <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_within() {
        let parse = |start, end| Validity::parse(start, end).unwrap();
        let both = parse(Some("1970-01-01T00:00:10Z"), Some("1970-01-01T00:00:20Z"));
        for (moment, within) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(both.contains(moment), within, "{moment}");
        }
        assert!(parse(Some("1970-01-01T00:00:10Z"), None).contains(i64::MAX));
        assert!(Validity::default().contains(i64::MIN));
        assert!(Validity::parse(Some("yesterday"), None).is_err());
    }
}
