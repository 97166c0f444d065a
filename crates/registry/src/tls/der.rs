//! The few fields of an X.509 certificate that rustls does not show (RFC 5280, 4.1).

use std::time::Duration;

use rustls::pki_types::UnixTime;

/// What a certificate says of itself. Nothing here is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    /// The issuer's name, with its tag and length.
    pub(super) issuer: &'a [u8],
    not_before: &'a [u8],
    not_after: &'a [u8],
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

impl<'a> Fields<'a> {
    /// Finds the fields; `None` if this is no certificate.
    pub(super) fn find(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (signed, _) = expect(SEQUENCE, certificate.body)?;
        let mut rest = signed.body;
        if let Some((_, after)) = expect(VERSION, rest) {
            rest = after;
        }
        let rest = expect(INTEGER, rest)?.1; // serial number
        let rest = expect(SEQUENCE, rest)?.1; // signature algorithm
        let (issuer, rest) = expect(SEQUENCE, rest)?;
        let (validity, _) = expect(SEQUENCE, rest)?;
        let (not_before, rest) = element(validity.body)?;
        let (not_after, _) = element(rest)?;
        Some(Self {
            issuer: issuer.whole,
            not_before: not_before.whole,
            not_after: not_after.whole,
        })
    }

    /// Whether `now` lies in the certificate's time; what cannot be read has none.
    pub(super) fn is_valid_at(&self, now: UnixTime) -> bool {
        match (time(self.not_before), time(self.not_after)) {
            (Some(from), Some(to)) => from <= now && now <= to,
            _ => false,
        }
    }
}

struct Element<'a> {
    tag: u8,
    body: &'a [u8],
    whole: &'a [u8],
}

fn expect(tag: u8, bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    element(bytes).filter(|(element, _)| element.tag == tag)
}

/// The first tag, length and value, and what follows.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let count = long & 0x7f;
            if count == 0 || count > 4 || rest.len() < count {
                return None;
            }
            let (digits, rest) = rest.split_at(count);
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    if rest.len() < length {
        return None;
    }
    let (body, rest) = rest.split_at(length);
    let whole = &bytes[..bytes.len() - rest.len()];
    Some((Element { tag, body, whole }, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(element: &[u8]) -> Option<UnixTime> {
    let (element, _) = self::element(element)?;
    let text = std::str::from_utf8(element.body).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, text) = match (element.tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| text[at..at + 2].parse::<i8>().ok();
    let moment =
        jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0)
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second();
    // Before 1970 is as good as 1970: both are past.
    Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn reads_times() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(0)), // 1950
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "700101000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000xZ", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            let mut element = vec![tag, u8::try_from(text.len()).unwrap()];
            element.extend(text.bytes());
            assert_eq!(time(&element), expected.map(at), "{text}");
        }
    }

    #[test]
    fn finds_the_fields_of_a_real_certificate() {
        let mut parameters = rcgen::CertificateParams::new(vec!["r.example".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let fields = Fields::find(certificate.der()).unwrap();
        assert_eq!(fields.issuer[0], SEQUENCE);
        for (seconds, valid) in [
            (1_577_836_799, false), // 2019
            (1_577_836_800, true),
            (2_840_140_800, true), // 2060
            (2_840_140_801, false),
        ] {
            assert_eq!(fields.is_valid_at(at(seconds)), valid, "{seconds}");
        }
        for length in 0..certificate.der().len() {
            assert!(Fields::find(&certificate.der()[..length]).is_none());
        }
    }
}
