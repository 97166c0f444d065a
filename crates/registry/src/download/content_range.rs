//! `Content-Range`: which part of a blob an answer brings.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};

/// How long the body of an answer is.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes first-last/complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    complete: Option<u64>,
}

impl ContentRange {
    /// Whether these are the bytes from `at` to `end` of a blob that is known to be so long.
    pub(super) fn is(self, at: u64, end: u64, total: Option<u64>) -> bool {
        let ends = self.last.checked_add(1) == Some(end);
        self.first == at && ends && self.complete.is_some() && self.complete == total
    }

    /// Whether these bytes are the rest of what has been read up to `at`, to the end.
    pub(super) fn continues(self, at: u64, total: Option<u64>) -> bool {
        let end = self.last.checked_add(1);
        self.first == at
            && self.complete.is_none_or(|complete| end == Some(complete))
            && total.is_none_or(|total| end == Some(total))
    }
}

pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let mut values = headers.get_all(CONTENT_RANGE).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?
    };
    let (range, complete) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let complete = match complete {
        "*" => None,
        complete => Some(number(complete)?),
    };
    Some(ContentRange { first: number(first)?, last: number(last)?, complete })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn content_range_is_read_strictly() {
        for (value, expected) in [
            ("bytes 10-19/20", Some((10, 19, Some(20)))),
            ("bytes 10-19/*", Some((10, 19, None))),
            ("bytes 10-19", None),
            ("bytes */20", None),
            ("bytes +1-19/20", None),
            ("bytes 10-19/20x", None),
            ("octets 10-19/20", None),
            ("bytes 10-/20", None),
            ("bytes 99999999999999999999-1/2", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(value))]);
            let found = content_range(&headers).map(|r| (r.first, r.last, r.complete));
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn only_the_rest_continues() {
        let range = |first, last, complete| ContentRange { first, last, complete };
        for (range, at, total, expected) in [
            (range(10, 19, Some(20)), 10, Some(20), true),
            (range(10, 19, None), 10, None, true),
            (range(9, 19, Some(20)), 10, Some(20), false),
            (range(10, 18, Some(20)), 10, Some(20), false),
            (range(10, 18, None), 10, Some(20), false),
            (range(10, 20, Some(21)), 10, Some(20), false),
            (range(10, u64::MAX, None), 10, Some(20), false),
        ] {
            assert_eq!(range.continues(at, total), expected, "{range:?}");
        }
    }

    #[test]
    fn a_range_is_only_itself() {
        let range = |first, last, complete| ContentRange { first, last, complete };
        for (range, expected) in [
            (range(10, 19, Some(40)), true),
            (range(10, 19, None), false),
            (range(10, 19, Some(41)), false),
            (range(9, 19, Some(40)), false),
            (range(10, 20, Some(40)), false),
            (range(10, u64::MAX, Some(40)), false),
        ] {
            assert_eq!(range.is(10, 20, Some(40)), expected, "{range:?}");
        }
    }
}
