//! The grammar, as functions that take the longest match from the front of a text.
//!
//! ```text
//! reference := name [":" tag] ["@" digest]
//! name      := domain "/" component *("/" component)
//! domain    := (host *("." host) | "[" ipv6 "]") [":" digits]
//! component := alnum *(separator alnum)          ; lower case only
//! separator := "." | "_" | "__" | "-" *("-")
//! tag       := word *127(word | "." | "-")
//! ```

/// The length of the domain at the front of `text`; 0 where there is none.
pub(super) fn domain(text: &str) -> usize {
    let bytes = text.as_bytes();
    let end = match bytes {
        [b'[', inner @ ..] => bracketed(inner),
        _ => hosts(bytes),
    };
    match bytes.get(end..) {
        Some([b':', rest @ ..]) if end > 0 => match count(rest, |b| b.is_ascii_digit()) {
            0 => end,
            digits => end.saturating_add(1).saturating_add(digits),
        },
        _ => end,
    }
}

/// The length of an address in brackets; `inner` is what is behind the first of them.
fn bracketed(inner: &[u8]) -> usize {
    let length = count(inner, |b| b.is_ascii_hexdigit() || b == b':');
    if length > 0 && inner.get(length) == Some(&b']') { length.saturating_add(2) } else { 0 }
}

fn hosts(bytes: &[u8]) -> usize {
    let (mut end, mut rest) = (0_usize, bytes);
    loop {
        let length = count(rest, |b| b.is_ascii_alphanumeric() || b == b'-');
        let part = rest.get(..length).unwrap_or_default();
        let dashes = part.iter().rev().take_while(|&&b| b == b'-').count();
        let length = length.saturating_sub(dashes);
        if length == 0 || part.first() == Some(&b'-') {
            return end;
        }
        let dot = usize::from(end > 0);
        end = end.saturating_add(dot).saturating_add(length);
        match rest.get(length..) {
            Some([b'.', behind @ ..]) => rest = behind,
            _ => return end,
        }
    }
}

/// Whether `text` is a repository path: components between slashes.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(|part| is_component(part.as_bytes()))
}

fn is_component(bytes: &[u8]) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = bytes;
    loop {
        let length = count(rest, alnum);
        if length == 0 {
            return false;
        }
        rest = match rest.get(length..).unwrap_or_default() {
            [] => return true,
            [b'_', b'_', rest @ ..] | [b'.' | b'_', rest @ ..] => rest,
            dashes => match count(dashes, |b| b == b'-') {
                0 => return false,
                many => dashes.get(many..).unwrap_or_default(),
            },
        };
    }
}

/// Whether `text` is a tag.
pub(super) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=128)
        && bytes.first().is_some_and(|&b| word(b))
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// Whether `text` has the shape of a digest, of whatever algorithm.
pub(super) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
    }) && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `text` could be an image ID: 64 lower-case hexadecimal digits.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn count(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&b| wanted(b)).count()
}
